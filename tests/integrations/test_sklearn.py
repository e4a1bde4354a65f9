"""Models saved in each of the ways that scikit-learn's users have, and Diagrams in loaders and skorch."""

import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from topodl import Diagrams
from topodl.layers import (
    BettiCurve,
    CubicalPersistence,
    DiagramEncoder,
    EulerCharacteristicTransform,
    EulerCurve,
    PersistenceEntropy,
    PersistenceImage,
    PersistenceLandscape,
    PersistenceStatistics,
    PersLay,
    RipsPersistence,
    Silhouette,
)

RANDOM = np.random.default_rng(0)
IMAGES, CLOUDS = RANDOM.random((6, 5, 5)), RANDOM.random((6, 7, 2))
DIAGRAMS = CubicalPersistence().fit_transform(IMAGES)
FITTED = [
    (make_pipeline(CubicalPersistence(), PersistenceImage(3), StandardScaler()), IMAGES),
    (EulerCurve(4), IMAGES),
    (EulerCharacteristicTransform(2, 3), CLOUDS),
    (EulerCharacteristicTransform(2, 3, learnable=True), CLOUDS),
    (make_pipeline(RipsPersistence(), BettiCurve(3)), CLOUDS),
    (PersistenceLandscape(), DIAGRAMS),
    (Silhouette(), DIAGRAMS),
    (PersistenceEntropy(), DIAGRAMS),
    (PersistenceStatistics(), DIAGRAMS),
    (PersLay(n_features=3, random_state=0), DIAGRAMS),
    (DiagramEncoder(4, 2), DIAGRAMS),
]


def by_pickle(model):
    return pickle.loads(pickle.dumps(model))


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def by_cloudpickle(model):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(model))


def by_skops(model):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=data)
    assert all(name.startswith("topodl.layers.") for name in unknown)
    return skops.loads(data, trusted=unknown)


@pytest.mark.parametrize("saved", [by_pickle, by_joblib, by_cloudpickle, by_skops])
@pytest.mark.parametrize(("model", "X"), FITTED)
def test_a_fitted_model_is_saved_and_loaded(saved, model, X):
    expected = model.fit_transform(X)
    again = saved(model)
    np.testing.assert_array_equal(again.transform(X), expected)
    np.testing.assert_array_equal(again.fit_transform(X), expected)  # it can be fitted anew, too


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_skops_keeps_weights_their_dtype_and_what_is_learnt(dtype):
    pytest.importorskip("skops")
    layer = PersLay(n_features=3, random_state=0).fit(DIAGRAMS).to(dtype)
    next(layer.parameters()).requires_grad_(False)
    again = by_skops(layer)
    assert list(again.state_dict()) == list(layer.state_dict())
    for ours, theirs in zip(again.parameters(), layer.parameters(), strict=True):
        assert isinstance(ours, torch.nn.Parameter)
        assert (ours.dtype, ours.requires_grad) == (theirs.dtype, theirs.requires_grad)
        assert torch.equal(ours, theirs)


def test_skops_keeps_what_has_no_shape_yet():
    pytest.importorskip("skops")
    again = by_skops(PersLay(n_features=3, random_state=0))
    expected = PersLay(n_features=3, random_state=0).fit_transform(DIAGRAMS)
    np.testing.assert_array_equal(again.fit_transform(DIAGRAMS), expected)


def test_copies_share_nothing_and_keep_tied_weights_tied():
    import copy

    layer = PersLay(n_features=3, random_state=0).fit(DIAGRAMS)
    pair = torch.nn.ModuleList([layer, layer])
    first, second = copy.deepcopy(pair)
    assert first is second
    assert next(first.parameters()) is not next(layer.parameters())
    assert torch.equal(next(first.parameters()), next(layer.parameters()))


class _Items(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return {"diagram": DIAGRAMS[i], "pair": (DIAGRAMS[i], i)}


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_collate_diagrams(workers):
    batches = list(torch.utils.data.DataLoader(_Items(), batch_size=4, num_workers=workers))
    for batch, expected in zip(batches, (DIAGRAMS[:4], DIAGRAMS[4:]), strict=True):
        for diagrams in (batch["diagram"], batch["pair"][0]):
            assert isinstance(diagrams, Diagrams)
            assert torch.equal(diagrams.births, expected.births)
            assert torch.equal(diagrams.samples, expected.samples)


@pytest.mark.filterwarnings("ignore")
def test_skorch_trains_on_diagrams_alone_and_in_a_pipeline():
    skorch = pytest.importorskip("skorch")
    labels = np.arange(6) % 2

    def network():
        image = PersistenceImage(3, (0, 1), (0, 1))
        return torch.nn.Sequential(image, torch.nn.Flatten(), torch.nn.Linear(18, 2).double())

    def classifier():
        return skorch.NeuralNetClassifier(
            network,
            criterion=torch.nn.CrossEntropyLoss,
            max_epochs=1,
            batch_size=4,
            train_split=None,
            verbose=0,
        )

    assert classifier().fit(DIAGRAMS, labels).predict_proba(DIAGRAMS).shape == (6, 2)
    pipeline = make_pipeline(CubicalPersistence(), classifier())
    assert pipeline.fit(IMAGES, labels).predict(IMAGES).shape == (6,)
