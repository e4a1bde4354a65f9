"""Both faces of every layer: module and transformer."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import topodl
from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import (
    AlphaPersistence,
    Amplitude,
    Atol,
    BettiCurve,
    ComplexPolynomial,
    CubicalPersistence,
    DiagramEncoder,
    EulerCharacteristicTransform,
    EulerCurve,
    GraphPersistence,
    LongestBars,
    NumberOfBars,
    PaddedBars,
    PersistenceCurve,
    PersistenceEntropy,
    PersistenceImage,
    PersistenceLandscape,
    PersistenceStatistics,
    PersLay,
    RipsPersistence,
    Silhouette,
    TopologicalVector,
)

VECTORISERS = [
    BettiCurve(resolution=5),
    BettiCurve(resolution=5, width=0.1),
    PersistenceImage(resolution=4),
    PersistenceImage(resolution=(4, 3), pixels="integral"),
    PersistenceLandscape(n_layers=2, resolution=5),
    Silhouette(resolution=5),
    PersistenceEntropy(),
    PersistenceEntropy(mode="vector", normalize=True, resolution=5),
    PersistenceStatistics(),
    PersLay(n_features=4),
    PersLay("triangle", n_features=4, operation="top_k"),
    DiagramEncoder(width=4, n_heads=2, n_blocks=1, n_outputs=2),
    DiagramEncoder(width=4, n_heads=1, n_blocks=0, pool="sum"),
    EulerCurve(resolution=5),
    NumberOfBars(),
    LongestBars(n_bars=4),
    TopologicalVector(n_distances=4),
    ComplexPolynomial(n_coefficients=3),
    ComplexPolynomial("T", n_coefficients=3),
    PersistenceCurve(resolution=5),
    PersistenceCurve("count", "entropy", resolution=5),
    Atol(n_centres=3),
    Atol(n_centres=3, contrast="laplacian", operation="mean"),
    PaddedBars(),
    PaddedBars(2, "rotated", fill=-1.0),
    Amplitude(),
    Amplitude("heat", {"bandwidth": 0.3}),
    Amplitude("landscape", {"resolution": 5, "n_layers": 2}),
    Amplitude("persistence_image", {"resolution": 5, "order": 1}),
]
# Vectorisers with nothing to learn, or with a parameter in the place of it.
NOTHING_TO_FIT = (DiagramEncoder, PersLay, PersistenceStatistics, NumberOfBars, LongestBars)
NOTHING_TO_FIT += (TopologicalVector, ComplexPolynomial)
ARRAYS = [
    CubicalPersistence(),
    RipsPersistence(sample_shape=(-1, 1)),
    EulerCharacteristicTransform(n_directions=2, n_thresholds=5, sample_shape=(-1, 1)),
    EulerCharacteristicTransform(n_directions=2, n_thresholds=5, mode="hard", sample_shape=(-1, 1)),
    EulerCharacteristicTransform(n_directions=2, n_thresholds=5, learnable=True, sample_shape=(-1, 1)),
    EulerCurve(resolution=5),
]
NOT_AN_ARRAY = "the result is Diagrams, a jagged batch, not an array"


def exceptions(layer):
    """The checks that cannot pass, and why."""
    out = {"check_no_attributes_set_in_init": "every nn.Module sets `training` and its dictionaries"}
    if isinstance(layer, EulerCharacteristicTransform) and layer.learnable:
        out["check_dont_overwrite_attributes"] = "directions are parameters, which training overwrites"
    if isinstance(layer, CubicalPersistence | RipsPersistence):
        out |= dict.fromkeys(
            [
                "check_transformer_general",
                "check_transformer_data_not_an_array",
                "check_methods_subset_invariance",
                "check_methods_sample_order_invariance",
                "check_fit_idempotent",
                "check_estimators_pickle",
                "check_pipeline_consistency",
                "check_transformer_preserve_dtypes",
                "check_transformers_unfitted_stateless",
            ],
            NOT_AN_ARRAY,
        )
    return out


@parametrize_with_checks(ARRAYS, expected_failed_checks=exceptions)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
def test_module_and_transformer_agree_on_any_batch(layer):
    d = make_diagrams(0, [[5, 3], [0, 0], [1, 6], [4, 0]])
    layer = clone(layer).fit(d)
    table = layer.transform(d)
    features = layer.double()(d).flatten(1)
    np.testing.assert_allclose(table, features.detach().numpy(), rtol=1e-6, atol=1e-6)
    alone = np.concatenate([layer.transform(one) for one in d])
    np.testing.assert_allclose(alone, layer.transform(d), atol=1e-12)
    assert table.shape == (4, len(layer.get_feature_names_out()))
    assert len(set(layer.get_feature_names_out())) == table.shape[1]
    assert np.isfinite(table).all()


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
def test_empty_diagrams_have_features_and_a_graph(layer):
    layer = clone(layer).fit(make_diagrams(0, [[5, 3], [2, 2]]))
    nothing = make_diagrams(0, [[0, 0], [0, 0], [0, 0]], dtype=torch.float32)
    births = nothing.births.requires_grad_()
    out = layer(nothing._with(births=births))
    assert out.shape[0] == 3
    assert torch.isfinite(out).all()
    counts = isinstance(layer, NumberOfBars) or getattr(layer, "quantity", None) == "count"
    if not counts and getattr(layer, "width", 1) is not None:
        out.sum().backward()
        assert births.grad.shape == (0,)


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
def test_padding_and_order_change_nothing(layer):
    d = make_diagrams(2, [[6, 2], [3, 3]], essential=0.0)
    layer = clone(layer).fit(d).double()
    shuffled = torch.randperm(d.n_bars, generator=torch.Generator().manual_seed(0))
    parts = [getattr(d, name)[shuffled] for name in ("births", "deaths", "dims", "samples")]
    mixed = Diagrams(*parts, n_samples=2, homology_dims=(0, 1))
    torch.testing.assert_close(layer(mixed), layer(d))
    bars, _, mask = d.padded(0, fill=3.0)
    wider = (
        torch.cat([bars, torch.full((2, 4, 2), 9.0)], 1),
        torch.cat([mask, torch.zeros(2, 4, dtype=bool)], 1),
    )
    one = clone(layer).set_params(**({"dims": 0} if hasattr(layer, "dims") else {})).fit(d.dim(0)).double()
    torch.testing.assert_close(one(Diagrams.from_padded(*wider)), one(d.dim(0)))


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(layer, dtype):
    d = make_diagrams(2, [[6, 2], [3, 3]]).to(dtype)
    layer = clone(layer).fit(d)
    if not list(layer.parameters()):
        assert layer(d).dtype == dtype
    expected = np.float64 if dtype == torch.float64 and not list(layer.parameters()) else np.float32
    assert layer.transform(d).dtype == expected


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
def test_clone_copies_settings_and_state_dict_what_was_learnt(layer):
    d = make_diagrams(2, [[6, 2], [3, 3]])
    fitted = clone(layer).fit(d)
    for weight in fitted.parameters():
        weight.data += 1.0
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    if fitted.state_dict():
        assert all(value is None for value in fresh._buffers.values())
        assert all((a != b).any() for a, b in zip(fresh.parameters(), fitted.parameters(), strict=True))
    fresh.load_state_dict(fitted.state_dict())
    torch.testing.assert_close(fresh(d), fitted(d), rtol=0, atol=0)
    for again in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.transform(d), fitted.transform(d))


@pytest.mark.parametrize("layer", [v for v in VECTORISERS if v.__class__ not in NOTHING_TO_FIT])
def test_unfitted_layers_say_what_is_missing(layer):
    layer = clone(layer)
    if isinstance(layer, Amplitude | PersistenceEntropy) and not layer._uses_grid:
        return
    if isinstance(layer, PaddedBars) and layer.n_bars is not None:
        return
    with pytest.raises(NotFittedError, match="give it to the constructor or call fit"):
        layer(make_diagrams(0, [[2, 2]]))
    with pytest.raises(NotFittedError):
        layer.transform(make_diagrams(0, [[2, 2]]))


@pytest.mark.parametrize("layer", VECTORISERS, ids=repr)
def test_superlevel_features_are_those_of_the_mirror(layer):
    d = make_diagrams(4, [[5, 3], [2, 2]])
    flipped = d._with(births=-d.births, deaths=-d.deaths)
    out = clone(layer).fit(flipped).transform(flipped)
    assert np.isfinite(out).all()


def test_one_object_stands_in_a_network_and_in_a_pipeline():
    persistence = CubicalPersistence()
    image = PersistenceImage(resolution=6, birth_range=(0, 1), persistence_range=(0, 1))
    x = torch.rand(6, 8, 8, requires_grad=True)
    network = nn.Sequential(persistence, image, nn.Flatten(), nn.Linear(72, 2))
    network(x).sum().backward()
    assert x.grad.abs().sum() > 0
    pipeline = make_pipeline(persistence, image)
    table = pipeline.fit_transform(x.detach().numpy())
    np.testing.assert_allclose(table, network[:3](x).detach().numpy(), atol=1e-6)
    assert list(network.state_dict()) == ["3.weight", "3.bias"]


def test_grid_search_over_a_pipeline_in_two_processes():
    X, y = load_digits(n_class=2, return_X_y=True)
    X, y = X[:60], y[:60]
    steps = make_pipeline(
        CubicalPersistence(sample_shape=(8, 8)), BettiCurve(resolution=5), LogisticRegression(max_iter=1000)
    )
    grid = {
        "bettycurve__resolution".replace("betty", "betti"): [4, 8],
        "cubicalpersistence__superlevel": [False, True],
    }
    search = GridSearchCV(steps, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert search.predict(X).shape == (60,)


def test_diagrams_can_be_split_by_cross_validation():
    d = make_diagrams(0, [[5, 5]] * 12)
    search = GridSearchCV(
        make_pipeline(BettiCurve(), LogisticRegression()), {"betticurve__resolution": [3, 5]}, cv=2
    )
    assert search.fit(d, np.arange(12) % 2).predict(d).shape == (12,)


def test_unions_and_columns():
    X = np.random.default_rng(0).random((10, 20))
    union = make_union(
        make_pipeline(CubicalPersistence(), BettiCurve(resolution=3)),
        make_pipeline(CubicalPersistence(superlevel=True), PersistenceEntropy()),
        EulerCurve(resolution=4),
    )
    assert isinstance(union, FeatureUnion)
    assert union.fit_transform(X).shape == (10, 6 + 2 + 4)
    columns = ColumnTransformer(
        [
            ("signal", make_pipeline(CubicalPersistence(dims=0), BettiCurve(resolution=3)), slice(0, 12)),
            ("cloud", EulerCharacteristicTransform(2, 3, sample_shape=(-1, 2)), slice(12, 20)),
        ]
    )
    assert columns.fit_transform(X).shape == (10, 3 + 6)


def test_set_output_gives_named_columns():
    X = np.random.default_rng(0).random((10, 20))
    pipeline = make_pipeline(CubicalPersistence(dims=(0,)), BettiCurve(resolution=3)).set_output(
        transform="pandas"
    )
    table = pipeline.fit_transform(X)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["betticurve_h0_0", "betticurve_h0_1", "betticurve_h0_2"]
    assert list(pipeline.get_feature_names_out()) == list(table.columns)
    assert list(pipeline[0].get_feature_names_out()) == ["cubicalpersistence_h0"]
    with sklearn.config_context(transform_output="pandas"):
        pd.testing.assert_frame_equal(clone(pipeline).fit_transform(X), table)


def test_chunks_and_joblib_backends_change_nothing(capsys):
    X = np.random.default_rng(0).random((11, 6, 6))
    expected = EulerCurve(resolution=4).fit(X).transform(X)
    small = EulerCurve(resolution=4, chunk_size=2, verbose=True).fit(X)
    np.testing.assert_array_equal(small.transform(X), expected)
    assert "EulerCurve: 100%" in capsys.readouterr().err
    with joblib.parallel_config(backend="threading", n_jobs=2):
        np.testing.assert_array_equal(EulerCurve(resolution=4, chunk_size=3).fit(X).transform(X), expected)
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):  # which, as Ray's, has no generators
        np.testing.assert_array_equal(small.transform(X), expected)
    assert "EulerCurve: 100%" in capsys.readouterr().err
    with pytest.raises(InputError, match="chunk_size is 0; expected an integer of at least 1"):
        EulerCurve(chunk_size=0).fit(X).transform(X)


@pytest.mark.filterwarnings("ignore")
def test_dask_runs_the_same_pipeline():
    distributed = pytest.importorskip("dask.distributed")
    X = np.random.default_rng(0).random((12, 6, 6))
    pipeline = make_pipeline(CubicalPersistence(chunk_size=4), BettiCurve(resolution=4, chunk_size=4))
    expected = pipeline.fit_transform(X)
    with (
        distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None),
        joblib.parallel_config(backend="dask"),
    ):
        np.testing.assert_array_equal(pipeline.transform(X), expected)


def test_learnt_weights_start_anew_with_new_settings_only():
    layer = PersLay(n_features=4)
    with torch.no_grad():
        layer.centres += 1.0
    trained = layer.centres.clone()
    layer.set_params(verbose=True, chunk_size=3, n_jobs=1)
    torch.testing.assert_close(layer.centres, trained)
    layer.set_params(n_features=6)
    assert layer.centres.shape == (2, 6, 2)
    torch.testing.assert_close(layer.centres, PersLay(n_features=6).centres)
    assert (PersLay(random_state=1).centres != PersLay().centres).all()


def test_construction_and_fit_leave_the_global_generators_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    PersLay().fit(make_diagrams(0, [[2, 2]]))
    EulerCharacteristicTransform(learnable=True, ambient_dim=5)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_dimensions_are_integers_of_any_kind():
    images = np.random.default_rng(0).random((3, 6, 6))
    for dims in (np.int64(1), np.array([1]), 1):
        layer = topodl.layers.CubicalPersistence(dims=dims)
        assert layer.fit_transform(images).homology_dims == (1,)
        assert list(layer.get_feature_names_out()) == ["cubicalpersistence_h1"]
        curves = topodl.layers.BettiCurve(dims=dims).fit(topodl.cubical_persistence(torch.from_numpy(images)))
        assert all("h1" in name for name in curves.get_feature_names_out())


def test_other_dimensions_than_in_fit_are_refused():
    layer = BettiCurve().fit(make_diagrams(0, [[2, 2]]).dim(0))
    with pytest.raises(InputError, match=r"X has dimensions \(0, 1\); expected \(0,\), as in fit"):
        layer.transform(make_diagrams(0, [[2, 2]]))
    with pytest.raises(InputError, match="dims ask for 2"):
        BettiCurve(dims=2, value_range=(0, 1))(make_diagrams(0, [[2, 2]]))


@pytest.mark.parametrize("layer", [x for x in VECTORISERS if "dims" in x.get_params()], ids=repr)
@given(
    batch=diagrams(max_samples=3),
    k=st.integers(0, 1),
    options=st.sampled_from([{}, {"dims": (0, 1)}, {"dims": 1}]),
)
@settings(max_examples=15)
def test_a_dimension_that_fit_saw_is_empty_where_it_is_missing(layer, batch, k, options):
    layer = clone(layer).set_params(**options)
    layer.fit(make_diagrams(0, [[3, 2], [2, 3]]))
    lacking = batch.dim(k)
    empty = lacking._with(homology_dims=(0, 1))
    np.testing.assert_array_equal(layer.transform(lacking), layer.transform(empty))
    assert torch.equal(layer(lacking), layer(empty))


def test_a_single_sample_of_pairs_may_lack_a_dimension():
    train = [[(0, (0.0, 1.0)), (1, (1.0, 2.0))], [(0, (0.0, 2.0))]]
    features = PersistenceImage(2).fit(train).transform([[(0, (0.0, 2.0))]])
    np.testing.assert_array_equal(features, PersistenceImage(2).fit_transform(train)[1:])


def test_inputs_of_other_kinds_are_refused_or_read():
    layer = BettiCurve(resolution=3, value_range=(0, 2))
    bars = [np.array([[0.0, 1.0]]), np.empty((0, 2))]
    np.testing.assert_array_equal(layer.transform(bars), [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(layer.transform(np.array([[[0.0, 1.0, 0.0]]])), [[1, 0, 0]])
    with pytest.raises(InputError, match="X is a ndarray of shape"):
        layer.transform(np.zeros((3, 3)))
    with pytest.raises(TypeError, match="d is a Tensor; expected Diagrams"):
        layer(torch.zeros(3, 2))
    with pytest.raises(InputError, match="is a table of shape"):
        RipsPersistence().fit(np.zeros((3, 4)))
    with pytest.raises(InputError, match="sample_shape is"):
        CubicalPersistence(sample_shape=(3, 3)).fit(np.zeros((3, 8)))


def test_clouds_of_different_size_and_precomputed_distances():
    rng = np.random.default_rng(0)
    clouds = [rng.random((n, 3)) for n in (5, 9, 1)]
    features = make_pipeline(RipsPersistence(dims=0), PersistenceStatistics()).fit_transform(clouds)
    assert features.shape == (3, 46)
    matrices = [np.linalg.norm(c[:, None] - c, axis=2) for c in clouds]
    other = make_pipeline(RipsPersistence(dims=0, metric="precomputed"), PersistenceStatistics())
    np.testing.assert_allclose(other.fit_transform(matrices), features)


def test_graphs():
    graphs = [
        (np.array([0.0, 1.0, 2.0]), np.array([[0, 1, 2], [1, 2, 0]])),
        (np.array([0.0, 1.0]), np.array([[0], [1]])),
    ]
    d = GraphPersistence().fit_transform(graphs)
    assert len(d) == 2
    assert d[0].dim(1).n_bars == 1
    assert make_pipeline(GraphPersistence(), BettiCurve(resolution=3)).fit_transform(graphs).shape == (2, 6)


@pytest.mark.parametrize("layer", [AlphaPersistence(), RipsPersistence()], ids=repr)
def test_clouds_as_array_list_and_table(layer):
    clouds = np.random.default_rng(0).random((3, 12, 2))
    expected = getattr(topodl, type(layer).__name__.replace("Persistence", "_persistence").lower())(
        torch.from_numpy(clouds)
    )
    table = clone(layer).set_params(sample_shape=(-1, 2)).fit_transform(clouds.reshape(3, -1))
    for d in (layer(torch.from_numpy(clouds)), layer.fit_transform(clouds), table):
        torch.testing.assert_close(d.births, expected.births)
        torch.testing.assert_close(d.deaths, expected.deaths)
    ragged = [clouds[0], clouds[1, :5], clouds[2, :1]]
    d = pickle.loads(pickle.dumps(layer)).set_params(chunk_size=2).transform(ragged)
    assert d.counts[:, 0].tolist() == [12, 5, 1]
    assert layer.get_feature_names_out().tolist() == [f"{type(layer).__name__.lower()}_h{k}" for k in (0, 1)]
    points = torch.from_numpy(clouds).requires_grad_()
    nn.Sequential(layer, PersistenceEntropy())(points).sum().backward()
    assert points.grad.abs().sum() > 0
    curves = make_pipeline(clone(layer), BettiCurve(resolution=4)).fit_transform(clouds)
    assert curves.shape == (3, 8)


def test_images_of_one_value_or_one_pixel_have_features():
    constant, pixel = np.full((2, 5, 5), 0.5), np.zeros((3, 1, 1))
    for images in (constant, pixel):
        pipeline = make_pipeline(
            CubicalPersistence(), make_union(PersistenceImage(), PersistenceStatistics())
        )
        table = pipeline.fit_transform(images)
        assert np.isfinite(table).all()
        assert len(table) == len(images)


def test_integers_and_strides_are_read():
    images = np.arange(2 * 6 * 6, dtype=np.uint8).reshape(2, 6, 6)
    expected = EulerCurve(resolution=4, value_range=(0, 72)).transform(images.astype(np.float64))
    np.testing.assert_array_equal(EulerCurve(resolution=4, value_range=(0, 72)).transform(images), expected)
    turned = np.asfortranarray(images.astype(np.float32))
    np.testing.assert_allclose(EulerCurve(resolution=4, value_range=(0, 72)).transform(turned), expected)


def test_permuted_samples_have_permuted_features():
    d = make_diagrams(0, [[5, 3], [0, 2], [4, 4]])
    for layer in (PersistenceImage(4), PersistenceLandscape(2, 5), Silhouette(5), PersLay(n_features=3)):
        table = layer.fit(d).transform(d)
        np.testing.assert_allclose(layer.transform(d[[2, 0, 1]]), table[[2, 0, 1]])


def test_padding_leaves_the_gradient_of_parameters_alone():
    d = make_diagrams(0, [[5, 3], [2, 2]], essential=0.0, dtype=torch.float32)
    grads = []
    for wide in (0, 7):
        bars, _, mask = d.padded(0)
        bars = torch.cat([bars, torch.full((2, wide, 2), 9.0)], 1)
        mask = torch.cat([mask, torch.zeros(2, wide, dtype=torch.bool)], 1)
        layer = PersLay(n_features=3, dims=0)
        layer(Diagrams.from_padded(bars, mask)).square().sum().backward()
        grads.append([weight.grad for weight in layer.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_images_of_different_shapes():
    rng = np.random.default_rng(0)
    images = [rng.random((6, 6)), rng.random((3, 9)).astype(np.float32), rng.random((6, 6))]
    every = CubicalPersistence(chunk_size=2).fit_transform(images)
    curves = EulerCurve(resolution=5).fit(images)
    assert every.homology_dims == (0, 1)
    for i, one in enumerate(images):
        alone = topodl.cubical_persistence(torch.from_numpy(one)[None])
        assert torch.equal(every[i].births.double(), alone.births.double())
        np.testing.assert_array_equal(curves.transform(images)[i], curves.transform(one[None])[0])
    inside = [torch.from_numpy(one).requires_grad_() for one in images]
    nn.Sequential(CubicalPersistence(), PersistenceEntropy())(inside).sum().backward()
    assert all(one.grad is not None for one in inside)
    table = make_pipeline(CubicalPersistence(), BettiCurve(resolution=3)).fit_transform(images)
    assert table.shape == (3, 6)


def test_diagrams_come_in_arrays_of_objects_and_padless_arrays():
    bars = [np.array([[0.0, 1.0]]), np.array([[0.5, 2.0], [1.0, 1.5]])]
    layer = BettiCurve(resolution=4, value_range=(0, 2))
    expected = layer.transform(bars)
    objects = np.empty(2, dtype=object)
    objects[:] = bars
    np.testing.assert_array_equal(layer.transform(objects), expected)
    for same in (np.stack([bars[0], bars[0]]), torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]])):
        np.testing.assert_array_equal(layer.transform(same), expected[[0, 0]])


def test_diagrams_come_as_ripser_gives_them():
    dgms = [
        [np.array([[0.0, 1.0], [0.0, np.inf]]), np.array([[0.5, 0.75]])],
        [np.array([[0.0, np.inf]]), np.empty((0, 2))],
    ]
    curves = BettiCurve(resolution=3, value_range=(0, 1)).fit_transform(dgms)
    assert curves.tolist() == [[2, 2, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0]]
    tuples = [[(0, (0.0, 1.0)), (0, (0.0, np.inf)), (1, (0.5, 0.75))], [(0, (0.0, np.inf))]]
    np.testing.assert_array_equal(BettiCurve(resolution=3, value_range=(0, 1)).fit_transform(tuples), curves)


def test_complexes_and_graphs_without_edges():
    rng = np.random.default_rng(0)
    clouds, edges = rng.random((2, 5, 2)), np.array([[0, 1], [1, 2]])
    layer = EulerCharacteristicTransform(2, 3).fit(clouds)
    expected = layer.transform([(clouds[0], edges), (clouds[1],)])
    np.testing.assert_array_equal(layer.transform([(clouds[0], edges), (clouds[1], [[], []])]), expected)
    np.testing.assert_array_equal(
        layer.transform([[clouds[0], edges], [clouds[1], np.empty((2, 0))]]), expected
    )
    np.testing.assert_array_equal(layer.transform(clouds.tolist()), layer.transform(clouds))
    d = GraphPersistence().fit_transform([([0.0, 1.0], [[0], [1]]), ([2.0, 3.0], [[], []])])
    assert d.counts[:, 0].tolist() == [1, 2]


def test_settings_may_be_numbers_of_numpy():
    d = make_diagrams(0, [[5, 3], [2, 2]])
    for resolution in (np.int64(4), np.array([4, 4]), [4, 4]):
        assert PersistenceImage(resolution).fit_transform(d).shape == (2, 32)
    for layer in (BettiCurve(np.int64(4)), Silhouette(np.int64(4)), PersLay(n_features=np.int64(4))):
        assert layer.fit_transform(d).shape == (2, 8)
    assert torch.equal(PersLay(random_state=np.int64(7)).centres, PersLay(random_state=7).centres)
    with pytest.raises(InputError, match=r"resolution is \[\]; expected an integer or \(columns, rows\)"):
        PersistenceImage([]).fit(d)


def test_grids_are_those_of_numpy():
    tenths = np.arange(11) / 10
    bars = [np.array([[low, high]]) for low in tenths for high in tenths if low < high]
    expected = [(bar[0, 0] <= np.linspace(0, 1, 11)) & (np.linspace(0, 1, 11) < bar[0, 1]) for bar in bars]
    np.testing.assert_array_equal(BettiCurve(11, (0, 1)).transform(bars), expected)
    np.testing.assert_array_equal(EulerCurve(11, (0, 1)).transform(Diagrams.from_gudhi(bars)), expected)


def test_unusable_lists_are_named():
    for layer in (CubicalPersistence(), RipsPersistence(), EulerCurve(), EulerCharacteristicTransform()):
        with pytest.raises(InputError, match="X is an empty list; expected at least one sample"):
            layer.fit([])
    with pytest.raises(InputError, match="x has no graphs; expected at least one"):
        GraphPersistence().transform([])
    graph = (np.zeros(2), np.array([[0], [1]]))
    with pytest.raises(InputError, match=r"x\[1\] has 2 parts; expected 3, as x\[0\]"):
        GraphPersistence().transform([(*graph, np.ones(1)), graph])


def test_errors_say_where_a_chunk_begins():
    clouds = np.zeros((5, 3, 2))
    clouds[4, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"x\[0\] has NaN") as error:
        RipsPersistence(chunk_size=2, n_jobs=2).fit_transform(clouds)
    assert error.value.__notes__ == ["The first sample of this chunk, x[0] above, is X[4]."]


def test_mixed_precision_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 30, 3, generator=generator, requires_grad=True)
    edges, weights = (
        torch.tensor([[0, 1], [1, 2]]),
        torch.rand(4, 30, generator=generator, requires_grad=True),
    )
    d = topodl.cubical_persistence(x)
    cases = [
        lambda: EulerCharacteristicTransform(4, 8)(x, edges),
        lambda: EulerCharacteristicTransform(4, 8, learnable=True, smooth=True, ambient_dim=3)(x, edges),
        lambda: EulerCharacteristicTransform(4, 8, mode="hard")(x, edges, weights=weights),
        lambda: PersistenceImage(4, (0, 1), (0, 1))(d),
        lambda: topodl.distances.sliced_wasserstein_distance(d[:2], d[2:]),
    ]
    for case in cases:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = case()
        torch.testing.assert_close(mixed, case(), rtol=0, atol=0)
        mixed.sum().backward(retain_graph=True)


def test_signals_of_several_lengths():
    signals = [np.random.default_rng(k).random(n) for k, n in enumerate((5, 9, 1))]
    layer = CubicalPersistence()
    expected = Diagrams.cat([topodl.cubical_persistence(torch.from_numpy(s)[None]) for s in signals])
    forms = [signals, np.array([s.tolist() for s in signals], dtype=object)]
    found = [layer.fit_transform(form) for form in forms] + [layer([torch.from_numpy(s) for s in signals])]
    for d in found:
        assert torch.equal(d.births, expected.births)
        assert torch.equal(d.deaths, expected.deaths)
        assert d.homology_dims == (0, 1)
    alike = [s[:1] for s in signals]
    assert torch.equal(layer.fit_transform(alike).births, layer(torch.tensor(np.array(alike))).births)


def test_sparse_distances_have_no_edge_where_they_have_no_entry():
    rows, columns, values = [0, 1, 2, 3, 0], [1, 2, 3, 0, 0], [1.0, 0.0, 2.0, 3.0, 7.0]
    dense = np.full((4, 4), np.inf)
    dense[rows[:4], columns[:4]] = dense[columns[:4], rows[:4]] = values[:4]
    both = sparse.coo_array((values + values, (rows + columns, columns + rows)), shape=(4, 4))
    triangle = sparse.triu(both, format="coo")
    expected = topodl.rips_persistence(torch.from_numpy(dense)[None], metric="precomputed")
    layer = RipsPersistence(metric="precomputed", chunk_size=1)
    d = layer.fit_transform([both.tocsr(), triangle.tocsc(), dense, triangle.T.tocsr()])
    assert expected.dim(1).births.tolist() == [3.0]
    for one in d:
        assert one.births.tolist() == expected.births.tolist()
        assert one.deaths.tolist() == expected.deaths.tolist()
    one_sided = sparse.coo_array(([1.0, 1.0], ([0, 2], [1, 1])), shape=(3, 3)).tocsr()
    assert layer.transform([one_sided])[0].dim(0).deaths.tolist() == [1.0, 1.0, np.inf]
    with pytest.raises(InputError, match=r"x\[0\] has shape \(2, 3\); expected a sparse matrix"):
        layer.transform([one_sided[:2]])
    for other, X in ((layer, both), (RipsPersistence(), [both]), (AlphaPersistence(), [both])):
        with pytest.raises(InputError, match="X has sparse matrices of type coo_array; expected dense"):
            other.fit_transform(X)


def test_what_would_be_misread_or_ignored_is_named():
    colours = np.zeros((2, 9, 8, 3), np.uint8)
    for layer in (CubicalPersistence(), CubicalPersistence(channels=True), EulerCurve(resolution=4)):
        for X in (colours, list(colours)):
            with pytest.raises(InputError, match=r"X has bytes of shape \(2, 9, 8, 3\), with colours"):
                layer.fit(X)
        with pytest.raises(InputError, match=r"X\[0\] is an image of mode RGB; expected one value a pixel"):
            layer.fit([Image.fromarray(image) for image in colours])
    grey = [Image.fromarray(image[..., 0]) for image in colours]
    assert len(CubicalPersistence().fit_transform(grey)) == 2
    assert CubicalPersistence().fit_transform(colours.astype(float)).homology_dims == (0, 1, 2)
    large = np.random.default_rng(0).random((1, 16, 20, 3))
    for call in (CubicalPersistence().fit, lambda x: topodl.cubical_persistence(torch.from_numpy(x))):
        with pytest.warns(UserWarning, match=r"shape \(1, 16, 20, 3\) and is read as volumes .* colours"):
            call(large)
    masked = np.ma.masked_less(np.arange(24.0).reshape(2, 3, 4), 5)
    for layer in (CubicalPersistence(), RipsPersistence(), EulerCurve(resolution=4)):
        with pytest.raises(InputError, match="X is a masked array; expected plain values"):
            layer.fit_transform(masked)
        with pytest.raises(InputError, match=r"X\[0\] is a masked array"):
            layer.fit_transform(list(masked))
    with pytest.raises(InputError, match=r"X\[0\]\[0\] is a masked array"):
        GraphPersistence().fit_transform([(masked[0, 0], np.array([[0], [1]]))])
    with pytest.raises(InputError, match=r"X\[0\] is a masked array"):
        BettiCurve(resolution=3).fit([np.ma.masked_less(np.array([[0.0, 1.0]]), 0.5)])
    unmasked = np.ma.masked_less(np.arange(24.0).reshape(2, 3, 4), -1)
    assert len(CubicalPersistence().fit_transform(unmasked)) == 2
