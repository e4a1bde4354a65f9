"""Settings made from arrays, without files."""

import numpy as np

from topodl.evaluation.loading import LossResults, Setting
from topodl.evaluation.measurements import METRICS


def make_setting(
    losses: dict[str, dict[str, np.ndarray]],
    *,
    classes: tuple[str, ...] = ("mortar",),
    groups: tuple[str, ...] | None = None,
    constant: dict[str, np.ndarray] | None = None,
    volumes: bool = False,
    folds: tuple[str, ...] = (),
) -> Setting:
    """Return a setting from arrays (seeds, images) or (seeds, images, classes) by loss and metric.

    A metric that a loss has no array for has the value 1. `constant` has arrays (seeds, images, classes) by
    loss; unknown by default.
    """
    metrics = tuple(m for m in METRICS if m.required or (volumes and m.name == "Betti2"))
    results = []
    for name, given in losses.items():
        arrays = {metric: np.asarray(values, dtype=float) for metric, values in given.items()}
        n_seeds, n_images = next(iter(arrays.values())).shape[:2]
        values = np.ones((n_seeds, n_images, len(classes), len(metrics)))
        for number, metric in enumerate(metrics):
            if metric.name in arrays:
                array = arrays[metric.name]
                values[..., number] = array if array.ndim == 3 else array[..., None]
        unknown = np.full(values.shape[:3], np.nan)
        results.append(
            LossResults(name, name, tuple(range(1, n_seeds + 1)), values, (constant or {}).get(name, unknown))
        )
    n_images = results[0].values.shape[1]
    ids = tuple(f"image{n:02d}" for n in range(n_images))
    groups = groups or ("indistr",) * n_images
    return Setting(
        "supervised", "accurate", "large", ids, groups, classes, metrics, tuple(results), folds=folds
    )
