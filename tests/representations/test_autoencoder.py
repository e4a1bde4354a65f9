"""The autoencoder as an estimator: training, early stopping, resuming, modules of one's own."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from topodl.errors import InputError
from topodl.representations import ManifoldVAE, Reconstruction, TopologicalAutoencoder
from topodl.representations._training_run import resolve_device
from topodl.representations.manifolds import Sphere


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(60, 10)) + shift for shift in (-4, 4)])


def quick(**settings):
    return TopologicalAutoencoder(**{"max_epochs": 3, "batch_size": 32, **settings})


NOT_POSSIBLE = {
    "check_no_attributes_set_in_init": "every nn.Module sets `training` and its dictionaries",
    "check_dont_overwrite_parameters": "every nn.Module has `training`, which ends as False",
}


@parametrize_with_checks(
    [TopologicalAutoencoder(max_epochs=2, batch_size=16)], expected_failed_checks=lambda _: NOT_POSSIBLE
)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def test_learns_and_maps_back(X):
    model = quick(max_epochs=40, learning_rate=1e-2, early_stopping=None).fit(X)
    assert model.history_[-1]["loss"] < 0.5 * model.history_[0]["loss"]
    codes = model.transform(X)
    back = model.inverse_transform(codes)
    assert codes.shape == (120, 2)
    assert back.shape == X.shape
    assert np.mean((back - X) ** 2) < 0.5 * np.var(X)
    # the latent scale is learnt with the rest
    assert model.topology_.latent_norm.item() != 1.0


def test_is_a_module(X):
    model = quick()
    x = torch.from_numpy(X[:8]).float()
    reconstruction, codes = model(x)
    assert reconstruction.shape == x.shape
    assert codes.shape == (8, 2)
    losses = model.losses(x)
    losses["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.testing.assert_close(losses["loss"], losses["reconstruction"] + losses["topology"])
    fitted = quick().fit(X)
    for other in (quick(random_state=5).fit(X), quick()):
        other.load_state_dict(fitted.state_dict())
        np.testing.assert_array_equal(other.transform(X), fitted.transform(X))


def test_the_same_seed_gives_the_same_result_and_leaves_global_seeds_alone(X):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = quick().fit(X), quick().fit(X), quick(random_state=1).fit(X)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    assert np.abs(first.transform(X) - other.transform(X)).max() > 0.01
    np.testing.assert_array_equal(clone(first).fit(X).transform(X), first.transform(X))


def test_stops_when_the_validation_loss_no_longer_falls(X):
    model = quick(max_epochs=200, learning_rate=0.05, early_stopping=2).fit(X)
    values = [means["validation"] for means in model.history_]
    assert len(values) < 200
    assert int(np.argmin(values)) == len(values) - 3
    # the best weights are kept
    _, held = model._split(len(X))
    best = model._validate(torch.from_numpy(X).float()[held])
    assert best == pytest.approx(min(values), rel=1e-5)


def test_goes_on_from_a_checkpoint_as_if_never_interrupted(X, tmp_path):
    def network(*sizes):
        layers = [nn.Linear(*sizes), nn.Dropout(0.3)]
        return nn.Sequential(*layers)

    torch.manual_seed(0)
    parts = {"encoder": network(10, 2), "decoder": network(2, 10)}
    whole = quick(max_epochs=6, **parts).fit(X)
    path = tmp_path / "state" / "run.pt"
    quick(max_epochs=2, checkpoint=path, **parts).fit(X)
    resumed = quick(max_epochs=6, checkpoint=path, **parts).fit(X)
    assert resumed.history_ == whole.history_
    np.testing.assert_array_equal(resumed.transform(X), whole.transform(X))
    with pytest.raises(InputError, match=r"checkpoint is .* of other settings or data"):
        quick(learning_rate=0.5, checkpoint=path, **parts).fit(X)
    with pytest.raises(InputError, match="of other settings or data"):
        quick(checkpoint=path, **parts).fit(X + 1)
    with pytest.raises(InputError, match="of other settings or data"):
        quick(checkpoint=path, early_stopping=None, **parts).fit(X)
    assert len(quick(max_epochs=7, checkpoint=path, early_stopping=5, **parts).fit(X).history_) == 7


def test_modules_handed_in_are_copied_and_take_images(X):
    images = np.random.default_rng(1).uniform(-1, 1, (40, 1, 6, 6)).astype(np.float32)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    decoder = nn.Sequential(nn.Linear(3, 36), nn.Unflatten(1, (1, 6, 6)))
    before = encoder[1].weight.detach().clone()
    model = quick(encoder=encoder, decoder=decoder).fit(images)
    assert len(model.get_feature_names_out()) == 3
    assert torch.equal(encoder[1].weight, before)
    assert model.transform(images).shape == (40, 3)
    assert model.inverse_transform(model.transform(images)).shape == images.shape
    with pytest.raises(InputError, match="encoder is given alone"):
        quick(encoder=encoder).fit(images)


def test_without_topology_it_is_a_plain_autoencoder(X):
    model = quick(topology_weight=0.0).fit(X)
    assert all(means["topology"] == 0.0 for means in model.history_)
    assert model.topology_.latent_norm.item() == 1.0


def test_noise_is_added_in_training_alone(X):
    x = torch.from_numpy(X[:32]).float()
    model = quick(noise=0.5, topology_weight=0.0)
    model(x)
    assert model.train().losses(x)["loss"] != model.losses(x)["loss"]
    assert model.eval().losses(x)["loss"] == model.losses(x)["loss"]
    first, again = quick(noise=0.5).fit(X), quick(noise=0.5).fit(X)
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    assert not np.array_equal(first.transform(X), quick().fit(X).transform(X))
    with pytest.raises(InputError, match="noise is -1"):
        quick(noise=-1.0).fit(X)


def test_reconstructions_stand_in_front_of_a_classifier(X):
    model, x = quick().fit(X), torch.from_numpy(X[:8]).float()
    classifier = nn.Linear(X.shape[1], 2)
    both = nn.Sequential(Reconstruction(model), classifier).eval()
    torch.testing.assert_close(both(x), classifier(model(x)[0]))
    vae = ManifoldVAE(Sphere(2), hidden=(8,), max_epochs=1).fit(X)
    expected = vae.inverse_transform(vae.transform(X[:8]))
    torch.testing.assert_close(Reconstruction(vae)(x), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match="model is a Linear; expected an autoencoder with reconstruct"):
        Reconstruction(classifier)


def test_works_in_a_pipeline_with_names(X):
    pipeline = make_pipeline(StandardScaler(), quick()).set_output(transform="pandas")
    frame = pipeline.fit_transform(X)
    assert list(frame.columns) == ["topologicalautoencoder0", "topologicalautoencoder1"]


def test_unusable_input_is_named(X):
    with pytest.raises(NotFittedError):
        quick().transform(X)
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(np.where(X > 3, np.nan, X))
    with pytest.raises(InputError, match="batch_size is 1; expected an integer of at least 2"):
        quick(batch_size=1).fit(X)
    for hidden in (8, "8", (8, 0)):
        with pytest.raises(InputError, match=r"TopologicalAutoencoder: hidden.* is .* at least 1"):
            quick(hidden=hidden).fit(X)
    assert quick().fit(torch.from_numpy(X).bfloat16()).transform(X).dtype == np.float32
    with pytest.raises(ValueError, match="features"):
        quick().fit(X).transform(X[:, :3])
    fitted = quick().fit(X)
    with pytest.raises(InputError, match="X has 3 columns; expected latent codes of 2"):
        fitted.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="X contains NaN"):
        fitted.inverse_transform(np.full((4, 2), np.nan))
    with pytest.raises(InputError, match="loss is not finite in epoch"):
        quick(learning_rate=1e30, early_stopping=None).fit(X)


def test_device(X):
    model = quick(device="auto").fit(X)
    assert next(model.parameters()).device.type == resolve_device("", "auto").type
    quick(device="meta")  # settings are looked at by fit alone
    for device in ("cuda:99", "abacus"):
        with pytest.raises(
            InputError, match=f"TopologicalAutoencoder: device is '{device}'; expected a device"
        ):
            quick(device=device).fit(X)


def test_progress_bar(X, capsys):
    quick(verbose=True).fit(X)
    assert "TopologicalAutoencoder: 100%" in capsys.readouterr().err


def test_latent_maps_come_back(X):
    images = np.random.default_rng(1).uniform(-1, 1, (20, 1, 6, 6)).astype(np.float32)
    halves = {"encoder": nn.Conv2d(1, 2, 3, stride=3), "decoder": nn.ConvTranspose2d(2, 1, 3, stride=3)}
    model = quick(**halves).fit(images)
    codes = model.transform(images)
    assert codes.shape == (20, 8) == (20, len(model.get_feature_names_out()))
    assert model.inverse_transform(codes).shape == images.shape
    frame = model.set_output(transform="pandas").transform(images)
    np.testing.assert_array_equal(model.inverse_transform(frame), model.inverse_transform(codes))
