"""The autoencoder on manifolds: both faces, seeds, what it learns, and errors."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from topodl.errors import InputError
from topodl.representations import ManifoldVAE
from topodl.representations.manifolds import Euclidean, FlatTorus, ProjectiveSpace, Sphere

SMALL = {"hidden": (32,), "max_epochs": 3, "batch_size": 30}


def circle(n=120, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1), angle


def test_learns_a_circle_and_maps_back():
    X, _ = circle(300)
    model = ManifoldVAE(Sphere(1), hidden=(64,), max_epochs=60, batch_size=50, learning_rate=5e-3).fit(X)
    assert model.history_[-1]["loss"] < model.history_[0]["loss"] / 3
    codes = model.transform(X)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-5)
    error = np.square(model.inverse_transform(codes) - X).mean()
    assert error < 0.1 < X.var()
    assert model.sample(7).shape == (7, 4)
    assert len(model.divergences_) == 1


def test_both_faces_agree():
    X, _ = circle()
    model = ManifoldVAE(FlatTorus(2), **SMALL).fit(X)
    x = torch.from_numpy(X).float()
    np.testing.assert_allclose(model(x).detach().numpy(), model.transform(X), atol=1e-6)
    classifier = nn.Sequential(ManifoldVAE(Euclidean(3), **SMALL), nn.Linear(3, 2))
    assert classifier(x).shape == (120, 2)
    losses = model.losses(x)
    losses["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    expected = losses["reconstruction"] * 4 / (2 * model.variance) + losses["kl"]
    torch.testing.assert_close(losses["loss"], expected)
    names = make_pipeline(StandardScaler(), clone(model)).fit(X).get_feature_names_out()
    assert names.tolist() == [f"manifoldvae{k}" for k in range(4)]


def test_the_same_seed_gives_the_same_result_and_leaves_global_seeds_alone():
    X, _ = circle()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = ManifoldVAE(Sphere(1), restarts=2, **SMALL).fit(X)
    assert torch.equal(torch.get_rng_state(), before)
    second = clone(first).fit(X)
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    other = clone(first).set_params(random_state=1).fit(X)
    assert not np.array_equal(first.transform(X), other.transform(X))
    for again in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        np.testing.assert_array_equal(again.transform(X), first.transform(X))


def test_the_start_of_the_lowest_divergence_is_kept():
    X, _ = circle()
    model = ManifoldVAE(Sphere(1), restarts=3, **SMALL).fit(X)
    assert len(model.divergences_) == 3
    best = int(np.argmin(model.divergences_))
    first = ManifoldVAE(Sphere(1), restarts=best + 1, **SMALL).fit(X)
    assert first.divergences_ == model.divergences_[: best + 1]
    np.testing.assert_array_equal(first.transform(X), model.transform(X))


def test_opposite_points_of_projective_space_are_decoded_alike():
    X, _ = circle()
    model = ManifoldVAE(ProjectiveSpace(2), **SMALL).fit(X)
    codes = model.transform(X)
    np.testing.assert_allclose(model.inverse_transform(-codes), model.inverse_transform(codes), atol=1e-6)


def test_times_lie_in_their_range():
    X, _ = circle()
    model = ManifoldVAE(Sphere(1), log_t_range=(-5.0, -4.0), **SMALL).fit(X)
    _, log_t = model.encode(torch.from_numpy(X).float())
    assert ((log_t >= -5) & (log_t <= -4)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"manifold": 2}, "manifold is a int; expected one of topodl.representations.manifolds"),
        ({"restarts": 0}, "restarts is 0; expected an integer of at least 1"),
        ({"variance": 0.0}, "variance is 0.0"),
        ({"log_t_range": (0.0, -1.0)}, "log_t_range is"),
        ({"log_t_range": (-1.0, 0.5)}, r"log_t_range is \(-1.0, 0.5\); expected .* with low <= high <= 0"),
        ({"log_t_range": 3}, "log_t_range is 3"),
        ({"log_t_range": (None, 0.0)}, "log_t_range is"),
        ({"hidden": 8}, "hidden is 8; expected a sequence of integers of at least 1"),
        ({"hidden": (8, 0)}, r"hidden\[1\] is 0; expected an integer of at least 1"),
        ({"max_epochs": 2.5}, "max_epochs is 2.5"),
    ],
)
def test_unusable_settings_are_named(options, message):
    with pytest.raises(InputError, match=f"ManifoldVAE: {message}"):
        ManifoldVAE(**({"manifold": Sphere(1)} | options)).fit(circle()[0])


def test_a_module_takes_other_precisions_and_the_state_of_another():
    X, _ = circle()
    model = ManifoldVAE(Euclidean(2), log_t_range=(-3.0, 1.0), **SMALL).fit(torch.from_numpy(X).bfloat16())
    x = torch.from_numpy(X)
    assert model(x.double()).dtype == torch.float32
    torch.testing.assert_close(model(x.double()), model(x.float()))
    empty = ManifoldVAE(Euclidean(2), **SMALL)
    empty.load_state_dict(model.state_dict())
    torch.testing.assert_close(empty.reconstruct(x), model.reconstruct(x))
    codes = model.transform(X)
    np.testing.assert_allclose(model.double().transform(X), codes, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model(torch.zeros(4)), r"x has shape \(4,\) .*; expected .* \(B, {n}\)"),
        (lambda model: model(torch.zeros(4, 99)), r"x has shape \(4, 99\)"),
        (lambda model: model(torch.zeros(4, 2, dtype=torch.int64)), ".* dtype torch.int64"),
        (lambda model: model.decode(torch.zeros(4, 3)), r"codes has shape \(4, 3\) .* \(B, 2\)"),
        (lambda model: clone(model).decode(torch.zeros(4, 2)), "codes come before any samples"),
    ],
)
def test_tensors_that_do_not_fit_are_named(call, message):
    X, _ = circle()
    model = ManifoldVAE(Sphere(1), **SMALL).fit(X)
    with pytest.raises(InputError, match=f"ManifoldVAE: {message.replace('{n}', str(X.shape[1]))}"):
        call(model)


def test_unusable_input_is_named():
    X, _ = circle()
    model = ManifoldVAE(Sphere(1), **SMALL)
    with pytest.raises(NotFittedError):
        model.transform(X)
    with pytest.raises(InputError, match="minimum of 2 samples"):
        model.fit(X[:1])
    with pytest.raises(InputError, match="X has 3 columns; expected codes of 2"):
        model.fit(X).inverse_transform(X[:, :3])


def test_samples_and_codes_that_are_not_finite_are_named():
    X, _ = circle(40)
    model = ManifoldVAE(Sphere(1), **SMALL).fit(X)
    x = torch.from_numpy(X).float()
    x[3, 0] = torch.inf
    for call in (model, model.losses, model.reconstruct):
        with pytest.raises(InputError, match=r"ManifoldVAE: x\[3\] has an infinite value"):
            call(x)
    with pytest.raises(InputError, match=r"ManifoldVAE: codes\[1\] has NaN at \(0\)"):
        model.decode(torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]))
