"""`PredictionMapper`: a map of what a model predicts, and of where it may err.

M. Liu, T. K. Dey, D. F. Gleich, "Topological structure of complex predictions", Nature Machine Intelligence,
2023 (GTDA). Cost: neighbours O(n² d) where a graph is not given; else the edges, times classes, a level.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from topodl._checks import check_choice, check_number, fail
from topodl.mapper._model_outputs import record_outputs, reject_shuffling
from topodl.mapper._prediction_graph import graph_of_edges, graph_of_neighbours, read_graph
from topodl.mapper._prediction_input import read_extra_lens, read_known, read_labels, read_predictions
from topodl.mapper._prediction_lens import averaging, distinct_columns, smoothed, unit_ranges
from topodl.mapper._prediction_net import NetSettings, PredictionNet, build_net, projected_edges
from topodl.mapper._prediction_votes import corrected, error_estimate, label_votes, voters
from topodl.mapper.graph import MapperGraph
from topodl.mapper.prediction_report import write_report

__all__ = ["PredictionMapper"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper"


class PredictionMapper(BaseEstimator):
    """Map of a model's predictions: a graph whose nodes are connected samples that are predicted alike.

    Samples are joined to their nearest neighbours, predictions are smoothed over this graph, and connected
    sets of samples are halved, each by the class whose probability varies most in it, until they are small.
    Sets that share samples are neighbours on the map. Known labels, spread over the map, tell where
    predictions are likely to be wrong.

    Parameters
    ----------
    n_neighbors : int
        Neighbours that each sample is joined to, at most one less than there are samples.
    metric : str or callable
        Distance of embeddings: "cosine", or what scikit-learn's ``NearestNeighbors`` takes.
    whiten : int or None
        Principal components of the embeddings that are kept, each divided by its singular value, in the
        precision of the embeddings; in double where one of them is below 3 % of the largest. None: the
        embeddings as they are.
    smoothing : float
        Part of a smoothed prediction that comes from the neighbours, from 0 to 1.
    smoothing_steps : int
        Times that the mean over the neighbours is taken.
    max_size : int
        Samples in a set that is not halved any more.
    overlap : float or pair of floats
        By how much the left half of a set reaches over the cut, as a part of the half's width, from 0 and
        below 1; a pair has both, that of the right half first.
    criterion : {"range", "std"}
        What says by which class a set is halved: the range or the standard deviation.
    min_range : float
        Sets whose smoothed predictions, scaled to [0, 1] in each class, spread less are not halved any more.
    min_size : int
        Samples that a node has at least; smaller ones are merged with what is nearest to them.
    min_component : int
        Nodes that a connected part of the map has at least; smaller ones are joined to what is nearest, and
        not shown where nothing is.
    merge : bool
        Whether to merge small nodes and to join small parts; otherwise they are not shown.
    max_distance : float
        Nodes merge and parts join over edges along which every column of the lens changes by less than this.
    max_levels : int
        How often a set is halved at most.
    max_rounds : int
        Rounds of merging, and of joining, at most.
    error_steps : int
        Steps by which known labels spread.
    error_graph : {"projected", "whole"}
        Over which graph they do: the edges within nodes of the map, or the whole graph of samples, which
        found errors better on most data.
    classes : sequence of int, optional
        The classes whose probabilities are the lens. None: all, but for the mirror image of another, as the
        second of two classes is.
    random_state : int, RandomState or None
        Of the principal components, where many dimensions call for a randomised method.
    verbose : bool
        Whether `explain` shows a progress bar.

    Attributes
    ----------
    graph_ : MapperGraph
        The nodes that are shown; edges of weight 0 joined parts. Its `x` (V, C) is the mean prediction.
    projected_graph_ : Tensor of shape (2, 2P), int64
        Edges of samples within a node, and those that joined parts, as PyTorch Geometric's `edge_index`.
    extra_edges_ : ndarray of shape (2, X), int64
        The pairs of samples that joined small parts, (inside, outside), in order.
    error_estimate_ : ndarray of shape (n,)
        For each sample, the share of votes that are not for its predicted class; where nobody votes, 1 − the
        largest probability.
    label_votes_ : ndarray of shape (n, C)
        Votes of known samples for each class; rows of zeros where nobody votes.
    predictions_ : ndarray of shape (n, C)
        Probabilities.
    sample_labels_ : ndarray of shape (n,), int64
        Labels that were given, −1 where there is none.
    known_ : ndarray of shape (n,), bool
        The samples that vote.
    adjacency_ : sparse array of shape (n, n)
        The graph of samples.
    lens_ : ndarray of shape (n, columns)
        Smoothed columns, scaled to [0, 1].
    lens_columns_ : ndarray of shape (columns,), int64
        The class that each column of the lens is of; extra lenses count from C on.
    embeddings_ : ndarray of shape (n, d)
        What `explain` read off the layer.

    Notes
    -----
    Where the published program leaves the result to rounding or does not end, this does not: of two columns
    that add up to 1 one is dropped, ties go by the order of classes and samples, sets that do not spread are
    not halved, and edges between samples with equal predictions count. Sizes are bounds that are met, where
    the program's are exceeded: its 5 is `min_size` = 6 and `min_component` = 6.

    See Also
    --------
    topodl.mapper.MapperGraph : What the map is.

    References
    ----------
    M. Liu, T. K. Dey, D. F. Gleich. Topological structure of complex predictions. Nature Machine Intelligence
    5, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> import topodl
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    >>> ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> right = 1 / (1 + np.exp(-3 * ring[:, 0]))  # of two classes, left and right, with the border at 0
    >>> mapper = topodl.PredictionMapper(whiten=None, max_size=20)
    >>> mapper.fit(ring, np.stack([1 - right, right], 1), labels=(ring[:, 0] > 0.1).astype(int))
    PredictionMapper(max_size=20, whiten=None)
    >>> mapper.graph_
    MapperGraph(26 nodes, 23 edges, 3 components, 2 features; 293 of 300 samples; cpu)
    >>> bool(abs(ring[mapper.error_estimate_.argmax(), 0]) < 0.2)  # the most doubtful one is at the border
    True
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        metric: str | Callable[..., float] = "cosine",
        whiten: int | None = 128,
        smoothing: float = 0.5,
        smoothing_steps: int = 5,
        max_size: int = 50,
        overlap: float | tuple[float, float] = 0.1,
        criterion: Literal["range", "std"] = "range",
        min_range: float = 1e-3,
        min_size: int = 6,
        min_component: int = 6,
        merge: bool = True,
        max_distance: float = 1.0,
        max_levels: int = 200,
        max_rounds: int = 10,
        error_steps: int = 10,
        error_graph: Literal["projected", "whole"] = "projected",
        classes: Iterable[int] | None = None,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.whiten = whiten
        self.smoothing = smoothing
        self.smoothing_steps = smoothing_steps
        self.max_size = max_size
        self.overlap = overlap
        self.criterion = criterion
        self.min_range = min_range
        self.min_size = min_size
        self.min_component = min_component
        self.merge = merge
        self.max_distance = max_distance
        self.max_levels = max_levels
        self.max_rounds = max_rounds
        self.error_steps = error_steps
        self.error_graph = error_graph
        self.classes = classes
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, predictions: Any, labels: Any = None, known: Any = None, extra_lens: Any = None
    ) -> Self:
        """Map the predictions of a model.

        Parameters
        ----------
        X : array or Tensor of shape (n, d), sparse matrix of shape (n, n), or integers of shape (2, E)
            Embeddings of the samples; or a graph of them, by its matrix, of which entries other than 0 are
            edges, or by the ends of its edges, as PyTorch Geometric's `edge_index`. Directions, loops and
            weights do not count.
        predictions : array or Tensor of shape (n, C)
            Probabilities of the classes.
        labels : integers of shape (n,), optional
            The class of each sample, −1 where it has none.
        known : booleans of shape (n,) or integers of shape (k,), optional
            The samples whose labels vote, as those that the model was trained on. None: all that have one.
        extra_lens : array or Tensor of shape (n, L), optional
            More columns to split by, beside the probabilities.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If shapes disagree, a value is NaN, infinite or no probability, or a class or sample is none.
        TypeError
            If labels are no integers.
        """
        self.__dict__.pop("embeddings_", None)  # of another model
        settings = self._settings()
        read = read_predictions(predictions)
        n, n_classes = read.probabilities.shape
        self.predictions_ = read.probabilities
        self.sample_labels_ = read_labels(labels, n, n_classes)
        self.known_ = read_known(known, self.sample_labels_)
        extra = read_extra_lens(extra_lens, n)
        graph = read_graph(X, n)
        self.adjacency_ = self._neighbours(X, n) if graph is None else graph
        self._fit_lens(read.resolution, extra)
        net = build_net(self.adjacency_, self.lens_, settings)
        self._fit_graphs(net, settings)
        votes_over = self._vote_graph()
        self.label_votes_ = label_votes(
            votes_over, self.sample_labels_, self.known_, n_classes, self.error_steps
        )
        self.error_estimate_ = error_estimate(self.predictions_, self.label_votes_)
        return self

    def explain(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        *,
        layer: str,
        labels: Any = None,
        known: Any = None,
        extra_lens: Any = None,
        activation: Literal["softmax"] | None = "softmax",
        transform: Callable[[Any], Any] | None = None,
    ) -> Self:
        """Run a model over a loader, and map its predictions on the embeddings of one of its layers.

        Parameters
        ----------
        model : Module
            Any classifier whose output, or its `logits`, or else its first tensor, is one score a class,
            (B, C), or one score, (B,) or (B, 1). It runs in evaluation mode, without gradient, where it is,
            and is left as it was.
        loader : iterable of batches
            Batches x, (x, y) or (x,), or dicts of the model's arguments and, under "labels", "label",
            "targets", "target" or "y", the labels. Samples keep its order.
        layer : str
            Name of the submodule whose output, of B samples, is the embedding, flattened.
        labels : integers of shape (n,), optional
            In place of those that the loader gives.
        known, extra_lens
            As in `fit`.
        activation : {"softmax", None}
            What makes probabilities of scores, and the sigmoid of single ones. None: they are probabilities.
        transform : callable, optional
            Makes the embedding (B, …) of the submodule's output, as a mean over positions. None: its first
            tensor.

        Returns
        -------
        self

        Raises
        ------
        InputError
            As `fit`; if there is no such layer, the output is something else, or a loader that shuffles comes
            with labels, known samples or lenses in an order of their own.
        """
        for argument, value in (("labels", labels), ("known", known), ("extra_lens", extra_lens)):
            if value is not None:
                reject_shuffling(loader, argument)
        outputs = record_outputs(
            model, loader, layer, activation=activation, transform=transform, verbose=self.verbose
        )
        labels = outputs.labels if labels is None else labels
        self.fit(outputs.embeddings, outputs.probabilities, labels, known, extra_lens)
        self.embeddings_ = outputs.embeddings
        return self

    def corrected_predictions(self) -> Array:
        """Return the classes (n,) after doubtful predictions went to the class with most votes.

        A prediction is doubtful where the estimate of its error exceeds its probability; with two classes it
        is flipped there.

        Returns
        -------
        ndarray of shape (n,), int64
        """
        check_is_fitted(self)
        return corrected(self.predictions_, self.label_votes_)

    def neighbours(self, sample: int) -> tuple[Array, Array]:
        """Return the known samples that vote for the class of a sample, and with how much weight.

        Parameters
        ----------
        sample : int
            Its index.

        Returns
        -------
        samples : ndarray of shape (k,), int64
            Those within `error_steps` of it, itself too if it is known; the most important first.
        weights : ndarray of shape (k,)
            Their shares of all votes.
        """
        check_is_fitted(self)
        check_number(f"{_NAME}.neighbours", "sample", sample, low=0, high=len(self.known_) - 1, integer=True)
        return voters(self._vote_graph(), int(sample), self.known_, self.error_steps)

    report = write_report

    # Parts of `fit`

    def _settings(self) -> NetSettings:
        """Return checked settings of the net."""
        for name in ("max_size", "n_neighbors", "min_size", "min_component"):
            check_number(_NAME, name, getattr(self, name), low=1, integer=True)
        for name in ("smoothing_steps", "max_levels", "max_rounds", "error_steps"):
            check_number(_NAME, name, getattr(self, name), low=0, integer=True)
        for name in ("min_range", "max_distance"):
            check_number(_NAME, name, getattr(self, name), low=0.0)
        check_number(_NAME, "smoothing", self.smoothing, low=0.0, high=1.0)
        if self.whiten is not None:
            check_number(_NAME, "whiten", self.whiten, low=1, integer=True)
        check_choice(_NAME, "criterion", self.criterion, ("range", "std"))
        check_choice(_NAME, "error_graph", self.error_graph, ("projected", "whole"))
        return NetSettings(
            max_size=self.max_size,
            overlap=self._overlap(),
            by_deviation=self.criterion == "std",
            min_range=self.min_range,
            min_size=self.min_size,
            min_component=self.min_component,
            merge=self.merge,
            max_distance=self.max_distance,
            max_levels=self.max_levels,
            max_rounds=self.max_rounds,
        )

    def _overlap(self) -> tuple[float, float]:
        pair: Any = (0.0, self.overlap) if np.ndim(self.overlap) == 0 else self.overlap
        if np.shape(pair) != (2,):
            raise fail(_NAME, "overlap", f"is {self.overlap!r}", "a number, or (right half, left half)")
        for value in pair:
            check_number(_NAME, "overlap", value, low=0.0, high=np.nextafter(1.0, 0.0))
        return float(pair[0]), float(pair[1])

    def _neighbours(self, embeddings: Any, n: int) -> sparse.csr_array:
        return graph_of_neighbours(
            embeddings, n, self.n_neighbors, self.metric, self.whiten, self.random_state
        )

    def _fit_lens(self, resolution: float, extra: Array) -> None:
        n_classes = self.predictions_.shape[1]
        if self.classes is None:
            chosen = np.arange(n_classes)
        else:
            chosen = np.unique(list(self.classes)).astype(np.int64)
            if not chosen.size or not 0 <= chosen[0] <= chosen[-1] < n_classes:
                raise fail(_NAME, "classes", f"is {self.classes!r}", f"classes from 0 to {n_classes - 1}")
        chosen = chosen[distinct_columns(self.predictions_[:, chosen], resolution)]
        columns = np.concatenate([self.predictions_[:, chosen], extra], axis=1)
        mean = averaging(self.adjacency_)
        self.lens_ = unit_ranges(smoothed(mean, columns, self.smoothing, self.smoothing_steps))
        self.lens_columns_ = np.concatenate([chosen, n_classes + np.arange(extra.shape[1])])

    def _fit_graphs(self, net: PredictionNet, settings: NetSettings) -> None:
        n = len(self.predictions_)
        shown = net.shown[net.node]
        number = np.cumsum(net.shown) - 1
        sizes = np.bincount(number[net.node[shown]], minlength=int(net.shown.sum()))
        membership = sparse.csr_array(
            (np.ones(int(shown.sum())), (number[net.node[shown]], net.sample[shown])), shape=(sizes.size, n)
        )
        edges = number[net.edges[:, net.shown[net.edges].all(axis=0)]]
        self.graph_ = MapperGraph(
            torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
            torch.from_numpy(net.sample[shown]),
            n,
            torch.from_numpy(edges),
            x=torch.from_numpy((membership @ self.predictions_) / sizes[:, None]).float(),
        )
        projected = projected_edges(self.adjacency_, net)
        both = np.concatenate([projected, projected[::-1]], axis=1)
        self.projected_graph_ = torch.from_numpy(both[:, np.lexsort(both[::-1])])
        self.extra_edges_ = net.extra_edges
        if not sizes.size:
            warnings.warn(
                f"{_NAME}: the map is empty: no part of it has min_component = {settings.min_component} "
                f"nodes of min_size = {settings.min_size} samples; smaller bounds, max_size too, show more",
                stacklevel=3,
            )

    def _vote_graph(self) -> sparse.csr_array:
        """Return the graph over which labels spread."""
        if self.error_graph == "whole":
            return self.adjacency_
        return graph_of_edges(self.projected_graph_.numpy(), len(self.predictions_))
