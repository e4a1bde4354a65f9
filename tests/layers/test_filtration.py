"""Filtrations as layers: the functions behind them, learnt directions, settings, and both faces."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from topodl import filtrations
from topodl.errors import InputError
from topodl.layers import (
    CubicalPersistence,
    Filtration,
    GraphPersistence,
    PersistenceStatistics,
    RipsPersistence,
    SliceFeatures,
)

MASKS = torch.rand(5, 4, 6, generator=torch.Generator().manual_seed(0)) > 0.4


@parametrize_with_checks(
    [Filtration("binarise", threshold=0.0)],
    expected_failed_checks=lambda _: {
        "check_no_attributes_set_in_init": "every nn.Module sets `training` and its dictionaries",
    },
)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("height", {"directions": 3}),
        ("height", {"directions": [1.0, 2.0], "outside": 9.0}),
        ("radial", {"centres": 2}),
        ("dilation", {"metric": "chessboard"}),
        ("erosion", {}),
        ("density", {"radius": 2}),
        ("signed_distance", {"clip": 2.0}),
        ("binarise", {"threshold": "otsu"}),
        ("tilt", {"directions": 3, "slopes": (0.5, 2.0)}),
    ],
)
def test_is_the_function_of_its_name(kind, options):
    layer, expected = Filtration(kind, **options), getattr(filtrations, kind)(MASKS.float(), **options)
    torch.testing.assert_close(layer(MASKS.float()), expected)
    assert all(torch.equal(*pair) for pair in zip(layer([*MASKS.float()]), expected, strict=True))
    small = Filtration(kind, chunk_size=2, **options)
    assert small.fit_transform(MASKS.numpy()).shape == expected.shape
    np.testing.assert_allclose(
        small.transform(MASKS.numpy().astype(np.float32)), expected, rtol=1e-6, atol=1e-6
    )
    ragged = small.transform([MASKS[0].numpy(), MASKS[1, :2].numpy(), MASKS[2].numpy()])
    np.testing.assert_allclose(ragged[2], expected[2], rtol=1e-6, atol=1e-6)
    assert ragged[1].shape[-2:] == (2, 6)
    table = Filtration(kind, sample_shape=(4, 6), **options).fit_transform(MASKS.numpy().reshape(5, -1))
    np.testing.assert_allclose(table, expected, rtol=1e-6, atol=1e-6)


GRAPHS = [
    (None, torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]])),
    (torch.zeros(4), torch.tensor([[0, 1], [1, 2]])),  # and a vertex without edges
]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("closeness", {}),
        ("degree_values", {}),
        ("eccentricity", {}),
        ("forman_curvature", {"triangles": True}),
        ("heat_kernel_signature", {"t": 0.5}),
        ("heat_kernel_signature", {"t": [0.5, 1.0]}),
        ("ollivier_curvature", {"alpha": 0.0}),
        ("return_probabilities", {"steps": 3}),
    ],
)
def test_values_of_graphs_are_those_of_each(kind, options):
    layer, function = Filtration(kind, **options), getattr(filtrations, kind)
    at = {"at": "vertices"} if "curvature" in kind else {}
    for graph in GRAPHS:
        n = int(graph[1].max()) + 1 if graph[0] is None else len(graph[0])
        ((values, edges),) = layer([graph])
        torch.testing.assert_close(values, function(graph[1], n_vertices=n, **options, **at))
        assert torch.equal(edges, graph[1])
    alike = [(torch.zeros(4), edges) for _, edges in GRAPHS]
    together = layer(alike)
    arrays = layer.set_params(chunk_size=1).fit_transform([(v.numpy(), e.numpy()) for v, e in alike])
    for (values, _), (array, edges) in zip(together, arrays, strict=True):
        np.testing.assert_allclose(values, array)
        assert isinstance(edges, np.ndarray)
    steps = make_pipeline(layer, GraphPersistence(extended=True))
    assert steps.fit_transform(alike).n_samples == 2 * (together[0][0].ndim == 1 or 2)


def test_weights_and_lengths_of_edges_are_taken():
    edges, weights = torch.tensor([[0, 1], [1, 2]]), torch.tensor([1.0, 3.0])
    for kind in ("closeness", "degree_values"):
        ((values, _),) = Filtration(kind)([(None, edges, weights)])
        torch.testing.assert_close(values, getattr(filtrations, kind)(edges, weights))
    with pytest.raises(InputError, match="Filtration: x has no graphs"):
        Filtration("closeness")([])
    with pytest.raises(TypeError, match=r"Filtration\('closeness'\) has no option 'batch'"):
        Filtration("closeness", batch=edges)(GRAPHS)


def test_distances_along_clouds():
    clouds = torch.rand(3, 9, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = Filtration("geodesic_distances", k=3)
    expected = filtrations.geodesic_distances(clouds, 3)
    torch.testing.assert_close(layer(clouds), expected)
    np.testing.assert_allclose(layer.fit_transform(clouds.numpy()), expected)
    ragged = layer.transform([clouds[0].numpy(), clouds[1, :6].numpy()])
    assert [len(matrix) for matrix in ragged] == [9, 6]
    steps = make_pipeline(Filtration("geodesic_distances", k=6), RipsPersistence(metric="precomputed"))
    assert steps.fit_transform(clouds.numpy()).n_samples == 3
    table = Filtration("geodesic_distances", k=3, sample_shape=(-1, 2)).fit_transform(
        clouds.flatten(1).numpy()
    )
    np.testing.assert_allclose(table, expected)


def test_several_directions_make_one_row_of_features():
    steps = make_pipeline(
        Filtration("height", directions=3),
        CubicalPersistence(channels=True),
        SliceFeatures(PersistenceStatistics(), n_slices=3),
    )
    assert steps.fit_transform(MASKS.numpy()).shape == (5, 3 * 92)


def test_learnt_directions_and_centres_are_trained():
    torch.manual_seed(0)
    for kind, name in (("height", "directions"), ("radial", "centres"), ("tilt", "directions")):
        network = nn.Sequential(
            Filtration(kind, learnable=True, sample_shape=(4, 6), **{name: 2}),
            CubicalPersistence(dims=0, channels=True),
            PersistenceStatistics(dims=0, essential="drop"),
        )
        (weight,) = network.parameters()
        before = weight.detach().clone()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        network(MASKS.float()).sum().backward()
        optimizer.step()
        assert (weight != before).any()
        expected = getattr(filtrations, kind)(MASKS.float(), weight)
        torch.testing.assert_close(network[0](MASKS.float()), expected)
        again = Filtration(kind, learnable=True, **{name: 2})
        again.load_state_dict(network[0].state_dict())
        torch.testing.assert_close(again(MASKS.float()), expected)
        torch.testing.assert_close(pickle.loads(pickle.dumps(again))(MASKS.float()), expected)
        fresh = clone(again).fit(MASKS.numpy())
        torch.testing.assert_close(getattr(fresh, name), before)


def test_first_data_begin_what_is_learnt():
    layer = Filtration("height", directions=3, learnable=True)
    assert layer.state_dict() == {}
    assert layer(MASKS[:, None].float()).shape == (5, 3, 1, 4, 6)
    assert layer.directions.shape == (3, 3)
    given = Filtration("height", directions=[[0.0, 2.0]], learnable=True).fit(MASKS.numpy())
    assert given.directions.tolist() == [[0.0, 2.0]]
    middle = Filtration("radial", learnable=True, spacing=2.0).fit(MASKS.numpy())
    torch.testing.assert_close(middle(MASKS)[:, 0], filtrations.radial(MASKS, spacing=2.0))


def test_options_are_settings():
    layer = Filtration("radial", centres=2, learnable=True, sample_shape=(4, 6))
    assert layer.get_params()["centres"] == 2
    assert "centres=2" in repr(layer)
    assert clone(layer).get_params() == layer.get_params()
    assert layer.set_params(centres=3).centres.shape == (9, 2)
    with torch.no_grad():
        layer.centres += 1.0
    moved = layer.centres.clone()
    torch.testing.assert_close(layer.set_params(chunk_size=3).centres, moved)
    X, y = load_digits(n_class=2, return_X_y=True)
    X, y = X[:60] / 16, y[:60]
    steps = make_pipeline(
        Filtration("height", directions=[1.0, 0.0], sample_shape=(8, 8)),
        CubicalPersistence(),
        PersistenceStatistics(),
        LogisticRegression(max_iter=1000),
    )
    search = GridSearchCV(steps, {"filtration__directions": [[1.0, 0.0], [0.0, 1.0]]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.9


def test_stands_in_unions_and_beside_frames():
    union = make_union(
        *[
            make_pipeline(Filtration(kind), CubicalPersistence(), PersistenceStatistics())
            for kind in ("dilation", "erosion")
        ]
    )
    rows = pd.DataFrame({"image": [*MASKS.numpy()]}, index=list("abcde"))
    assert union.fit_transform(rows).shape == (5, 184)
    with sklearn.config_context(transform_output="pandas"):
        assert Filtration("erosion").fit_transform(rows).shape == (5, 4, 6)
    assert list(Filtration("erosion").get_feature_names_out()) == ["filtration_erosion"]


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (Filtration("heights"), InputError, "kind is 'heights'; expected one of 'binarise'"),
        (
            Filtration("density", learnable=True),
            InputError,
            "kind is 'density' with learnable=True; expected one of 'height', 'radial'",
        ),
        (Filtration("geodesic_distances"), InputError, "k is not given; expected this option"),
        (Filtration(learnable="yes"), InputError, "learnable is 'yes'"),
        (Filtration("height", centre=1), TypeError, r"Filtration\('height'\) has no option 'centre'; its"),
    ],
)
def test_unusable_settings_are_named(layer, error, message):
    with pytest.raises(error, match=message):
        layer(MASKS)
    with pytest.raises(error, match=message):
        layer.fit(MASKS.numpy())
