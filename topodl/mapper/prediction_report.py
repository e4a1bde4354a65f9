"""A map of predictions as one HTML file: classes, estimated and true errors, and filters by them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from topodl._checks import fail

__all__ = ["write_report"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper.report"


def write_report(
    mapper: Any,
    path: str | os.PathLike[str],
    *,
    class_names: Sequence[Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    tooltips: Sequence[Any] | None = None,
    title: str = "Map of predictions",
    **options: Any,
) -> Path:
    """Write the map as one interactive HTML file, which loads nothing from elsewhere.

    Nodes show the shares of predicted classes, and may be coloured by the estimated error, 1 − the largest
    probability, and, where there are labels, by true errors, true and corrected classes, and by whether they
    voted. Each of these filters samples, too; a node expands to its samples.

    Parameters
    ----------
    mapper : PredictionMapper
        Given by the call as its method.
    path : path
        File to write, which appears only when it is whole.
    class_names : sequence of C names, optional
        None: the classes' numbers.
    columns : mapping of str to arrays of shape (n,), optional
        More values of the samples to colour and filter by.
    tooltips : sequence of n texts, optional
        What is said of a sample. None: its classes and estimate.
    title : str
        Heading of the page.
    **options
        What `MapperGraph.view` takes besides: `ids`, `images`, `points`, `positions`, ….

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    InputError
        As `MapperGraph.view`; if there is not one name for each class.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import topodl
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> right = 1 / (1 + np.exp(-points[:, 0]))
    >>> mapper = topodl.PredictionMapper(whiten=None, max_size=20)
    >>> mapper = mapper.fit(points, np.stack([1 - right, right], 1), labels=(points[:, 0] > 0).astype(int))
    >>> mapper.report(f"{tempfile.mkdtemp()}/predictions.html", class_names=["left", "right"]).name
    'predictions.html'
    """
    check_is_fitted(mapper)
    names = _class_texts(class_names, mapper.predictions_.shape[1])
    defaults: dict[str, Any] = {
        "points": getattr(mapper, "embeddings_", mapper.lens_),
        "description": _description(mapper),
        "tooltips": _sample_texts(mapper, names) if tooltips is None else tooltips,
    }
    color = _columns(mapper, names) | dict(columns or {})
    written: Path = mapper.graph_.view(path, color=color, title=title, **(defaults | options))
    return written


def _class_texts(class_names: Sequence[Any] | None, n_classes: int) -> list[str]:
    """Return a text for each class: its name, or its number, which sort in the same order."""
    if class_names is None:
        return [f"{number:0{len(str(n_classes - 1))}d}" for number in range(n_classes)]
    texts = [str(name) for name in class_names]
    if isinstance(class_names, str) or len(texts) != n_classes or len(set(texts)) != n_classes:
        came = f"has {len(set(texts))} different entries"
        raise fail(_NAME, "class_names", came, f"{n_classes} names, one a class")
    return texts


def _columns(mapper: Any, names: list[str]) -> dict[str, Array]:
    """Return the columns of the samples (n,); what needs a label is there if one is, and None or NaN else."""
    predicted, labels = mapper.predictions_.argmax(axis=1), mapper.sample_labels_
    has_label, texts = labels >= 0, np.array(names, dtype=object)
    columns = {
        "predicted class": texts[predicted],
        "estimated error": mapper.error_estimate_,
        "1 − largest probability": 1.0 - mapper.predictions_.max(axis=1),
    }
    if has_label.any():
        columns["true error"] = np.where(has_label, predicted != labels, np.nan)
        columns["true class"] = np.where(has_label, texts[labels], None)
        columns["label"] = np.where(mapper.known_, "known", "not known")
        columns["corrected class"] = texts[mapper.corrected_predictions()]
    return columns


def _sample_texts(mapper: Any, names: list[str]) -> list[str]:
    """Return a line on each sample."""
    predicted, probability = mapper.predictions_.argmax(axis=1), mapper.predictions_.max(axis=1)
    rows = zip(predicted, probability, mapper.sample_labels_, mapper.error_estimate_, strict=True)
    return [
        f"predicted {names[best]} ({share:.2f}){f'; is {names[label]}' if label >= 0 else ''}; "
        f"estimated error {doubt:.2f}"
        for best, share, label, doubt in rows
    ]


def _description(mapper: Any) -> str:
    n_joined = int((mapper.graph_.edge_weight == 0).sum()) // 2
    over = "edges within nodes" if mapper.error_graph == "projected" else "all edges of the samples"
    return (
        "Samples of a node are connected and predicted alike. Edges join nodes with common samples, and "
        f"{n_joined} of them small parts to what is nearest. {int(mapper.known_.sum()):,} known labels vote "
        f"over {over}."
    )
