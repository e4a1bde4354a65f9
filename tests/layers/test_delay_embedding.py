"""Delay embeddings as a layer: the function behind it, what `fit` finds, and both faces."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from topodl import InputError
from topodl.filtrations import delay_embedding, embedding_parameters
from topodl.layers import DelayEmbedding, PersistenceStatistics, RipsPersistence

WAVES = torch.sin(torch.linspace(0, 25, 150) + torch.arange(4)[:, None]).double()


@parametrize_with_checks(
    [DelayEmbedding(1, 1)],
    expected_failed_checks=lambda _: {
        "check_no_attributes_set_in_init": "every nn.Module sets `training` and its dictionaries",
    },
)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def test_fit_finds_what_is_not_given():
    found = embedding_parameters(WAVES)
    layer = DelayEmbedding(stride=3).fit(WAVES.numpy())
    assert layer.parameters_.tolist() == [found.delay, found.dimension]
    expected = delay_embedding(WAVES, found.dimension, found.delay, stride=3)
    np.testing.assert_allclose(layer.transform(WAVES.numpy()), expected)
    torch.testing.assert_close(layer(WAVES), expected)
    assert DelayEmbedding(3).fit(WAVES.numpy()).parameters_.tolist() == [found.delay, 3]
    by_delay = DelayEmbedding(delay=5).fit(WAVES.numpy()).parameters_.tolist()
    assert by_delay == [5, embedding_parameters(WAVES, delay=5).dimension]
    for again in (pickle.loads(pickle.dumps(layer)), DelayEmbedding(stride=3)):
        again.load_state_dict(layer.state_dict())
        torch.testing.assert_close(again(WAVES), expected)
    for unfitted in (DelayEmbedding(), DelayEmbedding(2), DelayEmbedding(delay=1), clone(layer)):
        with pytest.raises(NotFittedError, match="give it to the constructor or call fit"):
            unfitted(WAVES)
    assert layer.set_params(stride=1).parameters_ is None


def test_several_values_at_a_time_and_lengths():
    layer = DelayEmbedding(2, 3)
    both = torch.stack((WAVES, -WAVES), 2)
    np.testing.assert_allclose(layer.fit_transform(both.numpy()), delay_embedding(both, 2, 3))
    ragged = layer.transform([both[0].numpy(), both[1, :50].numpy()])
    assert [cloud.shape for cloud in ragged] == [(147, 4), (47, 4)]
    listed = layer.fit_transform([WAVES[0].numpy(), WAVES[1, :50].numpy()])
    np.testing.assert_allclose(listed[1], delay_embedding(WAVES[1:2, :50], 2, 3)[0])
    assert list(layer.get_feature_names_out()) == ["delayembedding"]


def test_stands_in_networks_and_pipelines():
    series = WAVES.clone().requires_grad_()
    network = nn.Sequential(DelayEmbedding(2, 8, 4), RipsPersistence(), PersistenceStatistics())
    features = network(series)
    features.nan_to_num().sum().backward()
    assert series.grad.abs().sum() > 0
    steps = make_pipeline(DelayEmbedding(2, 8, 4), RipsPersistence(), PersistenceStatistics())
    np.testing.assert_allclose(steps.fit_transform(WAVES.numpy()), features.detach().flatten(1), atol=1e-6)


def test_unusable_settings_are_named():
    with pytest.raises(InputError, match="DelayEmbedding: dimension is 0"):
        DelayEmbedding(0).fit(WAVES.numpy())
    with pytest.raises(InputError, match="delay_embedding: stride is 0"):
        DelayEmbedding(2, 1, 0)(WAVES)
    with pytest.raises(InputError, match="mutual_information: x\\[0\\] has 9 values"):
        DelayEmbedding().fit(WAVES[:, :9].numpy())
