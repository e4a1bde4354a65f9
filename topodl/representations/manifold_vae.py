"""A variational autoencoder on a manifold, as a torch module and a scikit-learn transformer.

Pérez Rey, Menkovski, Portegies, "Diffusion Variational Autoencoders", IJCAI 2020. Cost of a step: that of the
networks, and of a random walk of a few steps.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import nn
from tqdm import tqdm

from topodl._checks import check_dense, check_number, fail, reject_non_finite
from topodl.persistence.rtd import rtd
from topodl.representations._training_run import as_samples, check_widths, resolve_device
from topodl.representations.manifolds import Manifold

__all__ = ["ManifoldVAE"]

_NAME = "ManifoldVAE"
_COMPARED = 200  # samples whose topology decides between starts
Array = np.ndarray[Any, np.dtype[Any]]


class ManifoldVAE(TransformerMixin, BaseEstimator, nn.Module):
    """Variational autoencoder on a manifold, with a heat kernel around the code of each sample (ΔVAE).

    Minimises ‖x − x̂‖² / (2 `variance`) + KL by Adam on shuffled batches. A manifold as latent space does not
    find the topology of the data by itself: a training may tear or wind the data, and a Euclidean space of
    enough dimensions is often as good. Train from several starts, of which the one is kept whose codes have
    the lowest representation topology divergence from the data, and look at the persistence of the codes.

    Parameters
    ----------
    manifold : Manifold
        One of `topodl.representations.manifolds`.
    hidden : sequence of int, default=(128, 128)
        Widths of the hidden layers of the encoder, and in reverse of the decoder, with ReLU.
    variance : float, default=0.01
        Of a feature around its reconstruction.
    log_t_range : (low, high), default=(-7.5, -3.0)
        Range of the logarithm of the time of the heat kernels. The divergence holds for short times, so that
        no logarithm is above 0 but in Euclidean space.
    steps : int, default=10
        Steps of the random walk that draws from a heat kernel.
    restarts : int, default=1
        Number of trainings, of which one is kept.
    max_epochs : int, default=40
        Passes over the data.
    batch_size : int, default=100
        Samples a step.
    learning_rate : float, default=1e-3
        Of Adam.
    device : str, default="cpu"
        Where to train; the module stays there. "auto" takes an accelerator if there is one.
    random_state : int, default=0
        Seed of weights, walks and the order of the samples, of all starts.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    encoder_, decoder_ : Module
        The networks; the encoder gives ambient coordinates and one number for the time.
    history_ : list of dict
        Mean of each epoch of the training that was kept: "loss", "reconstruction" (the mean squared error)
        and "kl".
    divergences_ : list of float
        Representation topology divergence of the codes of each start from the data.
    n_features_in_ : int
        Features seen by `fit`.

    References
    ----------
    L. A. Pérez Rey, V. Menkovski, J. W. Portegies, "Diffusion Variational Autoencoders", IJCAI 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.representations import ManifoldVAE
    >>> from topodl.representations.manifolds import Sphere
    >>> angles = np.linspace(0, 2 * np.pi, 100)
    >>> circle = np.stack([np.cos(angles), np.sin(angles), np.cos(2 * angles)], 1)
    >>> model = ManifoldVAE(Sphere(1), hidden=(16,), max_epochs=3, batch_size=20).fit(circle)
    >>> model.transform(circle).shape, model.inverse_transform(model.transform(circle)).shape
    ((100, 2), (100, 3))
    """

    encoder_: nn.Sequential
    decoder_: nn.Sequential
    history_: list[dict[str, float]]
    divergences_: list[float]

    def __init__(
        self,
        manifold: Manifold,
        *,
        hidden: Sequence[int] = (128, 128),
        variance: float = 0.01,
        log_t_range: tuple[float, float] = (-7.5, -3.0),
        steps: int = 10,
        restarts: int = 1,
        max_epochs: int = 40,
        batch_size: int = 100,
        learning_rate: float = 1e-3,
        device: str = "cpu",
        random_state: int = 0,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.manifold, self.hidden, self.variance = manifold, hidden, variance
        self.log_t_range, self.steps, self.restarts = log_t_range, steps, restarts
        self.max_epochs, self.batch_size, self.learning_rate = max_epochs, batch_size, learning_rate
        self.device, self.random_state, self.verbose = device, random_state, verbose

    def __sklearn_is_fitted__(self) -> bool:
        return "encoder_" in self._modules

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes of samples on the manifold, and the logarithm of the time of their heat kernels.

        Parameters
        ----------
        x : Tensor of shape (B, n_features)
            Samples. The first call builds the networks, if `fit` has not.

        Returns
        -------
        codes : Tensor of shape (B, ambient_dim)
        log_t : Tensor of shape (B,)

        Raises
        ------
        InputError
            If samples are no finite floating-point numbers of as many features as those before.
        """
        x = check_dense(_NAME, "x", x)
        built = self.__sklearn_is_fitted__()
        n_features = self.encoder_[0].in_features if built else "n_features"
        if x.ndim != 2 or not x.is_floating_point() or (built and x.shape[1] != n_features):
            came = f"has shape {tuple(x.shape)} and dtype {x.dtype}"
            raise fail(_NAME, "x", came, f"floating-point numbers (B, {n_features})")
        reject_non_finite(_NAME, "x", x)
        if not built:
            self._check_settings()
            self._build(x.shape[1])
            self.to(x.device)
        out = self.encoder_(x.to(self._dtype()))
        low, high = self.log_t_range
        log_t = (low + high) / 2 + (high - low) / 2 * torch.tanh(out[:, -1])
        return self.manifold._project(out[:, :-1]), log_t

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the reconstructions of codes, averaged over coordinates that stand for the same point.

        Parameters
        ----------
        codes : Tensor of shape (B, ambient_dim)
            Points of the manifold.

        Returns
        -------
        Tensor of shape (B, n_features)

        Raises
        ------
        InputError
            If there is no network yet, or codes are no finite floats of `ambient_dim` coordinates.
        """
        if not self.__sklearn_is_fitted__():
            raise fail(_NAME, "codes", "come before any samples", "a call of fit or encode before")
        codes = check_dense(_NAME, "codes", codes)
        if codes.ndim != 2 or not codes.is_floating_point() or codes.shape[1] != self.manifold.ambient_dim:
            came = f"has shape {tuple(codes.shape)} and dtype {codes.dtype}"
            raise fail(_NAME, "codes", came, f"floating-point numbers (B, {self.manifold.ambient_dim})")
        reject_non_finite(_NAME, "codes", codes)
        return self._decode(codes.to(self._dtype()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the codes (B, ambient_dim) of samples, without noise, for a layer that follows.

        Parameters
        ----------
        x : Tensor of shape (B, n_features)
            Samples.

        Returns
        -------
        Tensor of shape (B, ambient_dim)
        """
        return self.encode(x)[0]

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return the reconstructions of samples from their codes, without noise.

        Parameters
        ----------
        x : Tensor of shape (B, n_features)
            Samples.

        Returns
        -------
        Tensor of shape (B, n_features)
        """
        return self._decode(self.encode(x)[0])

    def losses(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return "loss", "reconstruction" and "kl" of a batch, for a training loop of your own.

        Parameters
        ----------
        x : Tensor of shape (B, n_features)
            Samples.

        Returns
        -------
        dict of str to Tensor
            Scalars; "loss" is the one to minimise.
        """
        codes, log_t = self.encode(x)
        error = (self._decode(self.manifold._diffuse(codes, log_t, self.steps)) - x).square()
        divergence = self.manifold._kl(codes, log_t).mean()
        loss = error.sum(1).mean() / (2 * self.variance) + divergence
        return {"loss": loss, "reconstruction": error.mean(), "kl": divergence}

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on samples, from `restarts` starts, and keep the training of the lowest divergence.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The samples.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a setting is unusable, there are fewer than two samples, or the loss becomes infinite.
        """
        self._check_settings()
        samples = self._as_tensor(X, reset=True)
        if len(samples) < 2:
            raise fail(_NAME, "X", f"has n_samples = {len(samples)}", "a minimum of 2 samples")
        device = resolve_device(_NAME, self.device)
        compared = samples[_some(len(samples), self.random_state)].to(device)
        kept: list[tuple[Any, list[dict[str, float]]]] = []
        self.divergences_ = []
        bar = tqdm(total=self.restarts * self.max_epochs, desc=_NAME, unit="epoch", disable=not self.verbose)
        with bar, torch.random.fork_rng(devices=[]):
            for start in range(self.restarts):
                torch.manual_seed(
                    int(np.random.SeedSequence((self.random_state, start)).generate_state(1)[0])
                )
                self._build(samples.shape[1])
                history = self._train(samples, self.to(device), start, bar)
                kept.append((copy.deepcopy(self.state_dict()), history))
                with torch.no_grad():
                    codes = self.eval().encode(compared)[0]
                    self.divergences_.append(float(rtd(compared, codes, quantile=0.9)))
        best, self.history_ = kept[int(np.argmin(self.divergences_))]
        self.load_state_dict(best)
        return self.eval()

    def transform(self, X: Any) -> Array:
        """Return the codes on the manifold, (n_samples, ambient_dim), without noise and gradient.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        """
        check_is_fitted(self)
        return self._in_batches(self, self._as_tensor(X, reset=False))

    def inverse_transform(self, X: Any) -> Array:
        """Return the reconstructions of codes, without gradient.

        Parameters
        ----------
        X : array of shape (n_samples, ambient_dim)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples, n_features)

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        InputError
            If there are not as many columns as `transform` gives.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float32, input_name="X", force_writeable=True, order="C")
        if codes.shape[1] != self.manifold.ambient_dim:
            came = f"has {codes.shape[1]} columns"
            raise fail(_NAME, "X", came, f"codes of {self.manifold.ambient_dim}, as transform gives")
        return self._in_batches(self.decode, torch.from_numpy(codes))

    def sample(self, n: int, random_state: int = 0) -> Array:
        """Return samples (n, n_features) drawn from the prior.

        Parameters
        ----------
        n : int
            Number of samples.
        random_state : int, default=0
            Seed.

        Returns
        -------
        ndarray of shape (n, n_features)

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        """
        check_is_fitted(self)
        codes = self.manifold.sample(n, torch.Generator().manual_seed(random_state))
        return self._in_batches(self.decode, codes)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name for each ambient coordinate.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features,), str
        """
        check_is_fitted(self)
        return np.array([f"manifoldvae{k}" for k in range(self._n_features_out)], dtype=object)

    @property
    def _n_features_out(self) -> int:
        return self.manifold.ambient_dim

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # The first weight tells how wide the samples are, where neither `fit` nor a pass has.
        first = state_dict.get(f"{prefix}encoder_.0.weight")
        if first is not None and not self.__sklearn_is_fitted__():
            self._check_settings()
            self._build(first.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.decoder_(z) for z in self.manifold.copies(codes)]).mean(0)

    def _build(self, n_features: int) -> None:
        widths = [n_features, *self.hidden]
        self.encoder_ = _perceptron([*widths, self.manifold.ambient_dim + 1])
        self.decoder_ = _perceptron([self.manifold.ambient_dim, *widths[::-1]])

    def _check_settings(self) -> None:
        if not isinstance(self.manifold, Manifold):
            came = f"is a {type(self.manifold).__name__}"
            raise fail(_NAME, "manifold", came, "one of topodl.representations.manifolds")
        for name in ("steps", "restarts", "max_epochs", "batch_size"):
            check_number(_NAME, name, getattr(self, name), low=1, integer=True)
        check_number(_NAME, "random_state", self.random_state, low=0, integer=True)
        for name in ("variance", "learning_rate"):
            check_number(_NAME, name, getattr(self, name), low=1e-12)
        check_widths(_NAME, self.hidden)
        self._check_times()

    def _check_times(self) -> None:
        """Raise unless the divergence holds for the times: on a compact manifold, up to 1."""
        longest = 0.0 if math.isfinite(self.manifold.log_volume) else math.inf
        expected = "(low, high) with low <= high" + (" <= 0" if longest == 0 else "")
        try:
            low, high = map(float, self.log_t_range)
        except (TypeError, ValueError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low <= high <= longest):
            raise fail(_NAME, "log_t_range", f"is {self.log_t_range!r}", expected)

    def _as_tensor(self, X: Any, reset: bool) -> torch.Tensor:
        X = validate_data(self, as_samples(X), reset=reset, dtype=[np.float32, np.float64])
        return torch.from_numpy(np.require(X, dtype=np.float32, requirements=["C", "W"]))

    def _train(self, samples: torch.Tensor, model: nn.Module, start: int, bar: Any) -> list[dict[str, float]]:
        """Train the present networks, and return the means of each epoch."""
        optimiser = torch.optim.Adam(model.train().parameters(), lr=self.learning_rate)
        device, history = resolve_device(_NAME, self.device), []
        for epoch in range(self.max_epochs):
            rng = np.random.default_rng((self.random_state, start, epoch))
            order = torch.from_numpy(rng.permutation(len(samples)))
            sums: dict[str, float] = {}
            for index in order.split(self.batch_size):
                losses = self.losses(samples[index].to(device))
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(losses["loss"])
                optimiser.step()
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(index) / len(samples)
            if not math.isfinite(sums["loss"]):
                expected = "a finite value; a lower learning_rate may help"
                raise fail(_NAME, "loss", f"is not finite in epoch {epoch + 1}", expected)
            history.append(sums)
            bar.set_postfix({name: f"{value:.4f}" for name, value in sums.items()})
            bar.update()
        return history

    @torch.no_grad()
    def _in_batches(self, function: Any, values: torch.Tensor) -> Array:
        self.eval()
        device = next(self.parameters()).device
        parts = [function(batch.to(device)).cpu() for batch in torch.split(values, 4096)]
        return np.asarray(torch.cat(parts).numpy())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _some(n: int, random_state: int) -> torch.Tensor:
    """Return the indices of the samples whose topology decides between starts."""
    return torch.from_numpy(np.random.default_rng((random_state, n)).permutation(n)[:_COMPARED])


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(widths):
        layers += [nn.Linear(size_in, size_out, device="cpu"), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
