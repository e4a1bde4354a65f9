"""scikit-learn's own checks of every public transformer, behind a step that makes its input of a table."""

import inspect
import warnings

import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from topodl import layers

# Layers whose input are diagrams; maps of diagrams with a layer behind them.
OF_DIAGRAMS = {
    "Amplitude": layers.Amplitude(),
    "Atol": layers.Atol(n_centres=2),
    "BarClamper": make_pipeline(layers.BarClamper(-1.0, 1.0), layers.NumberOfBars()),
    "BarSelector": make_pipeline(layers.BarSelector(n_bars=2), layers.NumberOfBars()),
    "BettiCurve": layers.BettiCurve(resolution=4),
    "ComplexPolynomial": layers.ComplexPolynomial(n_coefficients=2),
    "DiagramDistances": layers.DiagramDistances("bottleneck"),
    "DiagramEncoder": layers.DiagramEncoder(width=4, n_heads=1, n_blocks=0, n_outputs=2, dims=0),
    "DiagramKernel": layers.DiagramKernel(),
    "DiagramScaler": make_pipeline(layers.DiagramScaler(), layers.NumberOfBars()),
    "LongestBars": layers.LongestBars(2),
    "NumberOfBars": layers.NumberOfBars(),
    "PaddedBars": layers.PaddedBars(2),
    "PersLay": layers.PersLay(n_features=2, dims=0),
    "PersistenceCurve": layers.PersistenceCurve(resolution=4),
    "PersistenceEntropy": layers.PersistenceEntropy(),
    "PersistenceImage": layers.PersistenceImage(resolution=2),
    "PersistenceLandscape": layers.PersistenceLandscape(2, 4),
    "PersistenceStatistics": layers.PersistenceStatistics(),
    "Silhouette": layers.Silhouette(resolution=4),
    "SliceFeatures": layers.SliceFeatures(layers.NumberOfBars(), 1),
    "TopologicalVector": layers.TopologicalVector(2),
}
# Layers whose input is a table themselves.
OF_TABLES = {
    "cloud_features": layers.cloud_features(resolution=3, sample_shape=(-1, 1)),
    "image_features": layers.image_features(resolution=4),
}
ELSEWHERE = {  # in the tests of their own modules
    *("CubicalPersistence", "RipsPersistence", "EulerCharacteristicTransform", "EulerCurve"),
    *("DelayEmbedding", "Filtration"),
}
# What no table holds: scikit-learn leaves out all checks but that of the tags.
NO_TABLES = {
    "AlphaPersistence": layers.AlphaPersistence(),
    "EulerSurface": layers.EulerSurface(),
    "FiberedPersistence": layers.FiberedPersistence(),
    "GraphPersistence": layers.GraphPersistence(),
    "HilbertSurface": layers.HilbertSurface(),
    "LevelPersistence": layers.LevelPersistence(),
    "MultiparameterLandscape": layers.MultiparameterLandscape(),
    "SignedMeasureImage": layers.SignedMeasureImage(),
}
# Checks that a layer with weights cannot pass behind another estimator, and why.
EXPECTED = {
    "check_estimators_overwrite_params": "the hash of a parameter of PyTorch is that of where it lies",
    "check_methods_sample_order_invariance": "weights in float32, whose products hang on the batch",
    "check_methods_subset_invariance": "the same",
}
SERIES_AND_GRAPHS = {"graph_features", "time_series_features"}  # unions whose tags are scikit-learn's own


class OfRows(TransformerMixin, BaseEstimator):
    """A layer of diagrams, as a transformer of tables whose rows are signals."""

    def __init__(self, layer):
        self.layer = layer

    def fit(self, X, y=None):
        self.layer_ = clone(self.layer).fit(self._diagrams(X, True), y)
        return self

    def transform(self, X):
        check_is_fitted(self)
        return self.layer_.transform(self._diagrams(X, False))

    def _diagrams(self, X, reset):
        table = validate_data(self, X, reset=reset, dtype=["float64", "float32"])
        return layers.CubicalPersistence(0).fit_transform(table)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def failures(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, on_skip=None, on_fail=None)
    return {one["check_name"]: one["exception"] for one in found if one["status"] == "failed"}


def test_every_public_transformer_is_checked():
    public = {name: getattr(layers, name) for name in layers.__all__}
    found = {n for n, x in public.items() if inspect.isclass(x) and issubclass(x, BaseEstimator)}
    found |= {name for name in public if name.endswith("_features")}
    assert found == {*OF_DIAGRAMS, *OF_TABLES, *ELSEWHERE, *NO_TABLES, *SERIES_AND_GRAPHS}


@pytest.mark.parametrize("name", OF_DIAGRAMS)
def test_layers_of_diagrams(name):
    found, layer = failures(OfRows(OF_DIAGRAMS[name])), OF_DIAGRAMS[name]
    learns = isinstance(layer, torch.nn.Module) and bool(list(layer.parameters()))
    assert found.keys() <= (EXPECTED.keys() if learns else set()), found


@pytest.mark.parametrize("name", OF_TABLES)
def test_ready_pipelines(name):
    """A pipeline fits the very steps that it is given, which two of the checks forbid to all."""
    found = failures(OF_TABLES[name])
    assert found.keys() <= {"check_estimators_overwrite_params", "check_dont_overwrite_parameters"}, found


@pytest.mark.parametrize("name", NO_TABLES)
def test_layers_of_what_is_no_table(name):
    assert failures(NO_TABLES[name]) == {}
