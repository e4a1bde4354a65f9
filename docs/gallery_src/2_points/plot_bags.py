"""
Bags of events: when does their topology help?
==============================================

A collider gives many events, and the question is whether a whole bag of them has signal in it. A paper does
that by the Betti numbers of the bag as a cloud of points, and finds it better than the judgement of single
events. Here Betti curves of bags stand beside such a judgement and beside means and deviations: on a toy of
the search for a heavy boson at a muon collider, and on bags whose events depend on each other.

Where events are independent given their kind, the sum of the logarithms of their likelihood ratios is the
best that can decide about a bag (Neyman and Pearson), and no shape of the bag can add to it. That a
classifier of bags beats one of events says merely that it sees more events.

The paper is Beuria's, arXiv:2509.19756. The events are drawn by a simplified model of ours, not by a
simulation of a detector.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from topodl.datasets import draw_bags
from topodl.layers import BettiCurve, RipsPersistence

N_BAGS = 300  # to train with, and as many to test
rng = np.random.default_rng(0)

# %%
# An event is a photon beside something unseen of mass M, at a total energy of 3 TeV. Signal has M around
# 1 TeV; background is a Z boson, or a soft continuum. Six numbers describe it: energy, transverse momentum,
# angles, missing momentum and the mass of the recoil.
TOTAL = 3.0


def draw_events(n, signal):
    """Return events (n, 6), in TeV and radians."""
    if signal:
        mass = (1 + 0.075 * np.tan(np.pi * (rng.random(n) - 0.5))).clip(0.1, 2.9)
        energy = (TOTAL**2 - mass**2) / (2 * TOTAL)
    else:
        soft = 0.05 * 30 ** rng.random(n)
        energy = np.where(rng.random(n) < 0.35, (TOTAL**2 - 0.091**2) / (2 * TOTAL), soft)
    cosines = np.linspace(-0.986, 0.986, 1001)  # pseudorapidities up to 2.5
    density = (1 + cosines**2) / (1 - cosines**2)
    cosine = rng.choice(cosines, n, p=density / density.sum())
    energy = energy * (1 + 0.04 * rng.normal(size=n))
    transverse = energy * np.sqrt(1 - cosine**2)
    missing = transverse * (1 + 0.05 * rng.normal(size=n))
    recoil = np.sqrt((TOTAL**2 - 2 * TOTAL * energy).clip(0))
    angle = 2 * np.pi * rng.random(n)
    return np.stack([energy, transverse, np.arctanh(cosine), angle, missing, recoil], 1)


def draw_both(n):
    """Return n events of each kind, and which are signal."""
    return np.concatenate([draw_events(n, True), draw_events(n, False)]), np.arange(2 * n) < n


scale = StandardScaler().fit(draw_events(4000, False))
(events, kinds), (test_events, test_kinds) = draw_both(4000), draw_both(4000)
events, test_events = scale.transform(events), scale.transform(test_events)
judge = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(events, kinds)
print(f"single events: {judge.score(test_events, test_kinds):.1%} right")


# %%
# Dependent events: each bag of the second kind has clumps of five, x = 0.95 c + 0.31 e with c the same in a
# clump. Every single event is a standard normal one in both kinds, so that nothing about one event can tell.
def draw_clumps(n_bags, size):
    """Return bags (n_bags, size, 6), every other one of clumps, and which are."""
    labels = np.arange(n_bags) % 2
    own = rng.normal(size=(n_bags, size, 6))
    centres = rng.normal(size=(n_bags, size // 5, 6)).repeat(5, 1)
    return np.where(labels[:, None, None] == 1, 0.95 * centres + np.sqrt(1 - 0.95**2) * own, own), labels


def moments(bags):
    """Return means and deviations of the events of each bag."""
    return np.concatenate([bags.mean(1), bags.std(1)], 1)


def nearest(bags):
    """Return the mean distance of the events of each bag to their nearest neighbour."""
    apart = np.linalg.norm(bags[:, :, None] - bags[:, None], axis=-1)
    apart[:, *np.diag_indices(bags.shape[1])] = np.inf
    return apart.min(2).mean(1, keepdims=True)


def likelihood(fraction):
    """Return what gives the logarithm of the likelihood ratio of bags with that share of signal."""

    def ratios(bags):
        chance = judge.predict_proba(bags.reshape(-1, 6))[:, 1].reshape(bags.shape[:2]).clip(1e-6, 1 - 1e-6)
        return np.log1p(fraction * (chance / (1 - chance) - 1)).sum(1, keepdims=True)

    return ratios


def accuracies(train, test, fraction=None):
    """Return the share of test bags that each kind of features gets right, by logistic regression."""
    betti = make_pipeline(RipsPersistence((0, 1)), BettiCurve(resolution=32, value_range=(0, 5)))
    features = {
        "Betti curves": betti,
        "mean, deviation": FunctionTransformer(moments),
        "nearest neighbour": FunctionTransformer(nearest),
    }
    if fraction is not None:
        features["events' likelihood"] = FunctionTransformer(likelihood(fraction))
    scores = {}
    for name, transformer in features.items():
        model = make_pipeline(transformer, StandardScaler(), LogisticRegression(max_iter=2000))
        scores[name] = model.fit(*train).score(*test)
    return scores


# %%
# The bags for training and for testing come from different events.
table = {}
for fraction, size in ((1.0, 3), (1.0, 10), (0.2, 30), (0.2, 100)):
    train = draw_bags(events, kinds, size, N_BAGS, fraction)
    test = draw_bags(test_events, test_kinds, size, N_BAGS, fraction, random_state=1)
    name = f"{fraction:.0%} signal, {size} events"
    table[name] = accuracies(train[:2], test[:2], fraction)
for size in (10, 100):
    table[f"clumps, {size} events"] = accuracies(draw_clumps(N_BAGS, size), draw_clumps(N_BAGS, size))

columns = list(next(iter(table.values())))
print(f"{'':24s}", *(f"{name:>19s}" for name in columns))
for name, scores in table.items():
    shown = [f"{scores[c]:.1%}" if c in scores else "none possible" for c in columns]
    print(f"{name:24s}", *(f"{text:>19s}" for text in shown))

# %%
# The judgement of single events is best wherever there is one, and mean and deviation are better than Betti
# curves wherever events are independent. Where events of a bag depend on each other, Betti curves tell what
# no single event can; so does one number, the mean distance to the nearest neighbour.
figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
for i, column in enumerate(columns):
    shown = [j for j, scores in enumerate(table.values()) if column in scores]
    heights = [list(table.values())[j][column] for j in shown]
    ax.bar(np.array(shown) + 0.2 * i - 0.3, heights, 0.19, label=column)
ax.axhline(0.5, color="grey", linewidth=0.8)
ax.set(xticks=range(len(table)), ylim=(0.4, 1.02), ylabel="bags that are right")
ax.set_xticklabels([name.replace(", ", "\n") for name in table])
ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
plt.show()

for name, scores in table.items():
    if "clumps" in name:
        assert scores["Betti curves"] > scores["mean, deviation"] + 0.05
    else:
        assert scores["Betti curves"] < scores["mean, deviation"] < scores["events' likelihood"] + 0.01
