"""`Mapper` as an estimator, and `mapper_graph`: known shapes, awkward input, new samples, scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import topodl
from topodl import InputError, Mapper, mapper_graph
from topodl.mapper import BallCover, IntervalCover, KNNCover, PrecomputedCover


@parametrize_with_checks([Mapper(), Mapper(n_components=2, n_intervals=3, clusterer=None)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# Known shapes


def circle(n, rng):
    t = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(t), np.sin(t)], 1)


def figure_eight(n, rng):
    points = circle(n, rng)
    points[:, 1] += np.where(np.arange(n) % 2, 1, -1)
    return points


def torus(n, rng):
    u, v = rng.uniform(0, 2 * np.pi, (2, n))
    return np.stack([(3 + np.cos(v)) * np.cos(u), (3 + np.cos(v)) * np.sin(u), np.sin(v)], 1)


@pytest.mark.parametrize(
    ("shape", "n", "column", "n_intervals", "distance", "expected"),
    [
        (circle, 400, 1, 6, 0.3, (1, 1)),
        (figure_eight, 600, 1, 10, 0.3, (1, 2)),
        (torus, 3000, 0, 8, 0.65, (1, 1)),
    ],
)
def test_graphs_of_known_spaces_have_their_cycles(shape, n, column, n_intervals, distance, expected):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = shape(n, rng)
        points += rng.normal(scale=0.05, size=points.shape)
        mapper = Mapper(lens=column, n_intervals=n_intervals, clusterer=distance, min_size=3)
        assert mapper.fit(points).graph_.betti() == expected


@pytest.mark.parametrize(
    "data", [load_digits().data, load_iris().data, make_blobs(500, random_state=0)[0] * 1000]
)
def test_defaults_make_a_graph_that_is_neither_empty_nor_of_single_samples(data):
    graph = Mapper().fit(data).graph_
    assert graph.n_edges >= 10
    assert int((graph.sizes >= 10).sum()) >= 5
    assert len(graph.node_index.unique()) == len(data)


# Awkward input


@pytest.mark.parametrize(
    "clusterer", ["gap", "simple_gap", 0.5, DBSCAN(min_samples=2), None, KMeans(2, n_init=1)]
)
@pytest.mark.parametrize(
    "cover", ["uniform", "balanced", IntervalCover(ends="tight"), BallCover(0.5), KNNCover()]
)
@pytest.mark.parametrize(
    "points",
    [np.zeros((1, 2)), np.ones((2, 2)), np.ones((9, 2)), np.repeat(np.eye(2), 6, 0), 1e140 * np.eye(2)],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_awkward_samples_make_a_graph_all_the_same(points, cover, clusterer):
    mapper = Mapper(lens=0, cover=cover, clusterer=clusterer).fit(points)
    graph = mapper.graph_
    assert (graph.sizes > 0).all()
    assert len(graph) <= 20 * len(points)
    assert np.isfinite(mapper.lens_).all()
    assert mapper.transform(points).shape == (len(points), len(graph))
    assert (mapper.labels_ >= 0).all() or isinstance(clusterer, DBSCAN)


def test_a_constant_lens_is_one_element():
    points = np.array([[0.0, 1.0], [0.0, 1.1], [0.0, 7.0]])
    assert [node.tolist() for node in Mapper(lens=0, clusterer=0.2).fit(points).graph_] == [[0, 1], [2]]


def test_all_noise_is_an_empty_graph():
    points = np.arange(10.0)[:, None] * 100
    mapper = Mapper(clusterer=DBSCAN(), attributes=lambda clouds: 1 / 0).fit(points)
    assert len(mapper.graph_) == 0
    assert mapper.labels_.tolist() == [-1] * 10
    assert mapper.transform(points).shape == (10, 0)
    assert mapper.get_feature_names_out().tolist() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "cosine"}, "metric is 'cosine'; expected one of 'euclidean', 'precomputed'"),
        ({"cover": "cubes"}, "cover is 'cubes'; expected one of 'uniform', 'balanced', 'bins'"),
        ({"cover": 3}, "cover is 3; expected 'uniform', 'balanced', 'bins', or a cover"),
        ({"cover": "bins"}, "clusterer is HistogramGap with a cover of bins; expected a distance"),
        ({"min_size": 0}, "min_size is 0"),
        ({"min_shared": 0}, "min_shared is 0"),
        ({"max_dim": 0}, "max_dim is 0"),
        ({"noise": "keep"}, "noise is 'keep'; expected one of 'drop', 'singletons', 'node'"),
        ({"n_intervals": 0}, "n_intervals is 0"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"n_components": 0}, "n_components is 0"),
        ({"metric": "precomputed"}, r"X has shape \(6, 2\); expected symmetric distances"),
    ],
)
def test_settings_that_are_unusable_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Mapper(**settings).fit(np.random.default_rng(0).random((6, 2)))


def test_values_that_are_not_finite_are_named():
    x = np.zeros((4, 3))
    x[2, 1] = np.nan
    with pytest.raises(InputError, match="Mapper: X has NaN at row 2, column 1; expected finite values"):
        Mapper().fit(x)
    with pytest.raises(InputError, match="lens has NaN at row 3, column 0"):
        Mapper().fit(np.zeros((4, 3)), lens=[0, 0, 0, np.nan])
    with pytest.raises(InputError, match=r"lens has shape \(3,\)"):
        Mapper().fit(np.zeros((4, 3)), lens=[0, 0, 0])
    with pytest.raises(
        InputError, match=r"X has 1e\+300 at row 1, column 0; expected finite values of at most"
    ):
        Mapper().fit([[0.0], [1e300]])
    with pytest.raises(InputError, match="X has inf at row 0, column 2"):
        Mapper().fit(torch.tensor([[0.0, 0.0, torch.inf]]))


# Distances


@pytest.mark.parametrize("clusterer", ["gap", 0.3, None])
@pytest.mark.parametrize("lens", ["eccentricity", "density"])
def test_distances_give_the_graph_of_their_points(clusterer, lens):
    points = np.random.default_rng(0).random((60, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    one = Mapper(lens=lens, clusterer=clusterer).fit(points)
    other = Mapper(lens=lens, clusterer=clusterer, metric="precomputed").fit(distances)
    nodes = [[node.tolist() for node in mapper.graph_] for mapper in (one, other)]
    assert nodes[0] == nodes[1]
    assert (one.transform(points[:9]) != other.transform(distances[:9])).nnz == 0


def test_clusterers_of_distances_take_them():
    points = np.random.default_rng(0).random((30, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    settings = {"lens": "eccentricity", "metric": "precomputed"}
    clusterer = DBSCAN(0.3, metric="precomputed", min_samples=2)
    expected = Mapper(lens="eccentricity", clusterer=DBSCAN(0.3, min_samples=2)).fit(points).graph_
    found = Mapper(clusterer=clusterer, **settings).fit(distances).graph_
    assert [node.tolist() for node in found] == [node.tolist() for node in expected]
    with pytest.raises(InputError, match="expected one with metric='precomputed', too"):
        Mapper(clusterer=DBSCAN(0.3), **settings).fit(distances)
    with pytest.raises(InputError, match="lens is 'pca' with metric='precomputed'"):
        Mapper(metric="precomputed").fit(distances)
    with pytest.raises(InputError, match="X is not symmetric"):
        Mapper(**settings).fit(np.triu(distances))


def test_ball_mapper_of_distances():
    points = np.random.default_rng(0).random((40, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    graphs = [
        Mapper(lens=None, cover=BallCover(0.3), clusterer=None, metric=metric).fit(x).graph_
        for metric, x in (("euclidean", points), ("precomputed", distances))
    ]
    assert [node.tolist() for node in graphs[0]] == [node.tolist() for node in graphs[1]]


# What changes nothing


@given(st.integers(0, 99), st.sampled_from(["gap", 0.2, DBSCAN(0.2, min_samples=1)]))
def test_the_order_of_samples_changes_nothing(seed, clusterer):
    rng = np.random.default_rng(seed)
    points, order = rng.random((40, 2)), rng.permutation(40)
    one = Mapper(lens=[0, 1], n_intervals=3, clusterer=clusterer).fit(points).graph_
    other = Mapper(lens=[0, 1], n_intervals=3, clusterer=clusterer).fit(points[order]).graph_

    def parts(graph, names):
        nodes = [tuple(sorted(names[node.numpy()].tolist())) for node in graph]
        edges = {frozenset((nodes[a], nodes[b])) for a, b in graph.edge_index.T.tolist()}
        return sorted(nodes), edges

    assert parts(one, np.arange(40)) == parts(other, order)


def test_threads_change_nothing():
    points, before = np.random.default_rng(0).random((300, 2)), topodl.get_num_threads()
    graphs = []
    try:
        for n in (1, 3):
            topodl.set_num_threads(n)
            graphs.append(Mapper().fit(points).graph_)
    finally:
        topodl.set_num_threads(before)
    assert graphs[0].to_dict() == graphs[1].to_dict()


def test_a_second_fit_forgets_the_first():
    rng = np.random.default_rng(0)
    first, second = rng.random((50, 2)), 100 + 7 * rng.random((80, 3))
    again = Mapper().fit(first).fit(second)
    fresh = Mapper().fit(second)
    assert again.graph_.to_dict() == fresh.graph_.to_dict()
    assert (again.transform(second) != fresh.transform(second)).nnz == 0
    with_lens = Mapper().fit(second, lens=second[:, 0]).fit(second)
    assert with_lens.graph_.to_dict() == fresh.graph_.to_dict()


class RandomLens(TransformerMixin, BaseEstimator):
    """Other values at each call, as embeddings with a random start give."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.random.default_rng().normal(size=(len(X), 1))


def test_a_random_lens_is_computed_once():
    points = np.random.default_rng(0).random((50, 2))
    mapper = Mapper(lens=RandomLens(), clusterer=None).fit(points)
    graph = mapper.graph_
    again = Mapper(clusterer=None).fit(points, lens=mapper.lens_).graph_
    assert graph.to_dict() == again.to_dict()
    low, high = mapper.cover_.intervals_[0].T
    for node, k in zip(graph, graph.cover_index[:, 0].tolist(), strict=True):
        assert (low[k] <= mapper.lens_[node]).all()
        assert (mapper.lens_[node] <= high[k]).all()


# New samples


@pytest.mark.parametrize(
    ("cover", "clusterer"),
    [
        ("uniform", "gap"),
        ("balanced", 0.1),
        ("bins", 0.1),
        (IntervalCover(5, 0.4, ends="tight", max_points=20), "gap"),
        (BallCover(0.2), None),
        (KNNCover(8), 0.1),
        ("uniform", KMeans(2, n_init=1, random_state=0)),
        ("uniform", DBSCAN(0.1, min_samples=3)),
    ],
)
def test_known_samples_lie_in_at_least_the_nodes_that_hold_them(cover, clusterer):
    points = np.random.default_rng(0).random((150, 2))
    points[7] = points[30]
    mapper = Mapper(lens=[0, 1], n_intervals=4, cover=cover, clusterer=clusterer).fit(points)
    found = mapper.transform(points).toarray()
    members = mapper.graph_.membership().to_dense().T.numpy()
    assert (found >= members).all()
    assert set(np.unique(found)) <= {0.0, 1.0}
    if not isinstance(clusterer, DBSCAN) and not isinstance(cover, KNNCover):
        assert (found == members).all()


def test_new_samples_go_to_the_nearest_member_of_their_elements():
    points = np.array([[0.0, 0.0], [0.0, 10.0], [1.0, 0.0], [1.0, 10.0]])
    mapper = Mapper(lens=0, n_intervals=1, clusterer=2.0).fit(points)
    assert mapper.transform([[0.5, 1.0], [0.5, 9.0], [99.0, 9.0]]).toarray().tolist() == [
        [1, 0],
        [0, 1],
        [0, 1],
    ]


def test_a_lens_that_was_given_is_needed_for_new_samples():
    points = np.random.default_rng(0).random((20, 2))
    mapper = Mapper().fit(points, lens=points)
    with pytest.raises(InputError, match="lens is not given, and that of fit cannot tell it of new samples"):
        mapper.transform(points)
    with pytest.raises(InputError, match="lens has 1 columns; expected 2, as in fit"):
        mapper.transform(points, lens=points[:, 0])
    assert mapper.transform(points, lens=points).shape == (20, len(mapper.graph_))
    given_sets = Mapper(cover=PrecomputedCover([range(20)])).fit(points)
    with pytest.raises(InputError, match="X has new samples"):
        given_sets.transform(points)


# scikit-learn


def test_clones_pickles_and_data_frames():
    points = np.random.default_rng(0).random((60, 3))
    mapper = Mapper(lens="density", cover=IntervalCover(4)).fit(points)
    again = pickle.loads(pickle.dumps(mapper))
    assert again.graph_.to_dict() == mapper.graph_.to_dict()
    assert (again.transform(points) != mapper.transform(points)).nnz == 0
    copied = clone(mapper)
    assert not hasattr(copied, "graph_")
    assert copied.get_params()["cover__n_intervals"] == 4
    frame = pd.DataFrame(points, columns=["a", "b", "c"], index=range(100, 160))
    table = mapper.set_output(transform="pandas").fit(frame).transform(frame)
    assert table.columns.tolist() == [f"mapper{k}" for k in range(len(mapper.graph_))]
    assert table.index.tolist() == list(range(100, 160))


def test_pipelines_and_columns_of_nodes():
    data = load_iris()
    pipeline = make_pipeline(StandardScaler(), Mapper(n_intervals=5, clusterer=0.8))
    found = pipeline.fit_transform(data.data)
    assert found.shape == (150, len(pipeline[-1].graph_))
    with pytest.raises(NotFittedError):
        Mapper().transform(data.data)


def test_labels_are_components():
    points = np.concatenate(
        [circle(100, np.random.default_rng(0)), 9 + circle(100, np.random.default_rng(1))]
    )
    mapper = Mapper(lens=1, clusterer=0.5, n_intervals=4).fit(points)
    assert len(set(mapper.labels_[:100])) == len(set(mapper.labels_[100:])) == 1
    assert set(mapper.labels_) == {0, 1}


def test_a_progress_bar_is_shown_where_it_is_asked_for(capsys):
    Mapper(verbose=True).fit(np.random.default_rng(0).random((20, 2)))
    assert "Mapper" in capsys.readouterr().err
    Mapper().fit(np.random.default_rng(0).random((20, 2)))
    assert capsys.readouterr().err == ""


# The function


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_the_function_is_the_estimator(dtype):
    x = (torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 100).to(dtype)
    graph = mapper_graph(x, x[:, 0], 5, 0.4, 9.0, max_dim=2, min_size=2)
    mapper = Mapper(n_intervals=5, overlap=0.4, clusterer=9.0, max_dim=2, min_size=2)
    expected = mapper.fit(x.double().numpy(), lens=x[:, 0].double().numpy()).graph_
    assert graph.to_dict() == expected.to_dict()
    assert mapper_graph(x, 0, 5, 0.4, 9.0).n_samples == 60
    assert mapper_graph(x.double().numpy(), "pca").n_samples == 60


def test_input_of_the_function_is_named():
    with pytest.raises(InputError, match="mapper_graph: x has NaN at row 0, column 0"):
        mapper_graph(torch.full((2, 2), torch.nan))
    with pytest.raises(TypeError, match=r"mapper_graph: x has dtype torch\.complex64"):
        mapper_graph(torch.zeros(2, 2, dtype=torch.complex64))
