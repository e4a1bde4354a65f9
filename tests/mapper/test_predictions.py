"""`PredictionMapper`: against the original program, by hand, and on input of every awkward kind."""

import itertools
import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

import topodl
from tests.mapper.graphs import adjacency_of
from topodl import InputError, PredictionMapper

pytestmark = pytest.mark.filterwarnings("ignore:PredictionMapper. the map is empty")
SMALL = {"max_size": 8, "min_size": 3, "min_component": 3, "n_neighbors": 4, "whiten": None}


def sample_predictions(n, n_classes, seed):
    """Points of the plane, and probabilities that change smoothly over it."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    logits = points @ rng.normal(size=(2, n_classes)) * 2 + rng.normal(scale=0.3, size=(n, n_classes))
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return points, weights / weights.sum(1, keepdims=True), rng.integers(0, n_classes, n)


def nodes_of(mapper):
    return {frozenset(samples.tolist()) for samples in mapper.graph_}


def edges_of(mapper):
    nodes = [frozenset(samples.tolist()) for samples in mapper.graph_]
    return {frozenset((nodes[a], nodes[b])) for a, b in mapper.graph_.edge_index.T.tolist()}


def fitted(n=120, n_classes=3, seed=0, **settings):
    points, predictions, labels = sample_predictions(n, n_classes, seed)
    return PredictionMapper(**{**SMALL, **settings}).fit(points, predictions, labels, known=np.arange(n // 3))


# The original program

CASES = ("digits_mlp", "moons_logistic", "path24", "swiss_roll_gcn")
# AUC of finding errors among samples without a label: on the projected graph, on the whole one, and by
# 1 − the largest probability.
AUC = {
    "digits_mlp": (0.922, 0.990, 0.926),
    "moons_logistic": (0.812, 0.918, 0.817),
    "path24": (1.0, 1.0, 1.0),
    "swiss_roll_gcn": (0.955, 0.972, 0.857),
}


def read_case(shared, name):
    with np.load(shared / "golden" / "mapper" / f"gtda_{name}.npz") as data:
        arrays = {key: data[key] for key in data.files}
    return arrays, json.loads(str(arrays["settings"]))


def as_original(data, settings, **changes):
    """Fit with the settings of the original, whose bounds are exceeded and not met."""
    mapper = PredictionMapper(
        max_size=settings["smallest_component"],
        overlap=settings["overlap"],
        min_range=settings.get("split_thd", 0),
        min_size=settings.get("node_size_thd", 5) + 1,
        min_component=settings.get("reeb_component_thd", 5) + 1,
        classes=settings.get("labels_to_eval"),
        **changes,
    )
    return mapper.fit(
        data["edges"].astype(np.int64),
        data["predictions"],
        data["labels"],
        data["known"],
        data.get("extra_lens"),
    )


def sets(data, name):
    bounds = data[f"{name}_ptr"]
    return [frozenset(data[f"{name}_idx"][a:b].tolist()) for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_original(shared, case):
    data, settings = read_case(shared, case)
    mapper = as_original(data, settings)
    nodes = sets(data, "node")
    assert [frozenset(samples.tolist()) for samples in mapper.graph_] == nodes
    assert edges_of(mapper) == {frozenset((nodes[a], nodes[b])) for a, b in data["node_edges"].T}
    np.testing.assert_array_equal(mapper.extra_edges_, data["extra_edges"])
    once = mapper.projected_graph_[:, mapper.projected_graph_[0] < mapper.projected_graph_[1]]
    assert set(map(tuple, once.T.tolist())) == set(map(tuple, data["projected_edges"].T.tolist()))
    np.testing.assert_allclose(mapper.error_estimate_, data["error_estimate"], atol=1e-12, rtol=0)
    if "lens" in data:
        np.testing.assert_allclose(mapper.lens_, data["lens"], atol=1e-12)
    predicted = torch.from_numpy(mapper.predictions_.argmax(1))
    one_hot = torch.nn.functional.one_hot(predicted, mapper.predictions_.shape[1])
    counts = mapper.graph_.aggregate(one_hot, "count")
    np.testing.assert_array_equal(counts.numpy(), data["node_counts_predicted"])
    means = mapper.graph_.aggregate(torch.from_numpy(mapper.error_estimate_)).numpy()
    np.testing.assert_allclose(means, data["node_error_estimate"], atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_the_net_does_not_find_more_errors_than_the_whole_graph(shared, case):
    data, settings = read_case(shared, case)
    mapper = as_original(data, settings)
    whole = as_original(data, settings, error_graph="whole")
    unknown = ~mapper.known_
    wrong = (mapper.predictions_.argmax(1) != data["labels"])[unknown]
    scores = mapper.error_estimate_, whole.error_estimate_, 1 - mapper.predictions_.max(1)
    found = [roc_auc_score(wrong, score[unknown]) for score in scores]
    np.testing.assert_allclose(found, AUC[case], atol=6e-4)


def test_counts_of_the_swiss_roll_are_those_of_the_paper(shared):
    mapper = as_original(*read_case(shared, "swiss_roll_gcn"))
    assert (len(mapper.graph_), mapper.graph_.n_edges, mapper.projected_graph_.shape[1] // 2) == (
        88,
        83,
        2592,
    )


def test_single_precision_keeps_the_estimates(shared):
    data, settings = read_case(shared, "swiss_roll_gcn")
    data["predictions"] = data["predictions"].astype(np.float32)
    mapper = as_original(data, settings)
    np.testing.assert_allclose(mapper.error_estimate_, data["error_estimate"], atol=1e-5)


# By hand


def path_mapper(**settings):
    """Eight samples in a row; the probability of class 1 rises from 0 to 7/8; both ends are known."""
    right = np.arange(8) / 8
    edges = np.stack([np.arange(7), np.arange(1, 8)])
    settings = {
        "smoothing_steps": 0,
        "max_size": 2,
        "min_size": 2,
        "min_component": 1,
        "overlap": 0.0,
    } | settings
    labels = np.array([0, -1, -1, -1, -1, -1, -1, 1])
    return PredictionMapper(**settings).fit(edges, np.stack([1 - right, right], 1), labels)


def test_a_row_of_eight_by_hand():
    mapper = path_mapper()
    # The first column, larger on average, falls from 1 to 0 in steps of 1/7: halves of 4, then of 2, and
    # the joins of three cuts lead to the smallest sample at the other side of the shortest edge.
    assert nodes_of(mapper) == {frozenset(pair) for pair in ((0, 1), (2, 3), (4, 5), (6, 7))}
    assert mapper.lens_columns_.tolist() == [0]
    np.testing.assert_allclose(mapper.lens_[:, 0], np.arange(7, -1, -1) / 7)
    assert mapper.graph_.n_edges == 0
    assert mapper.projected_graph_.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6]]
    # Nobody votes in the middle; at the ends the only vote is for the predicted class.
    np.testing.assert_allclose(mapper.error_estimate_, [0, 0, 1 / 4, 3 / 8, 1 / 2, 3 / 8, 0, 0])


def test_small_parts_are_joined_by_hand():
    mapper = path_mapper(min_component=2)
    # Edges are equally long: of each pair the one of its smaller sample counts.
    assert mapper.extra_edges_.tolist() == [[1, 2, 4, 6], [2, 1, 3, 5]]
    assert mapper.graph_.edge_index.tolist() == [[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]
    assert mapper.graph_.edge_weight.tolist() == [0] * 6


def test_votes_by_hand():
    mapper = path_mapper(error_graph="whole", error_steps=2)
    # T1 = T0 / 2 + A T0 / 4 and so on, from the ends inwards.
    expected = np.zeros((8, 2))
    expected[[0, 1, 2], 0] = 0.5 + 0.125, 0.125, 0.0625
    expected[[7, 6, 5], 1] = expected[[0, 1, 2], 0]
    np.testing.assert_allclose(mapper.label_votes_, expected)
    samples, weights = mapper.neighbours(2)
    assert samples.tolist() == [0]
    assert weights.tolist() == [1.0]
    assert mapper.neighbours(3)[0].size == 0


def test_doubtful_predictions_go_to_the_votes():
    # Sample 1 is between two known ones of class 1, and predicted to be of class 0 with 0.6.
    predictions = np.array([[0.1, 0.9], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    with pytest.warns(UserWarning, match="the map is empty"):
        mapper = PredictionMapper(error_graph="whole").fit(
            np.array([[0, 1], [1, 2]]), predictions, np.array([1, 0, 1, 0]), known=[0, 2]
        )
    assert mapper.error_estimate_[1] == 1.0
    assert mapper.corrected_predictions().tolist() == [1, 1, 1, 0]
    assert mapper.error_estimate_[3] == pytest.approx(0.1)  # nobody votes there
    samples, weights = mapper.neighbours(1)
    assert samples.tolist() == [0, 2]
    np.testing.assert_allclose(weights, 0.5)


@given(st.integers(0, 1000), st.sampled_from(["projected", "whole"]))
def test_weights_of_voters_are_the_votes(seed, graph):
    mapper = fitted(40, 3, seed, error_graph=graph)
    for sample in range(0, 40, 7):
        samples, weights = mapper.neighbours(sample)
        votes = np.bincount(mapper.sample_labels_[samples], weights, 3)
        total = mapper.label_votes_[sample].sum()
        np.testing.assert_allclose(votes, mapper.label_votes_[sample] / (total or 1.0), atol=1e-12)
        assert (np.diff(weights) <= 0).all()
        assert mapper.known_[samples].all()


# Sound where rounding decided


@pytest.mark.parametrize("case", ["moons_logistic", "path24"])
def test_two_classes_do_not_hang_on_rounding_or_on_their_order(shared, case):
    data, settings = read_case(shared, case)
    settings.pop("labels_to_eval")
    first = as_original(data, settings)
    predictions = data["predictions"]
    rng = np.random.default_rng(0)
    noisy = np.nextafter(predictions, predictions + rng.choice([-1.0, 1.0], predictions.shape)).clip(0, 1)
    assert nodes_of(as_original(data | {"predictions": noisy}, settings)) == nodes_of(first)
    swapped = as_original(
        data | {"predictions": predictions[:, ::-1], "labels": 1 - data["labels"].astype(int)}, settings
    )
    assert nodes_of(swapped) == nodes_of(first)
    assert edges_of(swapped) == edges_of(first)
    np.testing.assert_allclose(swapped.error_estimate_, first.error_estimate_, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_mirrored_columns_are_dropped_in_every_precision(dtype):
    points, predictions, _ = sample_predictions(100, 2, 3)
    predictions = predictions.astype(dtype)
    mapper = PredictionMapper(**SMALL).fit(points, predictions)
    assert mapper.lens_.shape == (100, 1)
    assert mapper.lens_columns_.tolist() == [predictions.astype(float).mean(0).argmax()]


def test_columns_that_are_no_mirror_images_stay():
    points, predictions, _ = sample_predictions(100, 3, 3)
    assert PredictionMapper(**SMALL).fit(points, predictions).lens_columns_.tolist() == [0, 1, 2]
    independent = predictions[:, :2]
    assert PredictionMapper(**SMALL).fit(points, independent).lens_columns_.tolist() == [0, 1]


def test_equal_mirror_images_keep_the_one_that_leads():
    edges = np.array([[0, 1, 2], [1, 2, 3]])
    predictions = np.array([[0.5, 0.5], [0.25, 0.75], [0.75, 0.25], [0.5, 0.5]])
    settings = {"max_size": 1, "min_size": 1, "min_component": 1, "smoothing": 0.0}
    mapper = PredictionMapper(**settings).fit(edges, predictions)
    swapped = PredictionMapper(**settings).fit(edges, predictions[:, ::-1])
    assert (mapper.lens_columns_.tolist(), swapped.lens_columns_.tolist()) == ([1], [0])
    assert nodes_of(mapper) == nodes_of(swapped)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_permuted_samples_give_the_permuted_map(seed, n_classes):
    n = 60
    points, predictions, labels = sample_predictions(n, n_classes, seed)
    order = np.random.default_rng(seed).permutation(n)
    known = np.arange(n) < 20
    one = PredictionMapper(**SMALL).fit(points, predictions, labels, known)
    other = PredictionMapper(**SMALL).fit(points[order], predictions[order], labels[order], known[order])
    assert {frozenset(order[list(node)].tolist()) for node in nodes_of(other)} == nodes_of(one)
    np.testing.assert_allclose(other.error_estimate_, one.error_estimate_[order], atol=1e-12)


def test_a_second_fit_forgets_the_first():
    mapper = fitted(120, 3, 0)
    points, predictions, _ = sample_predictions(70, 4, 1)
    again = mapper.fit(points, predictions)
    fresh = PredictionMapper(**SMALL).fit(points, predictions)
    assert nodes_of(again) == nodes_of(fresh)
    np.testing.assert_array_equal(again.error_estimate_, fresh.error_estimate_)
    np.testing.assert_array_equal(again.error_estimate_, 1 - predictions.max(1))


# Awkward input


@pytest.mark.parametrize("n", [1, 2, 3, 200])
@pytest.mark.parametrize("kind", ["constant", "saturated", "duplicates", "disconnected", "no edges"])
def test_degenerate_input_has_an_end_and_no_empty_node(n, kind):
    points, predictions, labels = sample_predictions(n, 3, 0)
    X = points
    if kind == "constant":
        predictions = np.full((n, 3), 1 / 3)
    if kind == "saturated":
        predictions = np.eye(3)[predictions.argmax(1)]
    if kind == "duplicates":
        X = np.ones((n, 2))
    if kind == "disconnected":
        X = sparse.block_diag([np.ones((2, 2))] * n).tocsr()[:n, :n]
    if kind == "no edges":
        X = sparse.csr_array((n, n))
    for settings in (SMALL, SMALL | {"whiten": 2}, SMALL | {"min_range": 0.0, "criterion": "std"}):
        mapper = PredictionMapper(**settings).fit(X, predictions, labels, known=[0])
        assert (mapper.graph_.sizes > 0).all()
        for values in (mapper.error_estimate_, mapper.label_votes_, mapper.lens_, mapper.graph_.x.numpy()):
            assert np.isfinite(values).all()
        assert ((mapper.error_estimate_ >= 0) & (mapper.error_estimate_ <= 1)).all()


def test_an_isolated_sample_keeps_its_prediction():
    predictions = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.8, 0.2]])
    mapper = PredictionMapper().fit(np.array([[1, 2], [2, 3]]), predictions)
    assert mapper.lens_[0, 0] == 1.0


def test_graphs_of_every_form_are_the_same():
    n = 60
    points, predictions, labels = sample_predictions(n, 3, 0)
    mapper = PredictionMapper(**SMALL).fit(points, predictions, labels)
    adjacency = mapper.adjacency_
    upper = sparse.triu(adjacency)
    ends = np.stack(sparse.coo_array(adjacency).coords)
    weighted = sparse.coo_array(upper) * 7.0 + sparse.eye_array(n)
    as_torch = torch.sparse_coo_tensor(
        torch.from_numpy(ends), torch.ones(ends.shape[1]), (n, n), check_invariants=True
    )
    forms = [
        adjacency,
        sparse.csc_matrix(adjacency),
        weighted,
        ends,
        torch.from_numpy(ends.astype(np.int64)),
        np.concatenate([ends, ends, [[3], [3]]], axis=1),
        as_torch,
    ]
    for form in forms:
        again = clone(mapper).fit(form, predictions, labels)
        assert nodes_of(again) == nodes_of(mapper)
        np.testing.assert_array_equal(again.adjacency_.toarray(), adjacency.toarray())


def test_embeddings_of_every_form_are_the_same():
    points, predictions, labels = sample_predictions(60, 3, 0)
    expected = nodes_of(PredictionMapper(**SMALL).fit(points, predictions, labels))
    frame = pd.DataFrame(points, columns=["a", "b"])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    euclidean = PredictionMapper(**SMALL, metric="euclidean").fit(points, predictions)
    given_distances = PredictionMapper(**SMALL, metric="precomputed").fit(distances, predictions)
    assert nodes_of(euclidean) == nodes_of(given_distances) != expected
    for form in (torch.from_numpy(points), frame, points.tolist()):
        again = PredictionMapper(**SMALL).fit(form, pd.DataFrame(predictions), pd.Series(labels))
        assert nodes_of(again) == expected


def test_cosine_neighbours_by_hand():
    directions = np.array([[1, 0], [10, 1], [1, 1], [0, 1], [-1, 8]], dtype=float)
    mapper = PredictionMapper(n_neighbors=1, whiten=None).fit(directions, np.full((5, 2), 0.5))
    assert set(zip(*sparse.coo_array(sparse.triu(mapper.adjacency_)).coords, strict=True)) == {
        (0, 1),
        (1, 2),
        (3, 4),
    }


def test_known_masks_and_indices_are_the_same():
    points, predictions, labels = sample_predictions(60, 3, 0)
    mask = np.arange(60) % 4 == 0
    by_mask = PredictionMapper(**SMALL).fit(points, predictions, labels, mask)
    by_index = PredictionMapper(**SMALL).fit(points, predictions, labels, np.flatnonzero(mask))
    by_label = PredictionMapper(**SMALL).fit(points, predictions, np.where(mask, labels, -1))
    for other in (by_index, by_label):
        np.testing.assert_array_equal(other.error_estimate_, by_mask.error_estimate_)
    nobody = PredictionMapper(**SMALL).fit(points, predictions, labels, known=[])
    np.testing.assert_array_equal(nobody.error_estimate_, 1 - predictions.max(1))


def test_more_columns_split_more():
    n = 100
    points, predictions, _ = sample_predictions(n, 2, 0)
    flat = np.full((n, 2), 0.5)
    plain = PredictionMapper(**SMALL).fit(points, flat)
    split = PredictionMapper(**SMALL).fit(points, flat, extra_lens=1e3 * predictions[:, 0])
    assert len(split.graph_) > len(plain.graph_)
    assert split.lens_columns_.tolist() == [0, 2]


def nan_at(array, *place):
    array = np.array(array, dtype=float)
    array[place] = np.nan
    return array


POINTS, PREDICTIONS, LABELS = sample_predictions(10, 3, 0)
BAD = [
    ({"X": nan_at(POINTS, 4, 1)}, r"X\[4\] has NaN"),
    ({"X": np.where(np.arange(20).reshape(10, 2) == 7, np.inf, POINTS)}, r"X\[3\] has an infinite value"),
    ({"X": POINTS[:9]}, r"X has shape \(9, 2\); expected embeddings \(10, d\)"),
    ({"X": POINTS[:, :0]}, "X has shape"),
    ({"X": np.array([[0, 1], [1, 10]])}, "X has edges of samples from 0 to 10"),
    ({"X": sparse.eye_array(9)}, r"X is a sparse matrix of shape \(9, 9\)"),
    ({"X": sparse.csr_array(([np.nan], ([2], [3])), shape=(10, 10))}, r"X\[2\] has an entry"),
    ({"predictions": nan_at(PREDICTIONS, 2, 0)}, r"predictions\[2\] has NaN"),
    ({"predictions": PREDICTIONS * 5}, r"predictions\[\d, \d\] is .*; expected a probability"),
    ({"predictions": PREDICTIONS[:, :1]}, "predictions has shape"),
    ({"predictions": PREDICTIONS[:0]}, "predictions has shape"),
    ({"labels": LABELS[:5]}, "labels has shape"),
    ({"labels": np.where(np.arange(10) == 6, 3, LABELS)}, r"labels\[6\] is 3"),
    ({"labels": LABELS, "known": [10]}, "known has samples from 10 to 10"),
    ({"labels": LABELS, "known": [[1]]}, "known has shape"),
    ({"labels": LABELS, "known": np.ones(9, bool)}, "known is a mask of shape"),
    ({"known": [3]}, "known has sample 3, which has no label"),
    ({"extra_lens": np.ones((9, 1))}, "extra_lens has shape"),
    ({"extra_lens": nan_at(np.ones((10, 1)), 5, 0)}, r"extra_lens\[5\] has NaN"),
    ({"extra_lens": np.full((10, 1), 1e200)}, "extra_lens has 1e\\+200"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bad_input_is_named(arguments, message):
    arguments = {"X": POINTS, "predictions": PREDICTIONS} | arguments
    with pytest.raises(InputError, match=f"PredictionMapper: {message}"):
        PredictionMapper().fit(**arguments)


def test_two_samples_with_integers_are_ambiguous():
    with pytest.raises(InputError, match="integers of 2 samples"):
        PredictionMapper().fit(np.array([[0, 1], [1, 0]]), np.full((2, 2), 0.5))


def test_labels_are_integers():
    with pytest.raises(TypeError, match="labels has dtype float64"):
        PredictionMapper().fit(POINTS, PREDICTIONS, LABELS + 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_neighbors", 0),
        ("whiten", 0),
        ("smoothing", 1.5),
        ("smoothing_steps", -1),
        ("max_size", 0),
        ("overlap", 1.0),
        ("overlap", (0.1, 0.2, 0.3)),
        ("criterion", "variance"),
        ("min_range", -0.1),
        ("min_size", 0),
        ("min_component", 1.5),
        ("max_distance", -1.0),
        ("max_levels", -1),
        ("max_rounds", -1),
        ("error_steps", -1),
        ("error_graph", "net"),
        ("classes", [3]),
        ("classes", []),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(InputError, match=f"PredictionMapper: {name} is"):
        PredictionMapper(**{name: value}).fit(POINTS, PREDICTIONS)


def test_no_such_sample():
    with pytest.raises(InputError, match="sample is 120"):
        fitted().neighbours(120)


# An estimator


def test_scikit_learn_accepts_the_estimator():
    for check in (
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ):
        check("PredictionMapper", PredictionMapper())


def test_copies_and_pickles_hold_the_map():
    mapper = fitted()
    again = pickle.loads(pickle.dumps(mapper))
    assert nodes_of(again) == nodes_of(mapper)
    assert again.neighbours(3)[0].tolist() == mapper.neighbours(3)[0].tolist()
    fresh = clone(mapper)
    assert fresh.get_params() == mapper.get_params()
    with pytest.raises(NotFittedError):
        fresh.corrected_predictions()
    with pytest.raises(NotFittedError):
        fresh.neighbours(0)


def test_input_is_left_as_it_is():
    points, predictions, labels = sample_predictions(50, 3, 0)
    copies = points.copy(), predictions.copy(), labels.copy()
    PredictionMapper(**SMALL).fit(points, predictions, labels)
    for array, copy in zip((points, predictions, labels), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_maps_on_the_whole_graph_have_the_same_net():
    projected, whole = fitted(), fitted(error_graph="whole")
    assert nodes_of(projected) == nodes_of(whole)
    assert not np.array_equal(projected.error_estimate_, whole.error_estimate_)


def test_nodes_are_connected_and_edges_weigh_common_samples():
    mapper = fitted(200, 4, 5)
    graph = mapper.graph_
    for samples in graph:
        inside = mapper.adjacency_[samples.numpy()][:, samples.numpy()]
        assert sparse.csgraph.connected_components(inside, directed=False)[0] == 1
    members = [set(samples.tolist()) for samples in graph]
    for (a, b), weight in zip(graph.edge_index.T.tolist(), graph.edge_weight.tolist(), strict=True):
        assert weight == len(members[a] & members[b])


def test_without_merging_small_nodes_are_not_shown():
    points, predictions, _ = sample_predictions(200, 3, 0)
    mapper = PredictionMapper(**SMALL | {"min_component": 1}, merge=False).fit(points, predictions)
    assert mapper.graph_.sizes.min() >= 3
    assert mapper.extra_edges_.shape == (2, 0)
    assert len(mapper.graph_.select(slice(None))) < 200


def test_names_are_at_the_root():
    assert topodl.PredictionMapper is PredictionMapper
    assert adjacency_of(2, np.array([[0], [1]])).nnz == 2


# The page


def payload_of(path):
    page = path.read_text(encoding="utf-8")
    return page, json.loads(
        re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1]
    )


def test_a_report_shows_what_is_known(tmp_path):
    mapper = fitted(120, 3, 0)
    names = ["ant", "</script><b>", "cat"]
    path = mapper.report(tmp_path / "map.html", class_names=names, columns={"place": np.arange(120.0)})
    page, payload = payload_of(path)
    assert "http" not in page.replace("http://www.w3.org/", "").replace("http-equiv", "")
    columns = {column["name"]: column for column in payload["columns"]}
    assert list(columns)[:7] == [
        "predicted class",
        "estimated error",
        "1 − largest probability",
        "true error",
        "true class",
        "label",
        "corrected class",
    ]
    assert "place" in columns
    samples = payload["samples"]
    assert samples == mapper.graph_.select(slice(None)).tolist()
    predicted = columns["predicted class"]
    assert [names.index(predicted["classes"][v]) for v in predicted["values"]] == (
        mapper.predictions_.argmax(1)[samples].tolist()
    )
    np.testing.assert_allclose(
        columns["estimated error"]["values"], mapper.error_estimate_[samples], atol=1e-6
    )
    wrong = mapper.predictions_.argmax(1) != mapper.sample_labels_
    assert columns["true error"]["values"] == wrong[samples].tolist()
    assert f"predicted {names[mapper.predictions_[samples[0]].argmax()]}" in payload["tooltips"][0]
    assert "40 known labels vote over edges within nodes" in page


def test_a_report_without_labels_says_nothing_of_them(tmp_path):
    points, predictions, _ = sample_predictions(80, 12, 0)
    mapper = PredictionMapper(**SMALL).fit(points, predictions)
    _, payload = payload_of(mapper.report(tmp_path / "map.html", title="Twelve", n_nearest=2))
    names = [column["name"] for column in payload["columns"]]
    assert "true error" not in names
    assert payload["columns"][0]["classes"] == sorted(payload["columns"][0]["classes"])
    assert set(payload["columns"][0]["classes"]) <= {f"{k:02d}" for k in range(12)}


def test_an_empty_map_can_be_written(tmp_path):
    mapper = PredictionMapper(**SMALL).fit(sparse.csr_array((5, 5)), np.full((5, 2), 0.5))
    assert len(mapper.graph_) == 0
    assert mapper.report(tmp_path / "map.html").exists()


@pytest.mark.parametrize("names", ["abc", ["a", "b"], ["a", "b", "a"]])
def test_names_are_one_a_class(tmp_path, names):
    mapper = fitted(60, 3, 0)
    if names != "abc":
        with pytest.raises(InputError, match="class_names has"):
            mapper.report(tmp_path / "map.html", class_names=names)
    else:
        with pytest.raises(InputError, match="3 names, one a class"):
            mapper.report(tmp_path / "map.html", class_names=names)
    assert not (tmp_path / "map.html").exists()
