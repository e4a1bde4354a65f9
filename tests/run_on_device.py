"""``python -m tests.run_on_device``: all public calls on the pretended device, in a process of their own.

The device stays registered while a process lives, and libraries would train on it. What each call did
is printed as JSON: what is wrong, and what it moved between device and host, forward and backward.
"""

import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .pretended_device import DeviceTensor, Traffic, on_device, register
from .public_calls import CALLS, Samples, parts

_BATCHES = 2, 6  # what happens once a sample happens more often in the larger one


class _Outcome:
    """What a call returned for a batch, the gradients of its inputs, and what it moved."""

    def __init__(self, call: Callable[[Samples], Any], n: int, place: Callable[[Any], Any]) -> None:
        leaves: list[torch.Tensor] = []

        def put(value: Any) -> Any:
            value = place(value)
            if isinstance(value, torch.nn.Module):
                leaves.extend(value.parameters())
            elif value.is_floating_point():
                leaves.append(value.requires_grad_())
            return value

        samples = Samples(put, n)
        with Traffic() as traffic:
            self.results = [x for x in parts(call(samples)) if isinstance(x, torch.Tensor)]
            forward = Counter(traffic.counts)
            followed = [x for x in self.results if x.requires_grad]
            for x in followed:
                x.sum().backward(retain_graph=True)
        self.gradients = [leaf.grad for leaf in leaves if leaf.grad is not None] if followed else []
        self.traffic = [_short(forward), _short(traffic.counts - forward)]


def _short(counts: Counter[str]) -> str:
    return " ".join(f"{n} {kind}" for kind, n in sorted(counts.items()) if n)


def _try(call: Callable[[Samples], Any], stays: bool) -> dict[str, Any]:
    expected = _Outcome(call, _BATCHES[0], lambda value: value)
    found, larger = (_Outcome(call, n, on_device) for n in _BATCHES)
    strays = [tuple(x.shape) for x in found.results if stays and not isinstance(x, DeviceTensor)]
    if strays:
        return {"wrong": f"results of shapes {strays} are on the host"}
    for kind in ("results", "gradients"):
        _refuse_difference(kind, *(_on_host(getattr(o, kind)) for o in (found, expected)))
    return {"traffic": found.traffic, "larger": larger.traffic}


def _on_host(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [x.detach().cpu() for x in tensors]


def _refuse_difference(kind: str, found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    def say(message: str) -> str:
        return f"{kind}: {message}"

    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-4, atol=1e-5, msg=say)


def outcomes(on_host: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Return what each call did, by its name; the results of those `on_host` belong there."""
    found = {}
    for name, call in CALLS.items():
        try:
            found[name] = _try(call, name not in on_host)
        except Exception as error:
            found[name] = {"wrong": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    return found


if __name__ == "__main__":
    import sys

    warnings.simplefilter("ignore")
    library = register()
    print(json.dumps(outcomes(sys.argv[1:])))
