"""`AttentionFeatures`: from texts or images straight to attention features, as a step of a pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from topodl._checks import as_tensor, fail
from topodl._docs import shares_documentation
from topodl._submodules import evaluation_mode
from topodl.attention.recording import record
from topodl.attention.topology import AttentionTopology
from topodl.errors import InputError, MissingDependencyError
from topodl.layers._base import FeatureLayer

__all__ = ["AttentionFeatures", "load_text_model", "token_classes_of", "weights_digest"]


class AttentionFeatures(FeatureLayer):
    """Run a model and return the topological features of its attention.

    A step of a scikit-learn pipeline on raw input: images for a vision transformer, strings for a language
    model with its tokenizer. The model stays frozen in `transform`; as a module the features carry gradients
    to it.

    Parameters
    ----------
    model : torch.nn.Module
        A model whose attention `record` can see.
    topology : AttentionTopology
        The features.
    tokenizer : callable, optional
        A Hugging Face tokenizer; samples are then strings.
    max_length : int, optional
        Strings are cut to this many tokens.
    layers : str, optional
        Regular expression for the names of the attention modules to use.
    chunk_size, n_jobs, verbose
        Samples a forward pass, joblib's number of jobs, and whether a progress bar shows.

    References
    ----------
    L. Kushnareva et al., "Artificial Text Detection via Examining the Topology of Attention Maps", EMNLP
    2021.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from topodl.attention import AttentionFeatures, AttentionTopology
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    >>> model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    >>> step = AttentionFeatures(model, AttentionTopology(("barcode.h0.mean", "sink.max")))
    >>> step.fit_transform(torch.randn(5, 6, 8)).shape
    (5, 8)
    """

    def __init__(
        self,
        model: nn.Module,
        topology: AttentionTopology,
        *,
        tokenizer: Any = None,
        max_length: int | None = None,
        layers: str | None = None,
        chunk_size: int = 16,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.topology = topology
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.layers = layers
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(self, inputs: Any) -> torch.Tensor:
        """Return the features (B, layers * heads * features) of what the model is called with.

        Parameters
        ----------
        inputs : Tensor of shape (B, …), mapping of such, or list of B str
            One tensor, the keyword arguments of the model, or strings where a tokenizer is given.

        Returns
        -------
        Tensor of shape (B, layers * heads * features)

        Raises
        ------
        InputError
            If there are strings and no tokenizer, or the model has no attention that can be recorded.
        """
        if isinstance(inputs, list):
            inputs = self._tokenized(inputs)
        with record(self.model, features=self.topology, layers=self.layers) as recorder:
            if isinstance(inputs, Mapping):
                self.model(**inputs)
            else:
                self.model(inputs)
        self._shape = recorder.shape
        return recorder.features()

    def _tokenized(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        if self.tokenizer is None:
            raise fail("AttentionFeatures", "tokenizer", "is missing", "a tokenizer, to read strings")
        options = {"truncation": True, "max_length": self.max_length} if self.max_length else {}
        encoded = self.tokenizer(list(texts), padding=True, return_tensors="pt", **options)
        device = next(self.model.parameters()).device
        return {name: value.to(device) for name, value in encoded.items()}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_layers_")

    def _as_samples(self, X: Any, reset: bool) -> Any:
        expected = "a batch of inputs of the model, or a list of strings"
        if isinstance(X, str | Mapping):
            raise fail("AttentionFeatures", "X", f"is a {type(X).__name__}", expected)
        X = X.to_numpy() if hasattr(X, "to_numpy") else X  # a column of a data frame
        if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype.kind in "OU"):
            texts = list(X)
            for i, text in enumerate(texts):
                if not isinstance(text, str) or not text.strip():
                    raise fail("AttentionFeatures", f"X[{i}]", f"is {text!r}", "a text that is not empty")
            return texts
        samples = as_tensor(X)
        if samples.ndim < 2 or len(samples) == 0:
            raise fail("AttentionFeatures", "X", f"has shape {tuple(samples.shape)}", expected)
        return samples

    def _as_input(self, chunk: Any) -> Any:
        return chunk

    def _fit(self, samples: Any) -> None:
        device, dtype = self._place()
        first = samples[:1]
        if isinstance(first, torch.Tensor):
            first = first.to(device, dtype if first.is_floating_point() else None)
        with evaluation_mode(self.model):
            self(first)
        self.n_layers_, self.n_heads_ = self._shape

    def _in_chunks(self, samples: Any) -> Any:
        with evaluation_mode(self.model):
            return super()._in_chunks(samples)

    @shares_documentation(FeatureLayer.get_feature_names_out, sections=["Returns"])
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the names of the columns, such as ``layer3.head7.barcode.h0.sum``."""
        check_is_fitted(self)
        return np.array(self.topology.feature_names(self.n_layers_, self.n_heads_), dtype=object)


def load_text_model(name: str) -> tuple[nn.Module, Any]:
    """Return a Hugging Face model in evaluation mode, of an encoder-decoder its encoder, and its tokenizer.

    Code that comes with a model is never run.

    Parameters
    ----------
    name : str
        A folder with a saved model, the name of a model on the Hugging Face hub, or ``package:NAME`` for an
        installed Python package that carries one in its folder ``model``.

    Returns
    -------
    model : Module
        In evaluation mode.
    tokenizer : Hugging Face tokenizer
        With a token for padding.

    Raises
    ------
    MissingDependencyError
        If transformers is not installed.
    InputError
        If there is no such model, it is damaged, or it needs code of its own.
    """
    try:
        import transformers
    except ImportError:
        raise MissingDependencyError(
            "transformers", extra="attention", purpose="reading a text model"
        ) from None
    place = _package_folder(name.removeprefix("package:")) if name.startswith("package:") else name
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        model = transformers.AutoModel.from_pretrained(place, trust_remote_code=False)
    except Exception as error:  # damaged weights and odd configurations have errors of every kind
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"load_text_model: name is {name!r}, which could not be read ({reason}); expected a folder with "
            "a saved model, a name on the Hugging Face hub, or package:NAME"
        ) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    return model.eval(), tokenizer


def _package_folder(name: str) -> str:
    from importlib.util import find_spec

    spec = find_spec(name) if name.isidentifier() else None
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    if folder is None or not (folder / "config.json").is_file():
        came = f"names the package {name!r}, which is not installed or carries no folder `model`"
        raise fail("load_text_model", "name", came, "an installed package with a saved model")
    return str(folder)


def weights_digest(model: nn.Module) -> str:
    """Return a digest of a model's weights, which tells models of one configuration apart."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def token_classes_of(tokenizer: Any) -> dict[str, list[int]]:
    """Return the ids of comma, period and separator for `token_classes`, as far as the tokenizer has them."""
    unknown = tokenizer.unk_token_id
    ids = {
        "comma": tokenizer.convert_tokens_to_ids(","),
        "period": tokenizer.convert_tokens_to_ids("."),
        "sep": tokenizer.sep_token_id,
    }
    return {name: [i] for name, i in ids.items() if i is not None and i != unknown}
