import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from tests.strategies import make_diagrams
from topodl import InputError
from topodl.distances import distance_matrix, kernel_matrix
from topodl.layers import CubicalPersistence, DiagramDistances, DiagramKernel

LAYERS = [
    DiagramDistances(),
    DiagramDistances("landscape", {"order": 1, "n_layers": 2}, norm=np.inf, dims=1),
    DiagramKernel(),
    DiagramKernel("persistence_fisher", 0.5, {"fisher_bandwidth": 0.3}, dims=(0, 1)),
]


def some(seed=0):
    return make_diagrams(seed, [[5, 3], [0, 0], [1, 6], [4, 0]], essential=0.0)


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_module_transformer_and_matrix_agree(layer):
    train, test = some(), some(1)
    layer = clone(layer).fit(train)
    table = layer.transform(test)
    assert table.shape == (4, 4)
    np.testing.assert_allclose(table, layer(test, train), rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([layer.transform(one) for one in test]), table, rtol=1e-12)
    np.testing.assert_allclose(layer(train, train), layer.transform(train), atol=1e-7)
    assert len(layer.get_feature_names_out()) == 4
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer)).transform(test), table)


def test_dimensions_are_joined():
    d, other = some(), some(1)
    distances, kernels = distance_matrix(d, other), kernel_matrix(d, other, bandwidth=0.3)
    torch.testing.assert_close(DiagramDistances()(d, other), distances.square().sum(0).sqrt())
    torch.testing.assert_close(DiagramDistances(norm=np.inf)(d, other), distances.amax(0))
    torch.testing.assert_close(DiagramKernel(bandwidth=0.3)(d, other), kernels.sum(0))


def images_of_two_kinds():
    rng = np.random.default_rng(0)
    noise = rng.random((40, 6, 6)) * 0.1
    noise[20:, :2, :2] += 1
    noise[20:, 4:, 4:] += 1  # of two hills, one has a finite bar
    return noise, np.repeat([0, 1], 20)


def test_classifiers_with_a_kernel_and_with_distances():
    X, y = images_of_two_kinds()
    persistence = CubicalPersistence(superlevel=True)
    vector_machine = make_pipeline(persistence, SVC(kernel=DiagramKernel(bandwidth=0.1)))
    assert cross_val_score(vector_machine, X, y).min() == 1.0
    search = GridSearchCV(vector_machine, {"svc__kernel__bandwidth": [0.05, 0.2]}).fit(X, y)
    assert search.best_score_ == 1.0
    neighbours = make_pipeline(
        persistence, DiagramDistances("bottleneck"), KNeighborsClassifier(3, metric="precomputed")
    )
    assert cross_val_score(neighbours, X, y).min() == 1.0
    d = persistence.fit_transform(X)
    assert cross_val_score(SVC(kernel=DiagramKernel(bandwidth=0.1)), d, y).min() == 1.0


def test_a_fold_without_bars_of_a_dimension():
    train = [[np.array([[0.0, 1.0]]), np.array([[0.0, 2.0]])], [np.array([[0.0, 3.0]]), np.zeros((0, 2))]]
    layer = DiagramDistances().fit(train)
    assert layer.transform([[np.array([[0.0, 1.0]])]]).shape == (1, 2)


def test_bad_settings_are_named():
    d = some()
    with pytest.raises(NotFittedError, match="the second batch is not known"):
        DiagramKernel()(d)
    with pytest.raises(NotFittedError):
        DiagramKernel().transform(d)
    with pytest.raises(InputError, match=r"norm is 0\.5; expected a number of at least 1, or inf"):
        DiagramDistances(norm=0.5).fit(d)
    with pytest.raises(InputError, match="metric_params is 3; expected a dictionary, or None"):
        DiagramDistances(metric_params=3).fit(d)
    with pytest.raises(InputError, match="kernel is 'linear'"):
        DiagramKernel("linear").fit(d)
    with pytest.raises(InputError, match="bandwidth is -1"):
        DiagramKernel(bandwidth=-1).fit(d)
    fitted = DiagramDistances().fit(d)
    with pytest.raises(NotFittedError):
        fitted.set_params(metric="heat").transform(d)
