"""The topological autoencoder as a torch module and a scikit-learn transformer at once.

Moor, Horn, Rieck, Borgwardt, "Topological Autoencoders", ICML 2020. Cost of a step: that of the networks and
the loss.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import nn
from tqdm import tqdm

from topodl._checks import check_number, fail
from topodl._submodules import evaluation_mode
from topodl.errors import InputError
from topodl.losses.topological_autoencoder import Normalisation, TopologicalAutoencoderLoss
from topodl.representations._training_run import TrainingRun, as_samples, check_widths, resolve_device

__all__ = ["Reconstruction", "TopologicalAutoencoder"]

_NAME = "TopologicalAutoencoder"
Array = np.ndarray[Any, np.dtype[Any]]


class TopologicalAutoencoder(TransformerMixin, BaseEstimator, nn.Module):
    """Autoencoder whose latent space keeps the connectivity of the data at all scales.

    Minimises the mean squared error of the reconstruction plus `topology_weight` times
    `topodl.losses.TopologicalAutoencoderLoss`, by Adam on shuffled batches.

    Parameters
    ----------
    n_components : int, default=2
        Size of the latent space; a given `encoder` has its own, whatever this says.
    hidden : sequence of int, default=(32, 32)
        Widths of the hidden layers of the encoder, and in reverse of the decoder: linear layers with batch
        normalisation and ReLU, as in the paper's experiment on Spheres.
    encoder, decoder : Module, optional
        Networks of your own, both or none: (B, …) to (B, …) and back. They are copied, not changed.
    noise : float, default=0.0
        Standard deviation of Gaussian noise on the inputs in training, whose reconstruction is compared with
        the samples without it: a denoising autoencoder.
    topology_weight : float, default=1.0
        Weight of the topological loss; 0 trains a plain autoencoder.
    dims : {0, 1}, default=0
        1 also keeps loops.
    normalisation : {"auto", "max", "image", "none"}, default="auto"
        How distances of inputs are normalised.
    max_epochs : int, default=100
        Passes over the data, at most.
    batch_size : int, default=64
        Samples a step. An incomplete last batch is left out, as batch normalisation asks for.
    learning_rate, weight_decay : float
        Of Adam.
    validation_fraction : float, default=0.15
        Share of the samples that are held out to decide when to stop, with `early_stopping`.
    early_stopping : int or None, default=10
        Epochs without a lower validation loss after which training stops. The best weights are kept. None
        trains for `max_epochs` on all samples.
    device : str, default="cpu"
        Where to train; the module stays there. "auto" takes an accelerator if there is one.
    checkpoint : path, optional
        File that the state is saved to after each epoch. `fit` goes on from it if it is there and belongs to
        the same settings and data, with the same result as without the break.
    random_state : int, default=0
        Seed of the weights of networks that are built (those handed in keep theirs), of the split, of the
        order of the samples and of the noise.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    encoder_, decoder_ : Module
        The networks.
    topology_ : TopologicalAutoencoderLoss
        The loss with its latent scale.
    history_ : list of dict
        Mean losses of each epoch: "loss", "reconstruction", "topology" and, with early stopping,
        "validation".
    n_features_in_ : int
        Features seen by `fit`, where samples are rows of a table.

    References
    ----------
    M. Moor, M. Horn, B. Rieck, K. Borgwardt, "Topological Autoencoders", ICML 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from topodl.representations import TopologicalAutoencoder
    >>> X = load_iris().data
    >>> model = TopologicalAutoencoder(max_epochs=2, batch_size=32).fit(X)
    >>> model.transform(X).shape, model.inverse_transform(model.transform(X)).shape
    ((150, 2), (150, 4))
    """

    encoder: nn.Module | None
    decoder: nn.Module | None
    encoder_: nn.Module
    decoder_: nn.Module
    topology_: TopologicalAutoencoderLoss
    history_: list[dict[str, float]]
    _code_shape: tuple[int, ...]

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden: Sequence[int] = (32, 32),
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        noise: float = 0.0,
        topology_weight: float = 1.0,
        dims: int = 0,
        normalisation: Normalisation = "auto",
        max_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        validation_fraction: float = 0.15,
        early_stopping: int | None = 10,
        device: str = "cpu",
        checkpoint: str | Path | None = None,
        random_state: int = 0,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_components, self.hidden = n_components, hidden
        # A module handed in is a setting, not a part: what is trained is its copy, encoder_.
        self.__dict__["encoder"], self.__dict__["decoder"] = encoder, decoder
        self.noise = noise
        self.topology_weight, self.dims, self.normalisation = topology_weight, dims, normalisation
        self.max_epochs, self.batch_size = max_epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.validation_fraction, self.early_stopping = validation_fraction, early_stopping
        self.device, self.checkpoint = device, checkpoint
        self.random_state, self.verbose = random_state, verbose

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("encoder", "decoder"):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def __sklearn_is_fitted__(self) -> bool:
        return "encoder_" in self._modules

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction of `x` (B, …) and its latent codes (B, n_components).

        Parameters
        ----------
        x : Tensor of shape (B, …)
            Samples. The first call builds the networks, if `fit` has not.

        Returns
        -------
        tuple of Tensor
        """
        if not self.__sklearn_is_fitted__():
            self._build(x)
        codes = self.encoder_(x)
        return self.decoder_(codes), codes

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction of `x` alone; `Reconstruction` is that as a module.

        Parameters
        ----------
        x : Tensor of shape (B, …)
            Samples.

        Returns
        -------
        Tensor of shape (B, …)
        """
        return self(x)[0]

    def losses(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return "loss", "reconstruction" and "topology" of a batch, for a training loop of your own.

        Parameters
        ----------
        x : Tensor of shape (B, …)
            Samples.

        Returns
        -------
        dict of str to Tensor
            Scalars; "loss" is the one to minimise.
        """
        noisy = x + self.noise * torch.randn_like(x) if self.noise and self.training else x
        reconstruction, codes = self(noisy)
        error = nn.functional.mse_loss(reconstruction, x)
        if not self.topology_weight:
            return {"loss": error, "reconstruction": error, "topology": torch.zeros_like(error)}
        topology = self.topology_(x, codes)
        return {
            "loss": error + self.topology_weight * topology,
            "reconstruction": error,
            "topology": topology,
        }

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or (n_samples, …) with an encoder and decoder handed in
            The samples.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            If a setting is unusable, there are fewer than two samples, the loss becomes infinite, or
            `checkpoint` belongs to another training.
        """
        self._check_settings()
        samples = self._as_tensor(X, reset=True)
        if len(samples) < 2:
            raise fail(_NAME, "X", f"has n_samples = {len(samples)}", "a minimum of 2 samples")
        self._modules.clear()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self._build(samples[:1])
        train, validation = self._split(len(samples))
        self.to(resolve_device(_NAME, self.device))
        self._train(samples, train, validation)
        return self.eval()

    def transform(self, X: Any) -> Array:
        """Return the latent codes, (n_samples, n_components), without gradient.

        Parameters
        ----------
        X : array of shape (n_samples, …)
            Samples as in `fit`.

        Returns
        -------
        ndarray

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        """
        check_is_fitted(self)
        samples = self._as_tensor(X, reset=False)
        return self._apply_in_batches(self.encoder_, samples).reshape(len(samples), -1)

    def inverse_transform(self, X: Any) -> Array:
        """Return the reconstructions of latent codes, without gradient.

        Parameters
        ----------
        X : array of shape (n_samples, n_components)
            Latent codes.

        Returns
        -------
        ndarray of shape (n_samples, …)

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        InputError
            If there are not as many columns as `transform` gives.
        """
        check_is_fitted(self)
        if isinstance(X, torch.Tensor):
            X = X.detach().cpu().numpy()
        codes = check_array(X, dtype=np.float32, input_name="X", force_writeable=True, order="C")
        if codes.shape[1] != self._n_features_out:
            came = f"has {codes.shape[1]} columns"
            raise fail(_NAME, "X", came, f"latent codes of {self._n_features_out}, as transform gives")
        return self._apply_in_batches(self.decoder_, torch.from_numpy(codes).view(-1, *self._code_shape))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one name for each latent component.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_features,), str
        """
        check_is_fitted(self)
        return np.array([f"topologicalautoencoder{k}" for k in range(self._n_features_out)], dtype=object)

    @property
    def _n_features_out(self) -> int:
        return math.prod(self._code_shape)

    def _build(self, x: torch.Tensor) -> None:
        """Make the networks for samples of the shape of `x`."""
        if (self.encoder is None) != (self.decoder is None):
            given = "decoder" if self.encoder is None else "encoder"
            raise fail(_NAME, given, "is given alone", "both an encoder and a decoder, or none")
        if self.encoder is not None and self.decoder is not None:
            self.encoder_, self.decoder_ = copy.deepcopy(self.encoder), copy.deepcopy(self.decoder)
            self.to(x.device)
            with evaluation_mode(self.encoder_), torch.no_grad():
                self._code_shape = tuple(self.encoder_(x[:1]).shape[1:])
        else:
            if x.ndim != 2:
                expected = "a table (B, features), or an encoder and a decoder of your own"
                raise fail(_NAME, "x", f"has shape {tuple(x.shape)}", expected)
            widths = [x.shape[1], *self.hidden, self.n_components]
            self.encoder_, self.decoder_ = _perceptron(widths), _perceptron(widths[::-1])
            self._code_shape = (self.n_components,)
        # Batches are shuffled, so that none comes again. Without a scaler a step of NaN ends the training.
        self.topology_ = TopologicalAutoencoderLoss(
            dims=self.dims, normalisation=self.normalisation, cache_bytes=0, non_finite="raise"
        )
        self.to(x.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # The first weight tells how wide the samples are, where neither `fit` nor a pass has.
        first = state_dict.get(f"{prefix}encoder_.0.weight")
        if first is not None and self.encoder is None and not self.__sklearn_is_fitted__():
            self._build(first.new_empty((1, first.shape[1])))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check_settings(self) -> None:
        for name, low in (("n_components", 1), ("max_epochs", 1), ("batch_size", 2), ("random_state", 0)):
            check_number(_NAME, name, getattr(self, name), low=low, integer=True)
        for name in ("noise", "topology_weight", "learning_rate", "weight_decay"):
            check_number(_NAME, name, getattr(self, name), low=0.0)
        if self.early_stopping is not None:
            check_number(_NAME, "early_stopping", self.early_stopping, low=1, integer=True)
            check_number(_NAME, "validation_fraction", self.validation_fraction, low=0.0, high=0.9)
        check_widths(_NAME, self.hidden)
        resolve_device(_NAME, self.device)

    def _as_tensor(self, X: Any, reset: bool) -> torch.Tensor:
        X = validate_data(
            self,
            as_samples(X),
            reset=reset,
            dtype=[np.float32, np.float64],
            allow_nd=True,
            ensure_2d=self.encoder is None,
        )
        return torch.from_numpy(np.require(X, dtype=np.float32, requirements=["C", "W"]))

    def _split(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices to train on and those held out; the latter are none without early stopping."""
        order = torch.from_numpy(np.random.default_rng((self.random_state, 0)).permutation(n))
        n_held = 0 if self.early_stopping is None else int(self.validation_fraction * n)
        return order[n_held:], order[:n_held]

    def _train(self, samples: torch.Tensor, train: torch.Tensor, validation: torch.Tensor) -> None:
        optimiser = torch.optim.Adam(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        run = TrainingRun(
            self,
            optimiser,
            samples,
            settings=BaseEstimator.get_params(self, deep=False),
            patience=self.early_stopping,
            checkpoint=self.checkpoint,
        )
        run.resume()
        bar = tqdm(
            total=self.max_epochs,
            initial=len(run.history),
            desc=_NAME,
            unit="epoch",
            disable=not self.verbose,
        )
        with bar:
            while len(run.history) < self.max_epochs and not run.is_stale():
                means = self._train_epoch(samples, train, optimiser, len(run.history))
                if len(validation):
                    means["validation"] = self._validate(samples[validation])
                run.record(means)
                bar.set_postfix({name: f"{value:.4f}" for name, value in means.items()})
                bar.update()
        run.restore_best()
        self.history_ = run.history

    def _train_epoch(
        self, samples: torch.Tensor, train: torch.Tensor, optimiser: torch.optim.Optimizer, epoch: int
    ) -> dict[str, float]:
        self.train()
        key = (self.random_state, 1, epoch)
        size = min(self.batch_size, len(train))
        order = train[torch.from_numpy(np.random.default_rng(key).permutation(len(train)))]
        sums: dict[str, float] = {}
        n_steps = len(order) // size
        device = resolve_device(_NAME, self.device)
        with torch.random.fork_rng(devices=[]):  # what a handed-in network draws is the same after a resume
            torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
            for step in range(n_steps):
                batch = samples[order[step * size : (step + 1) * size]].to(device)
                try:
                    losses = self.losses(batch)
                except InputError as error:  # latent codes that are not finite
                    raise _diverged(epoch) from error
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(losses["loss"])
                optimiser.step()
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach())
        means = {name: value / n_steps for name, value in sums.items()}
        if not np.isfinite(means["loss"]):
            raise _diverged(epoch)
        return means

    @torch.no_grad()
    def _validate(self, samples: torch.Tensor) -> float:
        self.eval()
        total = 0.0
        for batch in torch.split(samples, self.batch_size):
            total += len(batch) * float(self.losses(batch.to(resolve_device(_NAME, self.device)))["loss"])
        return total / len(samples)

    @torch.no_grad()
    def _apply_in_batches(self, network: nn.Module, samples: torch.Tensor) -> Array:
        self.eval()
        device = next(self.parameters()).device
        return torch.cat([network(batch.to(device)).cpu() for batch in torch.split(samples, 4096)]).numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class Reconstruction(nn.Module):
    """The reconstruction of samples by an autoencoder as a module, for a `torch.nn.Sequential`.

    Parameters
    ----------
    model : Module
        One with a method ``reconstruct``, as `TopologicalAutoencoder` and `ManifoldVAE` have.

    Raises
    ------
    TypeError
        If the model has no such method.

    References
    ----------
    M. Moor, M. Horn, B. Rieck, K. Borgwardt, "Topological Autoencoders", ICML 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations import Reconstruction, TopologicalAutoencoder
    >>> purified = torch.nn.Sequential(Reconstruction(TopologicalAutoencoder()), torch.nn.Linear(4, 3))
    >>> purified(torch.rand(8, 4)).shape
    torch.Size([8, 3])
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        if not callable(getattr(model, "reconstruct", None)):
            came = f"is a {type(model).__name__}"
            raise TypeError(f"Reconstruction: model {came}; expected an autoencoder with reconstruct(x)")
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction.

        Parameters
        ----------
        x : Tensor of shape (B, …)
            Samples.

        Returns
        -------
        Tensor of shape (B, …)
        """
        reconstruction: torch.Tensor = self.model.reconstruct(x)
        return reconstruction


def _diverged(epoch: int) -> InputError:
    came = f"is not finite in epoch {epoch + 1}"
    return fail(_NAME, "loss", came, "a finite value; a lower learning_rate may help")


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers with batch normalisation and ReLU between them."""
    layers: list[nn.Module] = []
    for k, (size_in, size_out) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(size_in, size_out))
        if k < len(widths) - 2:
            layers += [nn.BatchNorm1d(size_out), nn.ReLU()]
    return nn.Sequential(*layers)
