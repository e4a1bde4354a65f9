"""
2. Features of shape for a classifier
=====================================

Clouds of points, each of another size, randomly turned and shifted: spheres, tori and pairs of linked
rings. What tells them apart are their holes, and holes do not care where a cloud lies. Two layers of topodl
turn each cloud into a row of numbers; from there on it is scikit-learn.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import topodl
from topodl.datasets import make_linked_circles, make_sphere, make_torus
from topodl.layers import PersistenceImage, PersistenceStatistics, RipsPersistence
from topodl.plotting import plot_diagram

# %%
# **Data.** A list of arrays (N, 3), with N between 60 and 120. Sizes need not agree, and nothing is padded.
KINDS = {"sphere": make_sphere, "torus": make_torus, "linked rings": make_linked_circles}
random = np.random.default_rng(0)
clouds, labels = [], []
for n in range(90):
    kind = list(KINDS)[n % 3]
    points = KINDS[kind](int(random.integers(60, 121)), noise=0.05, random_state=n).points
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    clouds.append(np.asarray(points / points.std()) @ turn + random.normal(size=3))
    labels.append(kind)

# %%
# **Diagrams.** Let a ball grow around each point. Where balls meet, pieces join; where they close a ring, a
# hole is born, and it dies when the balls fill it. Each hole is one point (birth, death); far from the
# diagonal are those that last. A torus has two of dimension 1, as many as the linked rings, but not as long
# ones.
figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
for n, (cloud, kind) in enumerate(zip(clouds[:3], KINDS, strict=True)):
    axes[0, n].scatter(*PCA(2).fit_transform(cloud).T, s=8)
    axes[0, n].set(title=kind, aspect="equal", xticks=[], yticks=[])
    plot_diagram(topodl.rips_persistence(torch.from_numpy(cloud)[None]), ax=axes[1, n])
plt.show()

# %%
# **Pipelines.** One line each; all settings are found by `GridSearchCV` under the names that scikit-learn
# gives.
pipelines = {
    "statistics of bars": make_pipeline(RipsPersistence(), PersistenceStatistics(), StandardScaler(), SVC()),
    "persistence image": make_pipeline(RipsPersistence(), PersistenceImage(resolution=8), SVC(C=100)),
}
for name, pipeline in pipelines.items():
    print(f"{name}: {cross_val_score(pipeline, clouds, labels, cv=5).mean():.0%}, by chance 33 %")

# %%
# **Columns have names**, so that a model can be asked what it looks at.
statistics = make_pipeline(RipsPersistence(), PersistenceStatistics()).set_output(transform="pandas")
table = statistics.fit_transform(clouds)
print(table.shape, *table.columns[:3], "…")

# %%
# **Next.** :doc:`/layers` lists the filtrations (images, volumes, graphs) and the vectorisations;
# :doc:`/howto` has recipes for images of different sizes, data frames, and clusters.
