"""The published experiments on attention topology: artificial text, acceptability, minimal pairs.

Each stands beside a control without topology: much of what topological features give is in five simple
summaries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, matthews_corrcoef
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from topodl._checks import fail
from topodl._files import atomic_path
from topodl.attention._catalog import CONTROL
from topodl.attention.corpora import LabelledTexts, MinimalPairs
from topodl.attention.divergence import rtd
from topodl.attention.models import token_classes_of, weights_digest
from topodl.attention.recording import AttentionRecorder, record
from topodl.attention.topology import AttentionTopology

__all__ = [
    "TextFeatures",
    "artificial_text_table",
    "cola_table",
    "extract",
    "head_scores",
    "minimal_pair_table",
    "pair_scores",
]

Array = np.ndarray[Any, Any]
_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_COMPONENTS = 200
_CLIP = 10.0
_CHOOSING_PAIRS = 100
_BATCH = 32
_PART = 256


class TextFeatures(NamedTuple):
    """Features (texts, columns), their names, and mean-pooled embeddings (texts, d)."""

    values: Array
    names: list[str]
    embeddings: Array

    def columns(self, *stems: str) -> Array:
        """Return the features whose name, after layer and head, starts with one of `stems`."""
        wanted = [k for k, name in enumerate(self.names) if name.split(".", 2)[2].startswith(stems)]
        return self.values[:, wanted]


def experiment_topology(tokenizer: Any) -> AttentionTopology:
    """Return the features of the papers (without the repeated weak components) and the control."""
    layer = AttentionTopology.like_paper("2023", token_classes_of(tokenizer))
    features = [name for name in layer.features if name != "graph.weak_components"]
    return layer.set_params(features=[*features, *CONTROL])


def extract(
    model: torch.nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_length: int,
    cache: Path | None = None,
    label: str = "features",
) -> TextFeatures:
    """Return features and embeddings of `texts`; what is computed goes part by part into the folder `cache`.

    A run that was stopped goes on after the last whole part.
    """
    topology = experiment_topology(tokenizer)
    folder = None
    if cache is not None:
        settings = [max_length, topology.feature_list(), str(getattr(model, "config", None))]
        key = json.dumps([list(texts), *settings, weights_digest(model)])
        folder = cache / hashlib.sha256(key.encode()).hexdigest()[:24]
    # Neighbours in length share a batch, so that little is padded; the order is put back at the end.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts: list[TextFeatures] = []
    with torch.no_grad(), record(model, features=topology) as recorder:
        for start in tqdm(range(0, len(order), _PART), desc=label, unit="part"):
            file = None if folder is None else folder / f"{start:07}.npz"
            if file is None or not file.is_file():
                batch = [texts[i] for i in order[start : start + _PART]]
                parts.append(_extract_part(model, tokenizer, batch, max_length, recorder))
                if file is not None:
                    _save(file, parts[-1])
            else:
                with np.load(file) as saved:
                    parts.append(TextFeatures(saved["values"], saved["names"].tolist(), saved["embeddings"]))
    back = np.argsort(order)
    values, embeddings = (np.concatenate([part[k] for part in parts])[back] for k in (0, 2))
    return TextFeatures(values, parts[0].names, embeddings)


def _extract_part(
    model: torch.nn.Module, tokenizer: Any, texts: list[str], max_length: int, recorder: AttentionRecorder
) -> TextFeatures:
    """Return features and mean-pooled embeddings of a few texts, the model's recorder being open."""
    embeddings = []
    recorder.clear()
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        states = model(**tokens).last_hidden_state
        weight = tokens["attention_mask"][..., None].to(states)
        embeddings.append(((states * weight).sum(1) / weight.sum(1)).numpy())
    names = recorder.feature_names()
    return TextFeatures(recorder.features().numpy(), names, np.concatenate(embeddings))


def _save(file: Path, part: TextFeatures) -> None:
    with atomic_path(file) as partial, partial.open("wb") as stream:
        np.savez(stream, values=part.values, names=np.array(part.names), embeddings=part.embeddings)


def feature_sets(features: TextFeatures) -> dict[str, Array]:
    """Return the feature sets that the tables compare, the control among them."""
    tree = ("graph.edges", "graph.degree", "graph.components", "graph.betti1", "barcode.h0")
    topology = features.columns("graph", "barcode", "pattern")
    return {
        "mean-pooled embedding": features.embeddings,
        "control: attention summaries without topology": features.columns("entropy", "sink"),
        "threshold statistics": features.columns("graph"),
        "spanning tree only": features.columns(*tree),
        "barcodes": features.columns("barcode"),
        "patterns": features.columns("pattern"),
        "all topological features": topology,
        "embedding + topology": np.hstack([features.embeddings, topology]),
    }


class _Prepared(NamedTuple):
    train: Array
    tests: list[Array]


def _prepared(train: Array, *tests: Array) -> _Prepared:
    """Standardise, clip outliers and, above 400 columns, keep the largest principal components."""
    # In single precision, the classifier's line search may fail to converge.
    parts = [part.astype(np.float64) for part in (train, *tests)]
    scaler = StandardScaler().fit(parts[0])
    parts = [np.clip(scaler.transform(part), -_CLIP, _CLIP) for part in parts]
    if train.shape[1] > 2 * _COMPONENTS:
        kept = min(_COMPONENTS, len(train) - 1)
        pca = PCA(kept, svd_solver="randomized", random_state=0).fit(parts[0])
        parts = [pca.transform(part) for part in parts]
    return _Prepared(parts[0], parts[1:])


def _classifier(strength: float, balanced: bool = False) -> LogisticRegression:
    weight = "balanced" if balanced else None
    return LogisticRegression(C=strength, class_weight=weight, solver="newton-cholesky", max_iter=200)


def _best_strength(
    x: Array,
    y: Array,
    folds: list[tuple[Array, Array]],
    score: Callable[[LogisticRegression, Array, Array], float],
    balanced: bool,
) -> tuple[float, float]:
    """Return the regularisation with the best cross-validated score, and that score."""
    found = []
    for strength in _STRENGTHS:
        scores = [
            score(_classifier(strength, balanced).fit(x[train], y[train]), x[test], y[test])
            for train, test in folds
        ]
        found.append((float(np.mean(scores)), strength))
    best = max(found)
    return best[1], best[0]


def _likelihood(model: LogisticRegression, x: Array, y: Array) -> float:
    """Return the mean log-likelihood, which tells close strengths apart with fewer texts than accuracy."""
    return -float(log_loss(y, model.predict_proba(x), labels=model.classes_))


def _correlation(model: LogisticRegression, x: Array, y: Array) -> float:
    return float(matthews_corrcoef(y, model.predict(x)))


def _accuracy(truth: Array, predicted: Array) -> float:
    return float(np.mean(truth == predicted))


def cross_validated_accuracy(values: Array, labels: Array, groups: Array) -> tuple[float, float]:
    """Return mean and standard error of the accuracy over 5 folds that keep groups together."""
    scores = []
    for train, test in GroupKFold(5).split(values, labels, groups):
        data = _prepared(values[train], values[test])
        inner = list(GroupKFold(3).split(data.train, labels[train], groups[train]))
        strength, _ = _best_strength(data.train, labels[train], inner, _likelihood, False)
        model = _classifier(strength).fit(data.train, labels[train])
        scores.append(_accuracy(labels[test], model.predict(data.tests[0])))
    return float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def artificial_text_table(features: TextFeatures, data: LabelledTexts) -> list[dict[str, Any]]:
    """Return accuracy and standard error of each feature set, 5 folds grouped by pair."""
    labels, groups = np.array(data.labels), np.array(data.groups)
    rows = []
    for name, values in tqdm(feature_sets(features).items(), desc=data.name, unit="set"):
        accuracy, error = cross_validated_accuracy(values, labels, groups)
        rows.append({"features": name, "columns": values.shape[1], "accuracy": accuracy, "error": error})
    return rows


def head_scores(features: TextFeatures, data: LabelledTexts) -> Array:
    """Return how well each head alone tells the labels apart: cross-validated accuracy, (layers, heads)."""
    labels, groups = np.array(data.labels), np.array(data.groups)
    folds = list(GroupKFold(5).split(labels, labels, groups))
    columns: dict[tuple[int, int], list[int]] = {}
    for column, name in enumerate(features.names):
        layer, head, group = name.split(".")[:3]
        if group not in ("entropy", "sink"):
            position = int(layer.removeprefix("layer")), int(head.removeprefix("head"))
            columns.setdefault(position, []).append(column)
    scores = np.zeros(np.max(list(columns), axis=0) + 1)
    for position, members in columns.items():
        x = features.values[:, members]
        found = []
        for train, test in folds:
            ready = _prepared(x[train], x[test])
            model = _classifier(1e-2).fit(ready.train, labels[train])
            found.append(_accuracy(labels[test], model.predict(ready.tests[0])))
        scores[position] = np.mean(found)
    return scores


def cola_table(features: dict[str, TextFeatures], data: dict[str, LabelledTexts]) -> list[dict[str, Any]]:
    """Return CV MCC on train, and accuracy and MCC with standard errors on both dev sets, per feature set.

    The regularisation is chosen by 3-fold cross-validation on train; classes are weighted by their frequency.
    """
    labels = {split: np.array(texts.labels) for split, texts in data.items()}
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(labels["train"], labels["train"]))
    sets = {split: feature_sets(found) for split, found in features.items()}
    rows = []
    dev = [split for split in data if split != "train"]
    for name in tqdm(sets["train"], desc="CoLA", unit="set"):
        ready = _prepared(sets["train"][name], *(sets[split][name] for split in dev))
        strength, score = _best_strength(ready.train, labels["train"], folds, _correlation, True)
        model = _classifier(strength, True).fit(ready.train, labels["train"])
        row: dict[str, Any] = {"features": name, "columns": sets["train"][name].shape[1], "cv mcc": score}
        for split, values in zip(dev, ready.tests, strict=True):
            row |= _dev_scores(split, labels[split], model.predict(values))
        rows.append(row)
    return rows


def _correlations(truth: Array, predicted: Array) -> Array:
    """Return Matthews' correlation of every row of labels 0 and 1; 0 where a row has one label only."""
    x, y = (labels - labels.mean(1, keepdims=True) for labels in (truth, predicted))
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), scale, out=np.zeros(len(x)), where=scale > 0)


def _dev_scores(split: str, truth: Array, predicted: Array) -> dict[str, float]:
    """Return accuracy and MCC with standard errors, the MCC's by bootstrap."""
    accuracy = _accuracy(truth, predicted)
    draws = np.random.default_rng(0).integers(len(truth), size=(500, len(truth)))
    spread = _correlations(truth[draws], predicted[draws])
    return {
        f"{split} accuracy": accuracy,
        f"{split} accuracy error": float(np.sqrt(accuracy * (1 - accuracy) / len(truth))),
        f"{split} mcc": float(matthews_corrcoef(truth, predicted)),
        f"{split} mcc error": float(np.std(spread)),
    }


# Minimal pairs: every score has one value for the good and one for the bad sentence, per head.


def pair_scores(
    model: torch.nn.Module, tokenizer: Any, pairs: MinimalPairs
) -> dict[str, tuple[Array, Array]]:
    """Return name -> (good, bad) of shape (pairs, layers * heads) for all scores of a paradigm.

    Bars and control are those of whole sentences; RTD compares the last tokens, as many as the shorter one
    has.
    """
    good, bad = (_maps(model, tokenizer, sentences) for sentences in (pairs.good, pairs.bad))
    scores: dict[str, tuple[Array, Array]] = {}
    for how in ("upper", "max"):
        layer = AttentionTopology("barcode.h0.mean", symmetrize=how, lower_bound=0.0, renormalize=False)
        scores[f"mean H0 bar, {how}"] = (layer(good).numpy(), layer(bad).numpy())
    scores["RTD, upper"] = _divergences(good, bad, pairs.name)
    simple = AttentionTopology("control", renormalize=False)
    first, second = (simple(maps).view(len(good), -1, len(CONTROL)).numpy() for maps in (good, bad))
    return scores | {f"control: {name}": (first[..., k], second[..., k]) for k, name in enumerate(CONTROL)}


def _divergences(good: list[torch.Tensor], bad: list[torch.Tensor], name: str) -> tuple[Array, Array]:
    """Return RTD(good, bad) and RTD(bad, good), (pairs, layers * heads); pairs of one length go together."""
    lengths = np.array([min(a.shape[-1], b.shape[-1]) for a, b in zip(good, bad, strict=True)])
    heads = good[0].shape[0] * good[0].shape[1]
    out = np.zeros((2, len(good), heads), np.float32)
    batches = [
        members[start : start + _BATCH]
        for n in np.unique(lengths)
        for members in [np.flatnonzero(lengths == n)]
        for start in range(0, len(members), _BATCH)
    ]
    for members in tqdm(batches, desc=name, unit="batch"):
        n = int(lengths[members[0]])
        a, b = (torch.stack([maps[i][..., -n:, -n:] for i in members]) for maps in (good, bad))
        out[0, members] = rtd(a, b).flatten(1).numpy()
        out[1, members] = rtd(b, a).flatten(1).numpy()
    return out[0], out[1]


def _maps(model: torch.nn.Module, tokenizer: Any, sentences: list[str]) -> list[torch.Tensor]:
    """Return the attention maps (layers, heads, n, n) of every sentence, without padding."""
    out = []
    with torch.no_grad(), record(model) as recorder:
        for start in range(0, len(sentences), _BATCH):
            tokens = tokenizer(sentences[start : start + _BATCH], padding=True, return_tensors="pt")
            model(**tokens)
            batch = recorder.attention()
            kept = tokens["attention_mask"].bool()
            out += [m[..., keep, :][..., keep] for m, keep in zip(batch, kept, strict=True)]
            recorder.clear()
    return out


def _judged(good: Array, bad: Array) -> Array:
    """Return the share of pairs in which the good sentence has the smaller score, ties a half, per column."""
    return ((good < bad) + 0.5 * (good == bad)).mean(0)


def minimal_pair_table(
    scores: dict[str, tuple[Array, Array]], paradigm: str, choosing: int = _CHOOSING_PAIRS
) -> list[dict[str, Any]]:
    """Return the accuracy of each score; head and rule are chosen on the first pairs, tested on the others.

    The control takes the best of all its summaries on the first pairs.
    """
    n_pairs = len(next(iter(scores.values()))[0])
    if n_pairs <= choosing:
        expected = f"more than {choosing}, on which head and rule are chosen"
        raise fail("minimal_pair_table", paradigm, f"has {n_pairs} pairs", expected)
    rows = []
    for name in [n for n in scores if not n.startswith("control")] + ["control"]:
        members = [
            s for n, s in scores.items() if n == name or (name == "control" and n.startswith("control"))
        ]
        good = np.concatenate([g for g, _ in members], 1)
        bad = np.concatenate([b for _, b in members], 1)
        share = _judged(good[:choosing], bad[:choosing])
        head = int(np.argmax(np.abs(share - 0.5)))
        accuracy = float(_judged(good[choosing:], bad[choosing:])[head])
        accuracy = accuracy if share[head] >= 0.5 else 1 - accuracy
        error = float(np.sqrt(accuracy * (1 - accuracy) / (n_pairs - choosing)))
        rule = "smaller" if share[head] >= 0.5 else "larger"
        rows.append(
            {
                "paradigm": paradigm,
                "score": name,
                "accuracy": accuracy,
                "error": error,
                "head": head,
                "rule": rule,
            }
        )
    return rows
