"""Tensors that carry more than numbers, as those of MONAI and torchvision do, count as plain ones."""

import pytest
import torch

from topodl._checks import check_tensor
from topodl.losses import registry

from .public_calls import CALLS, Samples, parts


class TaggedTensor(torch.Tensor):
    """Stays what it is through every operation, and redefines a method, as the subclasses of users do."""

    def new_empty(self, size: tuple[int, ...], dtype=None, device=None, requires_grad=False):
        if not isinstance(size, tuple):
            raise TypeError("new_empty(): argument 'size' must be tuple of ints")
        return super().new_empty(size, dtype=dtype, device=device, requires_grad=requires_grad)


def tagged(value):
    return value.as_subclass(TaggedTensor) if isinstance(value, torch.Tensor) else value


def meta_tensor(value):
    kind = pytest.importorskip("monai.data").MetaTensor
    return kind(value) if isinstance(value, torch.Tensor) else value


# Of what PyTorch Geometric has, the tensors are its own, and handed on as they come.
NAMES = [name for name in CALLS if not name.startswith("integrations.")]


@pytest.mark.parametrize("wrap", [tagged, meta_tensor])
@pytest.mark.parametrize("name", NAMES)
def test_a_subclass_gives_what_its_plain_tensor_gives(name, wrap):
    expected, found = (parts(CALLS[name](Samples(place))) for place in (lambda value: value, wrap))
    assert [type(x) for x in found] == [type(x) for x in expected]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("wrap", [tagged, meta_tensor])
@pytest.mark.parametrize("name", sorted(registry))
def test_gradients_reach_a_network_whose_activations_are_a_subclass(name, wrap):
    loss = registry[name](**({"features": torch.nn.Conv2d(3, 4, 3)} if name == "mosin" else {}))
    logits, labels = Samples().logits, Samples().labels
    if name == "cavity":
        logits, labels = (x[..., None].repeat_interleave(4, -1) for x in (logits, labels))
    scale = torch.ones((), requires_grad=True)
    (found,) = torch.autograd.grad(loss(wrap(logits) * scale, wrap(labels)), scale)
    (expected,) = torch.autograd.grad(loss(logits * scale, labels), scale)
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)


def test_parameters_and_tensors_of_the_compiler_stay_themselves():
    parameter = torch.nn.Parameter(torch.ones(3))
    assert check_tensor("f", "x", parameter) is parameter
    with torch._subclasses.FakeTensorMode():
        fake = torch.ones(3)
    assert check_tensor("f", "x", fake) is fake
