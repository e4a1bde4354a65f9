"""A loss that is computed in a thread of its own, while the training goes on to what does not need it.

The kernels of the pairing and PyTorch's operations hold no lock of Python's. On a device with streams the
loss has one of its own: its copy to the host waits for the logits alone, not for what is queued later.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import torch

from topodl._host import is_traced
from topodl.errors import InputError

__all__ = ["PendingLoss"]


class PendingLoss:
    """A loss that has been started: its value follows when it is asked for.

    The copy of the logits to the host and the pairing begin at once, in a thread. Until `result` nothing may
    change the logits, the target or the loss in place. Value and gradient, of any order, are those of the
    loss itself.

    Parameters
    ----------
    loss : callable
        A loss of topodl, or any function that returns a tensor of shape () or (B,).
    *arguments, **options
        What it is called with.

    Raises
    ------
    InputError
        Inside `torch.compile` or a transform of `torch.func`, which do not follow into a thread.
    TypeError
        If `loss` cannot be called.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import CEDiceLoss, PendingLoss, TopoLoss
    >>> base, topology = CEDiceLoss(), TopoLoss(base_weight=0.0)
    >>> logits = torch.randn(2, 2, 16, 16, requires_grad=True)
    >>> labels = torch.randint(0, 2, (2, 16, 16))
    >>> pending = PendingLoss(topology, logits, labels)
    >>> base(logits, labels).backward()  # meanwhile
    >>> pending.result().backward()
    """

    def __init__(self, loss: Callable[..., torch.Tensor], *arguments: Any, **options: Any) -> None:
        if not callable(loss):
            raise TypeError(f"PendingLoss: loss is a {type(loss).__name__}; expected a loss")
        tensors = [x for x in (*arguments, *options.values()) if isinstance(x, torch.Tensor)]
        if is_traced(*tensors):
            raise InputError(
                "PendingLoss: loss is inside a transform or a compiled graph; expected eager code"
            )
        self._value: torch.Tensor | None = None
        self._error: BaseException | None = None
        self._stream = _Stream(tensors)
        follows = torch.is_grad_enabled()
        precision = _precision_of_caller(tensors)

        def compute() -> None:
            try:
                with torch.set_grad_enabled(follows), precision, self._stream:
                    self._value = loss(*arguments, **options)
            except BaseException as error:  # whoever asks for the value is told
                self._error = error

        self._thread = threading.Thread(target=compute, name="topodl-loss", daemon=True)
        self._thread.start()

    def done(self) -> bool:
        """Return whether the thread has ended, so that `result` does not wait for it."""
        return not self._thread.is_alive()

    def result(self) -> torch.Tensor:
        """Return what the loss returns, when it is there.

        Returns
        -------
        Tensor of shape () or (B,)
            As the loss returns it; its graph leads to the logits.

        Raises
        ------
        Exception
            What the loss raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._value is not None
        self._stream.join(self._value)
        return self._value


def _precision_of_caller(tensors: list[torch.Tensor]) -> contextlib.AbstractContextManager[Any]:
    """Return what brings mixed precision, where it is on, into a thread, which has a setting of its own."""
    kind = tensors[0].device.type if tensors else "cpu"
    if not torch.is_autocast_enabled(kind):
        return contextlib.nullcontext()
    return torch.autocast(kind, dtype=torch.get_autocast_dtype(kind))


class _Stream:
    """A stream of its own on the device of some tensors, behind what is queued there; nothing without one."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self._module: Any = None
        away = [x for x in tensors if not x.is_cpu]
        if not away or not hasattr(module := torch.get_device_module(away[0].device), "Stream"):
            return
        self._module, self._device = module, away[0].device
        self._own = module.Stream(device=self._device)
        self._own.wait_stream(module.current_stream(self._device))
        for x in away:  # their memory is not given to others before this stream is done with it
            x.record_stream(self._own)

    def __enter__(self) -> None:
        self._context = contextlib.nullcontext() if self._module is None else self._module.stream(self._own)
        self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def join(self, value: torch.Tensor) -> None:
        """Let what is queued on the caller's stream from now on wait for the value."""
        if self._module is None:
            return
        caller = self._module.current_stream(self._device)
        caller.wait_stream(self._own)
        value.record_stream(caller)
