"""Columns of data frames that hold samples, through the transformers, and the rows that results belong to."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

import topodl
from topodl import Diagrams, InputError
from topodl._columns import cells_of
from topodl.layers import (
    BettiCurve,
    CubicalPersistence,
    EulerCharacteristicTransform,
    EulerCurve,
    GraphPersistence,
    PersistenceImage,
    PersistenceStatistics,
    RipsPersistence,
)

RANDOM = np.random.default_rng(0)
IMAGES = [RANDOM.random((6, 6)) for _ in range(5)]
CLOUDS = [RANDOM.random((5 + k, 2)) for k in range(5)]
INDEX = [7, 0, 9, 3, 1]

CASES = {
    "images": (CubicalPersistence(), IMAGES),
    "images of unequal size": (CubicalPersistence(), [RANDOM.random((3 + k, 4)) for k in range(5)]),
    "signals": (CubicalPersistence(), [RANDOM.random(8) for _ in range(5)]),
    "clouds": (RipsPersistence(), CLOUDS),
    "euler curve": (EulerCurve(4), IMAGES),
    "euler transform": (EulerCharacteristicTransform(2, 3), CLOUDS),
    "bars": (PersistenceImage(3), [np.sort(RANDOM.random((4, 2)), 1) for _ in range(5)]),
}


def table_of(result):
    if isinstance(result, Diagrams):
        return np.stack((result.births.numpy(), result.deaths.numpy(), result.samples.numpy()))
    return result


def pandas_series(samples):
    return pd.Series(samples, index=INDEX)


def pandas_frame(samples):
    return pd.DataFrame({"sample": pandas_series(samples)})


def nested_as_arrow_gives_it(samples):
    cells = []
    for sample in samples:
        rows = np.empty(len(sample), dtype=object)
        rows[:] = [np.asarray(row) for row in sample]
        cells.append(rows if np.ndim(sample) > 1 else sample)
    return pd.Series(cells)


def polars_series(samples):
    return pytest.importorskip("polars").Series("sample", [sample.tolist() for sample in samples])


def polars_frame(samples):
    return polars_series(samples).to_frame()


@pytest.mark.parametrize(
    "make", [pandas_series, pandas_frame, nested_as_arrow_gives_it, polars_series, polars_frame]
)
@pytest.mark.parametrize("case", CASES)
def test_a_column_of_samples_is_the_list_of_them(case, make):
    layer, samples = CASES[case]
    column = make(samples)
    expected = table_of(sklearn.clone(layer).fit_transform(samples))
    np.testing.assert_array_equal(table_of(sklearn.clone(layer).fit_transform(column)), expected)


def test_graphs_diagrams_pictures_and_polars_arrays():
    path = torch.tensor([[0, 1], [1, 2]])
    graphs = [(np.array([0.0, 2.0, 1.0]), path.numpy())] * 2
    expected = GraphPersistence().fit_transform(graphs)
    got = GraphPersistence().fit_transform(pd.DataFrame({"graph": pd.Series(graphs)}))
    assert torch.equal(got.births, expected.births)

    diagrams = CubicalPersistence().fit_transform(IMAGES)
    column = pd.Series([diagrams[[k]] for k in range(5)])
    np.testing.assert_array_equal(
        PersistenceImage(3).fit_transform(column), PersistenceImage(3).fit_transform(diagrams)
    )
    pillow = pytest.importorskip("PIL.Image")
    pictures = [pillow.fromarray((255 * image).astype(np.uint8)) for image in IMAGES]
    np.testing.assert_array_equal(
        EulerCurve(4).fit_transform(pd.Series(pictures)), EulerCurve(4).fit_transform(pictures)
    )
    polars = pytest.importorskip("polars")
    np.testing.assert_array_equal(
        EulerCurve(4).fit_transform(polars.Series(np.stack(IMAGES))), EulerCurve(4).fit_transform(IMAGES)
    )


def test_what_holds_no_samples_stays():
    for X in (
        pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}),
        pd.Series(["some", "texts"]),
        pd.Series([1, 2]),
        np.ones((2, 3)),
        [np.ones(3)],
        torch.ones(2, 3),
    ):
        assert cells_of("f", X) is X


def test_what_is_missing_and_several_columns_are_named():
    with pytest.raises(InputError, match=r"EulerCurve: X\[1\] is None; expected a sample, as in other rows"):
        EulerCurve().fit(pd.Series([IMAGES[0], None]))
    frame = pd.DataFrame({"a": pd.Series(IMAGES), "b": range(5)})
    with pytest.raises(
        InputError, match="X has 2 columns, of which 1 hold arrays; expected one column of arr"
    ):
        EulerCurve().fit(frame)


@pytest.mark.parametrize("columns", ["image", ["image"]])
def test_a_column_transformer_joins_rows_of_the_same_sample(columns):
    frame = pd.DataFrame({"image": pandas_series(IMAGES), "number": pd.Series(range(5), index=INDEX)})
    features = make_pipeline(CubicalPersistence(), PersistenceStatistics())
    both = ColumnTransformer([("top", features, columns), ("plain", "passthrough", ["number"])])
    expected = both.fit_transform(frame)
    table = both.set_output(transform="pandas").fit_transform(frame)
    assert list(table.index) == INDEX
    np.testing.assert_array_equal(table.to_numpy(), expected)
    assert list(table.columns[:2]) == ["top__persistencestatistics_h0_birth_mean", table.columns[1]]
    again = both.transform(frame.iloc[::-1])
    assert list(again.index) == INDEX[::-1]
    np.testing.assert_array_equal(again.to_numpy(), expected[::-1])


def test_rows_of_flat_images_stay_with_their_labels_through_diagrams():
    frame = pd.DataFrame(RANDOM.random((4, 9)), columns=[f"p{k}" for k in range(9)], index=[2, 0, 3, 1])
    frame["number"] = frame.p0
    pipeline = make_pipeline(CubicalPersistence(sample_shape=(3, 3)), BettiCurve(resolution=2))
    both = ColumnTransformer(
        [("top", pipeline, list(frame.columns[:9])), ("plain", "passthrough", ["number"])]
    )
    expected = both.fit_transform(frame)
    np.testing.assert_array_equal(
        both.set_output(transform="pandas").fit_transform(frame).to_numpy(), expected
    )


def test_labels_survive_pickles_as_a_memory_makes_them(tmp_path):
    pipeline = make_pipeline(CubicalPersistence(), BettiCurve(resolution=2), memory=str(tmp_path))
    pipeline.set_output(transform="pandas")
    for _ in range(2):
        assert list(pipeline.fit_transform(pandas_series(IMAGES)).index) == INDEX
    diagrams = CubicalPersistence().fit_transform(pandas_series(IMAGES))
    layer = BettiCurve(resolution=2).set_output(transform="pandas")
    assert list(layer.fit_transform(pickle.loads(pickle.dumps(diagrams))).index) == INDEX
    assert list(layer.fit_transform(diagrams[:2]).index) == [0, 1]  # of a part nobody knows


def test_several_channels_of_an_image_have_no_label():
    X = pd.Series([RANDOM.random((2, 4, 4)) for _ in range(3)], index=[5, 4, 3])
    pipeline = make_pipeline(CubicalPersistence(channels=True), PersistenceStatistics())
    assert list(pipeline.set_output(transform="pandas").fit_transform(X).index) == list(range(6))


def test_polars_comes_out():
    polars = pytest.importorskip("polars")
    features = make_pipeline(CubicalPersistence(), BettiCurve(resolution=2)).set_output(transform="polars")
    table = features.fit_transform(polars_series(IMAGES))
    assert isinstance(table, polars.DataFrame)
    assert table.columns == list(features.get_feature_names_out())
    np.testing.assert_array_equal(
        table.to_numpy(), features.set_output(transform="default").fit_transform(IMAGES)
    )


def test_features_of_a_model_from_a_column():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))
    layer = torch.nn.Sequential(
        CubicalPersistence(channels=True), PersistenceStatistics(), torch.nn.Flatten()
    )
    images = [image[None].astype(np.float32) for image in IMAGES]
    features = topodl.TopologicalFeatures(model, {"0": layer})
    expected = features.fit_transform(np.stack(images))
    np.testing.assert_array_equal(features.fit_transform(pd.Series(images)), expected)
    np.testing.assert_array_equal(features.transform({"input": pd.Series(images)}), expected)
