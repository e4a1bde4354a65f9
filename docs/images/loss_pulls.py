"""Draw ``loss_pulls.png`` and print the tables of the page on the tuned study: what topology losses pull at.

One small network learns drawn walls with CE + Dice. On the way, each loss is asked what it would have
done with the same predictions: how long the gradient of each of its terms is, where it pulls, and which way.
"""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from loss_gradients import save, show, visible

from topodl.datasets import SyntheticMortar
from topodl.evaluation.networks import SmallUNet
from topodl.losses import SCNP, CEDiceLoss, SegmentationLoss, registry
from topodl.metrics import TopologyError, topology_errors

STEPS, EVERY, BATCH, SHOWN = 200, 20, 4, 60
CUT = np.s_[40:104, 0:64]  # of the wall that is drawn
# Terms of each loss with their default weights, each by itself: what is left is switched off.
TERMS: dict[str, dict[str, SegmentationLoss]] = {
    name: {
        "base": registry[name](topology_weight=0.0),
        "components": registry[name](base_weight=0.0, dimension_weights=[1.0, 0.0]),
        "holes": registry[name](base_weight=0.0, dimension_weights=[0.0, 1.0]),
    }
    for name in ("betti_matching", "topo_loss")
} | {
    "topograph": {
        "base": registry["topograph"](topology_weight=0.0),
        "critical regions": registry["topograph"](base_weight=0.0),
    },
    "scnp(ce_dice)": {"base": CEDiceLoss(), "worst logits": SCNP(CEDiceLoss(), plain_weight=0.0)},
}
SHOWN_TERMS = (
    ("betti_matching", "components"),
    ("betti_matching", "holes"),
    ("topo_loss", "holes"),
    ("topograph", "critical regions"),
    ("scnp(ce_dice)", "worst logits"),
)
COLORS = {  # Okabe and Ito's
    "base": "#999999",
    "components": "#0072b2",
    "holes": "#e69f00",
    "critical regions": "#009e73",
    "worst logits": "#cc79a7",
}
PLACES = ("broken", "merged", "missing", "spurious", "other wrong pixels", "right pixels")


def training() -> Iterator[tuple[int, torch.nn.Module, torch.Tensor, torch.Tensor]]:
    """Train with CE + Dice and yield, now and then, step, network and the images and labels to look at."""
    torch.manual_seed(0)
    walls = [SyntheticMortar(32)[i] for i in range(32)]
    images = torch.stack([wall["image"] for wall in walls]) * 4 - 2
    labels = torch.stack([wall["label"] for wall in walls])
    network, loss = SmallUNet(), CEDiceLoss()
    optimizer = torch.optim.AdamW(network.parameters(), 0.006)
    order = torch.Generator().manual_seed(0)
    for step in range(STEPS + 1):
        if step % EVERY == 0 and step:
            yield step, network, images[:BATCH], labels[:BATCH]
        batch = torch.randperm(len(images), generator=order)[:BATCH]
        for group in optimizer.param_groups:
            group["lr"] = 0.006 * (1 - step / (STEPS + 1)) ** 0.9
        optimizer.zero_grad()
        loss(network(images[batch]), labels[batch]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()


def gradients(
    network: torch.nn.Module, term: SegmentationLoss, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of a term by all weights of the network, flat, and the pull on the logits."""
    logits = network(images)
    by_logits, *by_weights = torch.autograd.grad(
        term(logits, labels), [logits, *network.parameters()], materialize_grads=True
    )
    return torch.cat([g.flatten() for g in by_weights]), by_logits[:, 0] - by_logits[:, 1]


def places(prediction: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return which pixels lie at an error of each kind, and which at none."""
    errors = topology_errors(prediction, labels)
    at = {kind: errors == TopologyError[kind.upper()] for kind in PLACES[:4]}
    rest, wrong = errors == TopologyError.NONE, prediction != labels
    return at | {PLACES[4]: rest & wrong, PLACES[5]: rest & ~wrong}


def measure() -> tuple[dict[Any, float], dict[Any, float], dict[Any, float], dict[Any, Any]]:
    """Return shares of gradients and cosines by step, pulls by place and way, and maps at one step."""
    shares: dict[Any, float] = {}
    cosines: dict[Any, float] = {}
    pulls: dict[Any, float] = {}
    maps: dict[Any, Any] = {}
    for step, network, images, labels in training():
        with torch.no_grad():
            prediction = network(images).argmax(1)
        at = places(prediction, labels[:, 0])
        if step == SHOWN:
            maps["prediction"], maps["label"] = prediction[0].numpy(), labels[0, 0].numpy()
        for name, terms in TERMS.items():
            found = {term: gradients(network, loss, images, labels) for term, loss in terms.items()}
            total = sum(float(g.norm()) for g, _ in found.values())
            for term, (g, pull) in found.items():
                shares[name, term, step] = float(g.norm()) / total
                cosines[name, "base", term, step] = cosine(found["base"][0], g)
                if step == SHOWN:
                    maps[name, term] = pull[0].numpy()
                for place, here in at.items():
                    for way, part in (("up", pull.clamp_min(0)), ("down", (-pull).clamp_min(0))):
                        pulls[name, term, step, place, way] = float(part[here].sum() / pull.abs().sum())
            if "holes" in found:
                both = cosine(found["components"][0], found["holes"][0])
                cosines[name, "components", "holes", step] = both
    return shares, cosines, pulls, maps


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the cosine of the angle between two gradients."""
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def print_tables(cosines: dict[Any, float], pulls: dict[Any, float]) -> None:
    """Print where each term pulls at two steps, and the angles between terms over the second half."""
    print("| loss | term | step |", " | ".join(PLACES), "| towards the foreground |")
    print("|---" * (4 + len(PLACES)) + "|")
    for (name, term), step in ((key, step) for key in SHOWN_TERMS for step in (SHOWN, STEPS)):
        both = [(pulls[name, term, step, p, "up"], pulls[name, term, step, p, "down"]) for p in PLACES]
        cells = " | ".join(f"{up + down:.2f}" for up, down in both)
        print(f"| `{name}` | {term} | {step} | {cells} | {sum(up for up, _ in both):.2f} |")
    late = range(STEPS // 2, STEPS + 1, EVERY)
    for name, a, b in dict.fromkeys(key[:3] for key in cosines):
        if a != b:
            print(name, a, b, f"cosine {np.mean([cosines[name, a, b, step] for step in late]):.2f}")


def draw(shares: dict[Any, float], maps: dict[Any, Any]) -> None:
    """Draw shares over the training, and below them where the terms pull at one wall."""
    figure = plt.figure(figsize=(9.6, 4.9), dpi=90)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    steps = sorted({step for _, _, step in shares})
    for axis, (name, terms) in zip(upper.subplots(1, len(TERMS), sharey=True), TERMS.items(), strict=True):
        colors = [COLORS[term] for term in terms]
        heights = [[shares[name, term, step] for step in steps] for term in terms]
        axis.stackplot(steps, heights, labels=list(terms), colors=colors)
        axis.set_title(name, fontsize=8)
        axis.set_ylim(0, 1)
        axis.set_xlim(steps[0], steps[-1])
        axis.tick_params(labelsize=7)
        axis.set_xlabel("step", fontsize=7)
        axis.legend(fontsize=6, loc="lower left")
    for axis, (name, term) in zip(lower.subplots(1, len(SHOWN_TERMS)), SHOWN_TERMS, strict=True):
        arrows, prediction, label = (
            each[CUT] for each in (maps[name, term], maps["prediction"], maps["label"])
        )
        show(axis, visible(arrows), prediction, label)
        axis.set_title(f"{name}\n{term}", fontsize=7)
    upper.subplots_adjust(left=0.05, right=0.99, bottom=0.17, top=0.9, wspace=0.08)
    lower.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.86, wspace=0.04)
    save(figure, "loss_pulls.png")


if __name__ == "__main__":
    measured = measure()
    print_tables(*measured[1:3])
    draw(measured[0], measured[3])
