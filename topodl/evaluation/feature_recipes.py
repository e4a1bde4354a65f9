"""What `topodl features benchmark` compares: ready pipelines, each vectorisation alone, and controls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import FeatureUnion, make_pipeline

from topodl.evaluation.feature_data import Samples
from topodl.filtrations import heat_kernel_signature
from topodl.layers import (
    Amplitude,
    Atol,
    BettiCurve,
    ComplexPolynomial,
    CubicalPersistence,
    EulerCharacteristicTransform,
    GraphPersistence,
    LongestBars,
    PersistenceCurve,
    PersistenceEntropy,
    PersistenceImage,
    PersistenceLandscape,
    PersistenceStatistics,
    RipsPersistence,
    Silhouette,
    TopologicalVector,
    cloud_features,
    graph_features,
    image_features,
    time_series_features,
)

__all__ = ["MESH_RECIPES", "PRESETS", "Recipe", "recipes"]

Array = np.ndarray[Any, np.dtype[Any]]
Recipe = Callable[[Any], Array]
PRESETS = {
    "images": "image_features",
    "clouds": "cloud_features",
    "graphs": "graph_features",
    "series": "time_series_features",
}
"""Name of the ready pipeline of each kind of data."""

_METRICS = ("bottleneck", "wasserstein", "landscape", "betti", "heat")


def recipes(samples: Samples) -> dict[str, Recipe]:
    """Return the functions from samples to a table, by what the result calls them: controls last."""
    kind = samples.kind
    if kind == "meshes":
        return MESH_RECIPES | _CONTROLS[kind]
    presets: dict[str, Callable[[], Any]] = {
        "images": image_features,
        "clouds": cloud_features,
        "graphs": graph_features,
        "series": time_series_features,
    }
    chosen: dict[str, Recipe] = {PRESETS[kind]: lambda X: presets[kind]().fit_transform(X)}
    for name, layer in _vectorisations().items():
        chosen[name] = partial(_features_alone, kind, layer)
    return chosen | _CONTROLS[kind]


def _vectorisations() -> dict[str, Any]:
    return {
        "PersistenceImage": PersistenceImage(resolution=8),
        "PersistenceLandscape": PersistenceLandscape(n_layers=3, resolution=16),
        "Silhouette": Silhouette(resolution=16),
        "BettiCurve": BettiCurve(resolution=16),
        "PersistenceStatistics": PersistenceStatistics(),
        "PersistenceEntropy": PersistenceEntropy(),
        "PersistenceCurve": PersistenceCurve(resolution=16),
        "Atol": Atol(),
        "ComplexPolynomial": ComplexPolynomial(),
        "LongestBars": LongestBars(),
        "TopologicalVector": TopologicalVector(),
        "Amplitude": FeatureUnion([(metric, Amplitude(metric)) for metric in _METRICS]),
    }


def _features_alone(kind: str, layer: Any, X: Any) -> Array:
    """Return one vectorisation of the plain persistence of the data, without ramps."""
    persistence: dict[str, Callable[[], Any]] = {
        "images": lambda: CubicalPersistence(superlevel=True, construction="cell"),
        "clouds": RipsPersistence,
        "graphs": lambda: GraphPersistence(extended=True),
        "series": lambda: CubicalPersistence(dims=0),
    }
    table: Array = make_pipeline(persistence[kind](), layer).fit_transform(_filtered(kind, X))
    return table


def _filtered(kind: str, X: Any) -> Any:
    """Return graphs filtered by heat, other data as they are."""
    if kind != "graphs":
        return X
    return [(_heat(len(vertices), edges), edges) for vertices, edges in X]


def _heat(n: int, edges: Array) -> Any:
    import torch

    return heat_kernel_signature(torch.as_tensor(edges, device="cpu"), 10.0, n_vertices=n).double().numpy()


def _flat(X: Array) -> Array:
    return X.reshape(len(X), -1)


def _moments(X: Any) -> Array:
    return np.array([np.concatenate([x.mean(0), x.std(0)]) if x.ndim > 1 else (x.mean(), x.std()) for x in X])


def _degree_histogram(X: Any) -> Array:
    """Return how many vertices have each degree, the last column all degrees of 50 and above."""
    degrees = [np.bincount(edges[0], minlength=len(x)).clip(max=50) for x, edges in X]
    return np.stack([np.bincount(degree, minlength=51) for degree in degrees])


def _vertices(X: Any) -> list[Array]:
    return [points for points, *_ in X]


MESH_RECIPES: dict[str, Recipe] = {
    "EulerCharacteristicTransform": lambda X: EulerCharacteristicTransform(32, 32).fit(X).transform(X),
    "cloud_features": lambda X: cloud_features().fit_transform(_vertices(X)),
}
"""What stands in the place of a ready pipeline where the data are meshes."""

_CONTROLS: dict[str, dict[str, Recipe]] = {
    "images": {"control: pixels": _flat, "control: mean and deviation": lambda X: _moments(_flat(X))},
    "clouds": {"control: mean and deviation": _moments},
    "graphs": {"control: degree histogram": _degree_histogram},
    "meshes": {"control: mean and deviation": lambda X: _moments(_vertices(X))},
    "series": {"control: values": _flat, "control: mean and deviation": _moments},
}
