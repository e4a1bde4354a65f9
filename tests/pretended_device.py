"""A device that is not there: its tensors live on the host, and all that leaves or enters it is counted.

PyTorch's hooks for back ends written in Python make the device, a subclass that takes part in dispatch makes
its tensors. As on a GPU, an operation refuses tensors of the host, but for numbers.
"""

from collections import Counter
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["DeviceTensor", "Traffic", "on_device", "register"]

_NAME = "pretended"
_active: list[Counter[str]] = []  # of what counts at present


class _Module:
    """What PyTorch asks of the module of a device, `torch.pretended`."""

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def manual_seed_all(self, seed: int) -> None:
        pass

    def _is_in_bad_fork(self) -> bool:
        return False


_COPIES = {"_to_copy", "copy_", "copy"}
# What a GPU answers only when it has caught up: numbers for the host, and results of unknown size.
_READS = {"_local_scalar_dense", "equal", "is_nonzero", "allclose"}
_SIZES = {
    "nonzero",
    "masked_select",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "histc",
}
_SOLVERS = {"_linalg_eigh", "_linalg_svd", "linalg_lstsq", "linalg_cholesky", "_linalg_check_errors"}
_MASKED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class DeviceTensor(torch.Tensor):
    """A tensor of the device, whose values nobody reads but by a copy to the host."""

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "DeviceTensor":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device(_NAME, 0),
        )

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def __repr__(self) -> str:
        return f"DeviceTensor({self._values})"

    def tolist(self) -> Any:
        """Return the values, as every tensor does, by a copy to the host."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operator, args, kwargs or {}, Counter())


class Traffic(TorchDispatchMode):
    """Makes tensors on the device while it is active, and counts what passes between device and host.

    `downloads` are copies to the host, `uploads` copies from it, `reads` single numbers and `sizes` results
    whose size the host has to wait for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> "Traffic":
        _active.append(self.counts)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _active.pop()
        super().__exit__(*error)

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operator, args, kwargs or {}, self.counts)


def register() -> Any:
    """Let PyTorch know the device, and how `torch.tensor`, which no mode sees, fills a tensor there.

    The process keeps the device for good, and other libraries find it: call this in one of your own, and hold
    on to what is returned.
    """
    backend_registration._setup_privateuseone_for_python_backend(_NAME, _Module())

    def empty(*args: Any, **kwargs: Any) -> DeviceTensor:
        options = {k: v for k, v in kwargs.items() if k in ("dtype", "layout")}
        return DeviceTensor(torch.ops.aten.empty_strided.default(*args, **options, device="cpu"))

    def fill(self: DeviceTensor, source: torch.Tensor, non_blocking: bool = False) -> DeviceTensor:
        _active[-1]["uploads"] += not isinstance(source, DeviceTensor)
        self._values.copy_(_plain(source))
        return self

    library = torch.library.Library("aten", "IMPL")
    library.impl("empty_strided", empty, "PrivateUse1")
    library.impl("copy_", fill, "PrivateUse1")
    return library


def on_device(value: Any) -> Any:
    """Return a tensor or a module on the device."""
    with Traffic():
        return value.to(torch.device(_NAME, 0))


def _run(operator: Any, args: Any, kwargs: dict[str, Any], counts: Counter[str]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    ours = [x for x in tensors if isinstance(x, DeviceTensor)]
    device = kwargs.get("device")
    to_ours = device is not None and torch.device(device).type == _NAME
    name = operator._schema.name.removeprefix("aten::")
    if not ours and not to_ours:
        return operator(*args, **kwargs)
    copies = name in _COPIES
    if ours and not copies:
        _refuse_host(operator, name, tensors)
    plain_args, plain_kwargs = tree_map(_plain, (args, dict(kwargs)))
    if to_ours:
        plain_kwargs["device"] = "cpu"
    plain_kwargs = {k: v for k, v in plain_kwargs.items() if k != "pin_memory"}
    stays = _count(name, args, kwargs, tensors, to_ours, counts)
    result = operator(*plain_args, **plain_kwargs)
    if stays:
        result = tree_map(lambda x: DeviceTensor(x) if isinstance(x, torch.Tensor) else x, result)
        if name == "_to_copy" or not ours:
            return result
        return return_and_correct_aliasing(operator, args, kwargs, result)
    return args[0] if name == "copy_" else result


def _count(name: str, args: Any, kwargs: Any, tensors: Any, to_ours: bool, counts: Counter[str]) -> bool:
    """Count what `name` moves; return whether its result lives on the device."""
    ours = [isinstance(x, DeviceTensor) for x in tensors]
    if name == "_to_copy":
        device = kwargs.get("device")
        stays = to_ours or (device is None and ours[0])
        counts["uploads"] += stays and not ours[0]
        counts["downloads"] += ours[0] and not stays
        return stays
    if name in _COPIES:
        counts["uploads"] += ours[0] and not ours[1]
        counts["downloads"] += ours[1] and not ours[0]
        return ours[0]
    masks = name in _MASKED and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    known = name == "repeat_interleave" and kwargs.get("output_size") is not None
    counts["reads"] += name in _READS
    counts["sizes"] += (
        name in _SIZES or name in _SOLVERS or masks or (name == "repeat_interleave" and not known)
    )
    return True


def _refuse_host(operator: Any, name: str, tensors: Any) -> None:
    strangers = [x for x in tensors if not isinstance(x, DeviceTensor) and x.ndim > 0]
    if strangers:
        shapes = [tuple(x.shape) for x in tensors]
        raise RuntimeError(f"{operator} of tensors on the host and on the device, of shapes {shapes}")


def _plain(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value._values if isinstance(value, DeviceTensor) else value
