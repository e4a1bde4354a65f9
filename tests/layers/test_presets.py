"""Ready pipelines: what they give is what their layers give by hand, and they stand in any pipeline."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch_geometric.data import Data

import topodl
from topodl.datasets import make_sphere
from topodl.errors import InputError
from topodl.filtrations import heat_kernel_signature, tilt
from topodl.layers import (
    BettiCurve,
    PersistenceStatistics,
    cloud_features,
    graph_features,
    image_features,
    time_series_features,
)


def drawn(seed, *shape):
    return np.random.default_rng(seed).random(shape)


TRIANGLE, PATH = np.array([[0, 1, 2], [1, 2, 0]]), np.array([[0, 1, 2], [1, 2, 3]])
CASES = {
    "images": (image_features(directions=3, resolution=4), drawn(0, 6, 5, 7), 3 * 3 * 2 * 4),
    "volumes": (image_features(directions=2, slopes=[1.0]), drawn(1, 4, 3, 4, 5), 2 * 3 * 16),
    "table": (image_features(directions=2, sample_shape=(4, 5)), drawn(2, 4, 20), 2 * 3 * 2 * 16),
    "some images": (image_features(directions=2), [drawn(i, 4, 5 + i) for i in range(4)], 2 * 3 * 2 * 16),
    "series": (time_series_features(resolution=6), drawn(3, 5, 30), 2 * 5 * 6 + 92),
    "some series": (time_series_features(), [drawn(i, 20 + i) for i in range(4)], 2 * 5 * 16 + 92),
    "clouds": (cloud_features(), drawn(4, 5, 12, 3), 2 * (46 + 64)),
    "some clouds": (cloud_features(filtration="alpha"), [drawn(i, 9 + i, 2) for i in range(4)], 2 * 110),
    "graphs": (graph_features(), [(3, TRIANGLE), (4, PATH), (2, [[], []])] * 2, 4 * 92),
}


@pytest.mark.parametrize("case", CASES)
def test_a_table_with_a_name_for_each_column_comes_out(case):
    features, X, width = CASES[case]
    features = clone(features)
    table = features.fit_transform(X)
    assert table.shape == (len(X), width)
    assert np.isfinite(table).all()
    names = features.get_feature_names_out()
    assert len(set(names)) == len(names) == width
    some = features.transform(X[:2])
    np.testing.assert_allclose(some, table[:2], rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(features)).transform(X), features.transform(X))
    frame = clone(features).set_output(transform="pandas").fit_transform(X)
    assert list(frame.columns) == list(names)
    classes = np.arange(len(X)) % 2
    assert len(make_pipeline(features, LogisticRegression()).fit(X, classes).predict(X)) == len(X)


@given(st.integers(0, 10_000), st.floats(0.1, 1e4), st.floats(-1e3, 1e3))
@settings(max_examples=10)
def test_the_unit_of_images_plays_no_part(seed, factor, shift):
    images = np.random.default_rng(seed).integers(0, 16, (3, 4, 5)).astype(float)
    images[0, 0, :2] = 0, 16
    first, other = (image_features(directions=2).fit_transform(x) for x in (images, factor * images + shift))
    np.testing.assert_allclose(first, other, atol=1e-5)


def test_images_by_hand():
    images = drawn(5, 3, 4, 4)
    images[0, 0, :2] = 0.0, 1.0
    found = image_features(directions=2, slopes=(0.5,), resolution=5).fit_transform(images)
    d = topodl.cubical_persistence(
        tilt(torch.from_numpy(images), 2, [0.5]), None, True, "cell", channels=True
    )
    expected = BettiCurve(resolution=5, width=0.1).fit_transform(d)
    np.testing.assert_allclose(found, expected.reshape(3, -1), rtol=1e-6)


def test_images_of_one_value_are_a_value():
    found = image_features(directions=2).fit_transform(np.ones((2, 3, 3)))
    assert np.isfinite(found).all()


def test_graphs_by_hand():
    found = graph_features(times=(2.0,)).fit_transform([(4, PATH)])
    heat = heat_kernel_signature(torch.from_numpy(PATH), 2.0).double()
    for values, columns in ((heat, found[:, :92]), (torch.tensor([1, 0.5, 0.5, 1]).double(), found[:, 92:])):
        d = topodl.graph_persistence(values, torch.from_numpy(PATH), extended=True)
        np.testing.assert_allclose(columns, PersistenceStatistics().fit_transform(d), rtol=1e-5, atol=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_the_numbering_of_vertices_plays_no_part(seed):
    random = np.random.default_rng(seed)
    adjacency = np.triu(random.random((7, 7)) < 0.4, 1)
    order = random.permutation(7)
    edges = np.argwhere(adjacency).T
    first, other = graph_features().fit_transform([(7, edges), (7, order[edges])])
    np.testing.assert_allclose(first, other, atol=1e-5)


def test_graphs_come_in_several_forms():
    tensor = torch.from_numpy(TRIANGLE)
    graphs = [(3, TRIANGLE), (np.ones((3, 2)), tensor), Data(edge_index=tensor, num_nodes=3)]
    table = graph_features(times=(1.0,)).fit_transform(graphs)
    np.testing.assert_array_equal(table, table[[0, 0, 0]])


def test_series_backwards_swap_slopes():
    series = drawn(6, 4, 25)
    features = time_series_features(slopes=(-1.0, 1.0), resolution=5, dimension=None)
    there, back = (features.fit_transform(x).reshape(4, 2, 2, 5) for x in (series, series[:, ::-1].copy()))
    np.testing.assert_allclose(there, back[:, :, ::-1], atol=1e-5)


def test_delays_by_hand():
    series = drawn(8, 3, 12)
    clouds = torch.from_numpy(np.stack([series[:, :-4], series[:, 2:-2], series[:, 4:]], 2))
    expected = PersistenceStatistics().fit_transform(topodl.rips_persistence(clouds))
    found = time_series_features(delay=2).fit_transform(series)[:, -92:]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_digits_are_told_apart_by_topology_alone():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    scores = cross_val_score(model, image_features(sample_shape=(8, 8)).fit_transform(X), y, cv=5)
    assert scores.mean() >= 0.94


def test_circles_and_spheres_are_told_apart():
    clouds = [
        make_sphere(40, dim=k, noise=0.05, random_state=i).points[:, [0, 1]] for i in range(8) for k in (1, 2)
    ]
    model = make_pipeline(cloud_features(filtration="alpha"), StandardScaler(), LogisticRegression())
    assert cross_val_score(model, clouds, [0, 1] * 8, cv=4).mean() > 0.9


def test_a_frame_of_images_keeps_its_rows():
    frame = pd.DataFrame({"image": list(drawn(7, 3, 4, 4))}, index=list("abc"))
    found = image_features(directions=2).fit_transform(frame)
    np.testing.assert_array_equal(found, image_features(directions=2).fit_transform(drawn(7, 3, 4, 4)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: image_features(slopes=()), "image_features: slopes is empty; expected at least one"),
        (lambda: image_features(directions=[]), "image_features: directions is empty"),
        (lambda: time_series_features(slopes=[]), "time_series_features: slopes is empty"),
        (lambda: cloud_features(filtration="cech"), "cloud_features: filtration is 'cech'"),
        (lambda: graph_features(times=(), degree=False), "graph_features: times is empty"),
        (lambda: graph_features().fit_transform([]), "graph_features: X is empty; expected a list of"),
        (lambda: graph_features().fit_transform(np.ones(3)), "X is a ndarray"),
        (lambda: graph_features().fit_transform([3]), r"X\[0\] is a int; expected \(vertices, edge_index\)"),
        (
            lambda: graph_features().fit_transform([(2, TRIANGLE)]),
            r"X\[0\] has edges between vertices 0 and 2",
        ),
        (lambda: graph_features().fit_transform([(0, [[], []])]), r"the number of vertices of X\[0\] is 0"),
        (lambda: graph_features().fit_transform([(3, TRIANGLE[0])]), r"X\[0\] has edges of shape \(3,\)"),
        (lambda: graph_features().fit_transform([(3, TRIANGLE + 0.5)]), r"expected integers \(2, E\)"),
        (lambda: graph_features(times=(-1.0,)).fit_transform([(3, TRIANGLE)]), "t is -1.0"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_what_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        image_features().transform(np.ones((1, 3, 3)))
