"""`AttentionTopology`: topological features of attention maps, a torch module and a scikit-learn transformer.

Kushnareva et al., "Artificial Text Detection via Examining the Topology of Attention Maps", EMNLP 2021. One
spanning tree a head gives components, Betti numbers and dimension-0 bars at all thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from topodl._checks import check_choice, check_number, fail
from topodl._docs import shares_documentation
from topodl.attention._catalog import FeaturePlan, plan_of, select
from topodl.attention._combinatorics import GraphSettings
from topodl.attention._features import MapFeatures, Settings
from topodl.attention._maps import ROW_TOLERANCE, AttentionSample, MapGroup, as_batch, group_maps
from topodl.layers._base import FeatureLayer

__all__ = ["PAPER_THRESHOLDS", "AttentionTopology"]

PAPER_THRESHOLDS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75)
_NAME = "AttentionTopology"
# Products of two counts must fit into 64 bits.
_LARGEST_CAP = 2**31 - 1
_TINY = float(np.finfo(np.float32).tiny)
# Entries of the maps worked on at once: bounds the memory whatever the batch.
_SLICE_ENTRIES = 1 << 20


class _Samples:
    """Checked samples on their way from `transform` to `forward`."""

    def __init__(self, items: list[AttentionSample]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: slice) -> _Samples:
        return _Samples(self.items[key])


class AttentionTopology(FeatureLayer):
    r"""Topological features of attention maps, for every layer and head.

    An attention map is read as a weighted directed graph on its tokens. Each layer and head gives the same
    list of features, so the columns are named like ``layer3.head7.barcode.h0.sum``. As a module: maps in,
    differentiable features out (barcode, pattern, sink, entropy and soft features carry gradients; counts are
    constant almost everywhere and carry none). As a transformer: an array or a list of samples of any lengths
    in, a table out.

    Parameters
    ----------
    features : str or sequence of str, default=("graph", "barcode", "pattern")
        Groups, stems or full names, in the order of the columns. With t a threshold and n the number of
        tokens:

        - ``"graph"``: ``graph.<statistic>.t<t>`` of the graph of the entries at or above t:
          ``strong_components``, ``edges`` (directed), ``degree`` (mean, in plus out), ``cycles`` (simple
          directed cycles, up to `cycle_cap`), ``components`` and ``betti1`` (of the undirected graph),
          ``matching`` (the greedy maximal matching of the papers' code), ``chordal`` (0 or 1). By name only:
          ``graph.maximum_matching`` and ``graph.weak_components`` (equal to ``components`` but for the cap).
        - ``"barcode"``: of the Rips filtration of the distances 1 - w: ``barcode.h0.sum``, ``.mean``,
          ``.std``, ``.entropy``, ``.longest_death``, ``.count_death_ge_0.75``, ``.count_death_ge_0.5``,
          ``.count_death_le_0.25``; ``barcode.h1.longest_birth`` and ``.longest_death`` (of the longest bar,
          of several the earliest), ``.count_birth_ge_0.25``, ``.count_birth_le_0.95``,
          ``.count_birth_le_0.7``, ``.sum``, ``.mean``, ``.std``, ``.entropy``, ``.count``. Bars of length 0
          are none; an empty barcode has 0 everywhere.
        - ``"pattern"``: the distance, in [0, 1], to ``self``, ``first``, ``previous``, ``next`` and to every
          class of `token_classes`.
        - ``"sink"``: shares of all attention received: ``position0`` …, ``last``, ``max``, ``squared_norm``,
          ``count`` (tokens that receive at least 0.3), and every class of `token_classes`.
        - ``"entropy"``: ``mean`` and ``std`` of the entropy of the rows, ``mean_normalized`` (divided by ln
          n), and ``row_max``, the mean of the largest entry of a row.
        - ``"soft"``: ``edges``, ``degree``, ``components`` and ``betti1`` with a sigmoid of width
          `temperature` in the place of the comparison, differentiable.
        - ``"normalized"``: every count divided by n (``graph.components_per_token.t0.1``,
          ``barcode.h0.sum_per_token``, …) and entropies divided by their maximum: counts at fixed thresholds
          mostly measure the length of the text.
        - ``"control"``: five summaries per head without any topology, for comparison.
    thresholds : sequence of float, default=(0.025, 0.05, 0.1, 0.25, 0.5, 0.75)
        Thresholds of the graph and soft features, each above 0.
    symmetrize : {"max", "upper", "mean", "min"} or None, default="max"
        How the undirected weights come from A: max(A, Aᵀ), the upper triangle (attention from earlier to
        later tokens), (A + Aᵀ) / 2, min(A, Aᵀ). None keeps the graph directed: undirected counts then take an
        edge in either direction, and there are no barcodes. Directed statistics always read A itself.
    token_classes : mapping of str to sequence of int, optional
        Named classes of token ids, such as ``{"comma": [1010]}``: one pattern and one sink feature each.
    drop_ids : sequence of int, default=()
        Token ids to cut from the maps, such as the special tokens'.
    renormalize : bool, default=True
        Divide each row by its sum, after cutting, as the papers' code does; a row that keeps no mass stays
        zero.
    row_tolerance : float, default=0.01
        How far the sum of a row may be from one, before cutting, until it is an error; ``inf`` takes any
        rows.
    self_loops : bool, default=True
        Whether a token's attention to itself counts in edges, degree, cycles and betti1, as in the papers'
        code.
    cycle_cap : int, default=500
        Largest number of cycles counted (500 in the code of 2021, 50 in that of 2023).
    component_cap : int, optional
        Largest number of strong and weak components reported (500 in the papers' code); None is no cap.
    lower_bound : float, default=1e-3
        Weights at or below it are 0 for the barcodes, as in the papers' code.
    padded_patterns : bool, default=False
        Compute the pattern features on the whole padded matrix, padding queries included, as the papers'
        code does: the result then depends on the padding.
    sink_positions : int, default=4
        Number of first positions whose share is a feature.
    temperature : float, default=0.01
        Width of the sigmoid of the soft counts.

    Notes
    -----
    A map of a single token has no bars, one component and pattern distances as defined. A sample whose mask
    is all False has 0 in every column. NaN, a negative entry or a row that does not sum to one is an error
    that names sample, layer, head and position; padding rows and columns are never looked at.

    References
    ----------
    L. Kushnareva et al., "Artificial Text Detection via Examining the Topology of Attention Maps", EMNLP
    2021. D. Cherniavskii et al., "Acceptability Judgements via Examining the Topology of Attention Maps",
    EMNLP 2022. E. Proskurina et al., "Can BERT eat RuCoLA? Topological Data Analysis to Explain", BSNLP 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import AttentionTopology
    >>> maps = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.0, 0.5, 0.5]]).view(1, 1, 1, 3, 3)
    >>> layer = AttentionTopology(features=("graph.components", "barcode.h0.sum"), thresholds=(0.1, 0.55))
    >>> layer.fit_transform(maps)
    array([[1. , 2. , 0.9]], dtype=float32)
    >>> list(layer.get_feature_names_out())
    ['layer0.head0.graph.components.t0.1', 'layer0.head0.graph.components.t0.55',
    'layer0.head0.barcode.h0.sum']
    """

    def __init__(
        self,
        features: str | Sequence[str] = ("graph", "barcode", "pattern"),
        *,
        thresholds: Sequence[float] = PAPER_THRESHOLDS,
        symmetrize: Literal["max", "upper", "mean", "min"] | None = "max",
        token_classes: Mapping[str, Sequence[int]] | None = None,
        drop_ids: Sequence[int] = (),
        renormalize: bool = True,
        row_tolerance: float = ROW_TOLERANCE,
        self_loops: bool = True,
        cycle_cap: int = 500,
        component_cap: int | None = None,
        lower_bound: float = 1e-3,
        padded_patterns: bool = False,
        sink_positions: int = 4,
        temperature: float = 0.01,
        chunk_size: int = 32,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.thresholds = thresholds
        self.symmetrize = symmetrize
        self.token_classes = token_classes
        self.drop_ids = drop_ids
        self.renormalize = renormalize
        self.row_tolerance = row_tolerance
        self.self_loops = self_loops
        self.cycle_cap = cycle_cap
        self.component_cap = component_cap
        self.lower_bound = lower_bound
        self.padded_patterns = padded_patterns
        self.sink_positions = sink_positions
        self.temperature = temperature
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    @classmethod
    def like_paper(
        cls, paper: Literal["2021", "2023"], token_classes: Mapping[str, Sequence[int]], **settings: Any
    ) -> Self:
        """Return the features of the papers' released code, with its conventions.

        Parameters
        ----------
        paper : {"2021", "2023"}
            Artificial text detection (6 statistics, cap 500), or acceptability (9 statistics, cap 50).
        token_classes : mapping
            Token ids of ``"comma"``, ``"period"`` and, for 2023, ``"sep"``.
        **settings : keyword arguments
            Other parameters of the class, such as ``padded_patterns=True``.

        Returns
        -------
        AttentionTopology
        """
        check_choice(f"{_NAME}.like_paper", "paper", paper, ("2021", "2023"))
        statistics = ["strong_components", "edges", "degree", "cycles", "components", "betti1"]
        if paper == "2023":
            statistics = ["strong_components", "weak_components", *statistics[1:], "matching", "chordal"]
        bars = [
            *("sum", "entropy", "longest_death"),
            *("count_death_ge_0.75", "count_death_ge_0.5", "count_death_le_0.25"),
        ]
        loops = [
            *("longest_birth", "count_birth_ge_0.25", "count_birth_le_0.95", "count_birth_le_0.7"),
            *("sum", "entropy", "std", "count"),
        ]
        patterns = ("self", "first", "previous", "next", *token_classes)
        features = [
            *(f"graph.{name}" for name in statistics),
            *(f"barcode.h0.{name}" for name in bars),
            *(f"barcode.h1.{name}" for name in loops),
            *(f"pattern.{name}" for name in patterns),
        ]
        cap = 500 if paper == "2021" else 50
        chosen = {"cycle_cap": cap, "component_cap": 500} | settings
        return cls(features, token_classes=token_classes, **chosen)

    def forward(self, attention: Any, mask: Any = None, input_ids: Any = None) -> torch.Tensor:
        """Return the features of every layer and head.

        Parameters
        ----------
        attention : Tensor of shape (B, layers, heads, n, n), or list
            Attention probabilities; or a list of (layers, heads, n_i, n_i) tensors or `AttentionSample`.
            ``torch.stack(output.attentions, 1)`` of a Hugging Face model has this shape.
        mask : Tensor of shape (B, n), optional
            True or 1 where a token is real; it may be padded on either side.
        input_ids : Tensor of shape (B, n), optional
            Token ids; needed for `token_classes` and `drop_ids`.

        Returns
        -------
        Tensor of shape (B, layers * heads * features)
            Layer by layer, head by head, in the order of `get_feature_names_out`; float32 for half precision.

        Raises
        ------
        InputError
            If shapes disagree, a map has NaN or a negative entry, or a row does not sum to one.
        """
        if isinstance(attention, _Samples):
            return self.features_of(attention.items).flatten(1)
        return self.features_of(as_batch(_NAME, attention, mask, input_ids)).flatten(1)

    def features_of(self, samples: list[AttentionSample]) -> torch.Tensor:
        """Return the features of checked samples, (B, layers, heads, F)."""
        plan = plan_of(tuple(self.feature_list()), tuple(float(t) for t in self.thresholds))
        names = plan.names
        if not samples:
            raise fail(_NAME, "attention", "has no sample", "at least one")
        groups = group_maps(
            _NAME,
            samples,
            drop_ids=self.drop_ids,
            renormalize=self.renormalize,
            row_tolerance=self.row_tolerance,
            entries=_SLICE_ENTRIES,
        )
        first = samples[0].attention
        heads = (first.shape[0], first.shape[1])
        tables = [(group.rows, self._table(group, plan)) for group in groups]
        out = torch.cat([table for _, table in tables])
        rows = [row for part, _ in tables for row in part]
        if rows != list(range(len(rows))):  # grouping by length changed the order of the batch
            out = out[torch.tensor(rows, device=first.device).argsort()]
        out = out.view(len(samples), *heads, len(names))
        if self.padded_patterns:
            out = self._with_padded_patterns(out, samples, names)
        return out

    def _table(self, group: MapGroup, plan: FeaturePlan) -> torch.Tensor:
        """Return the features (G, layers * heads * F) of sentences of one length."""
        maps, sums = group.maps, group.sums
        per_sentence = maps.shape[1] * maps.shape[2]
        classes = self._members(group.rows, group.input_ids, per_sentence, plan.names)
        divisors = None if sums is None else sums.flatten(0, 2)
        table = MapFeatures(maps.flatten(0, 2), divisors, classes, plan, self._settings()).table()
        return table.view(len(maps), per_sentence * plan.size)

    def _members(
        self, rows: list[int], ids: torch.Tensor | None, repeats: int, names: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        classes = {
            name: members
            for name, members in (self.token_classes or {}).items()
            if f"pattern.{name}" in names or f"sink.{name}" in names
        }
        if classes and ids is None:
            came = "is missing"
            raise fail(_NAME, f"input_ids[{rows[0]}]", came, f"token ids, for the classes {sorted(classes)}")
        return {
            name: torch.isin(ids, torch.tensor(list(members), device=ids.device)).repeat_interleave(
                repeats, 0
            )
            for name, members in classes.items()
            if ids is not None
        }

    def _with_padded_patterns(
        self, out: torch.Tensor, samples: list[AttentionSample], names: Sequence[str]
    ) -> torch.Tensor:
        patterns = tuple(name for name in names if name.startswith("pattern."))
        plan = plan_of(patterns, self._settings().graph.thresholds)
        columns = torch.tensor([names.index(name) for name in patterns], device=out.device)
        for row, sample in enumerate(samples):
            if sample.mask is not None and not bool((sample.mask != 0).any()):
                continue
            ids = None if sample.input_ids is None else sample.input_ids[None]
            table = self._table(MapGroup([row], sample.attention[None], None, ids), plan)
            rows = torch.tensor([row], device=out.device)
            update = table.view(1, *out.shape[1:3], len(patterns))
            out = out.index_put(
                (rows[:, None], *_grid(out.shape[1:3], columns)), update.flatten(1, 2).flatten(1)
            )
        return out

    def feature_list(self) -> list[str]:
        """Return the names of the features of one head, in the order of the columns."""
        self._check_settings()
        wanted = (self.features,) if isinstance(self.features, str) else tuple(self.features)
        thresholds = tuple(float(t) for t in self.thresholds)
        classes = tuple(self.token_classes or {})
        names = list(select(_NAME, wanted, thresholds, classes, self.sink_positions))
        if self.symmetrize is None:
            undirected = [n for n in names if n.startswith(("barcode.", "soft.components", "soft.betti1"))]
            if undirected:
                came = f"has {undirected[0]!r} with symmetrize=None"
                raise fail(
                    _NAME, "features", came, "a symmetrisation, or features of the directed graph only"
                )
        return names

    def _settings(self) -> Settings:
        graph = GraphSettings(
            tuple(float(t) for t in self.thresholds),
            self.symmetrize,
            self.self_loops,
            self.cycle_cap,
            self.component_cap,
        )
        return Settings(graph, self.lower_bound, self.temperature)

    def _check_settings(self) -> None:
        check_choice(_NAME, "symmetrize", self.symmetrize, ("max", "upper", "mean", "min", None))
        if not isinstance(self.features, str):
            _check_sequence("features", self.features, "names of features")
        _check_sequence("thresholds", self.thresholds, "thresholds above 0")
        if len(self.thresholds) == 0:
            raise fail(_NAME, "thresholds", "is empty", "at least one threshold above 0")
        for k, threshold in enumerate(self.thresholds):
            check_number(_NAME, f"thresholds[{k}]", threshold, low=_TINY)
        names = [f"t{t:g}" for t in self.thresholds]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise fail(_NAME, "thresholds", f"has two that are called {twice!r}", "different ones")
        check_number(_NAME, "cycle_cap", self.cycle_cap, low=1, high=_LARGEST_CAP, integer=True)
        if self.component_cap is not None:
            check_number(_NAME, "component_cap", self.component_cap, low=1, integer=True)
        if self.row_tolerance != math.inf:
            check_number(_NAME, "row_tolerance", self.row_tolerance, low=0.0)
        check_number(_NAME, "lower_bound", self.lower_bound, low=0.0)
        check_number(_NAME, "temperature", self.temperature, low=_TINY)
        check_number(_NAME, "sink_positions", self.sink_positions, low=0, integer=True)
        taken = {"self", "first", "previous", "next", "max", "squared_norm", "count", "last"}
        _check_sequence("drop_ids", self.drop_ids, "token ids")
        if not isinstance(self.token_classes or {}, Mapping):
            came = f"is {self.token_classes!r}"
            raise fail(_NAME, "token_classes", came, "a mapping of names to sequences of token ids")
        for name, members in (self.token_classes or {}).items():
            _check_sequence(f"token_classes[{name!r}]", members, "token ids")
            if not isinstance(name, str) or name in taken or name.startswith("position") or "." in name:
                came = f"has the name {name!r}"
                raise fail(_NAME, "token_classes", came, "names other than the built-in ones, without a dot")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_layers_in_")

    def _as_samples(self, X: Any, reset: bool) -> _Samples:
        if isinstance(X, np.ndarray):
            X = list(X) if X.dtype == object else torch.from_numpy(np.require(X, requirements=["C", "W"]))
        samples = _Samples(as_batch(_NAME, X, None, None))
        if not samples.items:
            raise fail(_NAME, "X", "has no sample", "at least one")
        heads = tuple(samples.items[0].attention.shape[:2])
        if reset:
            self.feature_list()
            self.n_layers_in_, self.n_heads_in_ = heads
        elif heads != (self.n_layers_in_, self.n_heads_in_):
            came = f"has {heads[0]} layers of {heads[1]} heads"
            raise fail(_NAME, "X", came, f"{self.n_layers_in_} layers of {self.n_heads_in_} heads, as in fit")
        return samples

    def _as_input(self, chunk: Any) -> Any:
        return chunk

    @shares_documentation(FeatureLayer.get_feature_names_out, sections=["Returns"])
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the names of the columns, such as ``layer3.head7.barcode.h0.sum``."""
        check_is_fitted(self)
        return np.array(self.feature_names(self.n_layers_in_, self.n_heads_in_), dtype=object)

    def feature_names(self, n_layers: int, n_heads: int) -> list[str]:
        """Return the names of the columns for a model of `n_layers` layers with `n_heads` heads each."""
        names = self.feature_list()
        return [
            f"layer{layer}.head{head}.{name}"
            for layer in range(n_layers)
            for head in range(n_heads)
            for name in names
        ]


def _check_sequence(argument: str, value: Any, of: str) -> None:
    if isinstance(value, str) or not isinstance(value, Collection):
        raise fail(_NAME, argument, f"is {value!r}", f"a sequence of {of}")


def _grid(shape: torch.Size, columns: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the indices of (layer, head, column), each flattened to (1, layers * heads * columns)."""
    layers = torch.arange(shape[0], device=columns.device)
    heads = torch.arange(shape[1], device=columns.device)
    return tuple(g.reshape(1, -1) for g in torch.meshgrid(layers, heads, columns, indexing="ij"))
