"""
Digits from cubical features
============================

Handwritten digits are told apart by their topology and a little geometry: how bright components and dark
holes appear and merge as the threshold sinks, seen along two directions. The features are steps of a
scikit-learn pipeline, whose settings are chosen by grid search.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import topodl
from topodl.layers import CubicalPersistence, PersistenceImage, PersistenceStatistics
from topodl.plotting import plot_critical_pixels, plot_diagram

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32) / 16
train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)

# %%
# The superlevel filtration of one digit. About half of the eights have two long bars in dimension 1, one a
# hole, as this one; in the others a hole is too dim, or open.
eights = torch.from_numpy(train[y_train == 8].reshape(-1, 8, 8))
diagrams = topodl.cubical_persistence(eights, superlevel=True, construction="cell")
long_holes = [int((diagram.dim(1).persistence().abs() > 0.3).sum()) for diagram in diagrams]
print(f"{long_holes.count(2)} of {len(eights)} eights have two")
eight, diagram = eights[long_holes.index(2)], diagrams[long_holes.index(2)]
figure, axes = plt.subplots(1, 2, figsize=(8, 4))
plot_critical_pixels(eight, diagram.filter(0.2), ax=axes[0])
_ = plot_diagram(diagram, ax=axes[1])

# %%
# Topology alone does not know left from right. Adding a ramp to the image before the filtration makes births
# and deaths depend on where things are.


def ramp(images, axis, slope):
    """Darken the images along an axis."""
    line = slope * np.linspace(-1, 1, 8, dtype=np.float32)
    return images + (np.tile(line, 8) if axis == 1 else np.repeat(line, 8))


def features(axis, slope):
    """Return the features of the images on a ramp."""
    return make_pipeline(
        FunctionTransformer(ramp, kw_args={"axis": axis, "slope": slope}),
        CubicalPersistence(superlevel=True, construction="cell", sample_shape=(8, 8)),
        make_union(
            PersistenceImage(resolution=6, essential="clamp"),
            PersistenceStatistics(essential="clamp"),
        ),
    )


views = [features(axis, slope) for axis in (0, 1) for slope in (-1.0, 0.0, 1.0)]
pipeline = make_pipeline(make_union(*views), StandardScaler(), LogisticRegression(max_iter=2000))

# %%
# Settings of any step are found by cross-validation, here that of the classifier and of one view's image.
grid = {
    "logisticregression__C": [0.01, 0.1],
    "featureunion__pipeline-1__featureunion__persistenceimage__power": [0.5, 1.0],
}
search = GridSearchCV(pipeline, grid, cv=3).fit(train[:600], y_train[:600])
best = search.best_estimator_.fit(train, y_train)
score = best.score(test, y_test)
print(f"{search.best_params_}: {score:.1%} of the test digits are right")
assert score > 0.85
plt.show()
