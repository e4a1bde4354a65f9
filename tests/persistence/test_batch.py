"""Every persistence function under the transforms of PyTorch, which have to see the operations on values."""

import pytest
import torch

from topodl import (
    InputError,
    alpha_persistence,
    cubical_persistence,
    graph_persistence,
    rips_persistence,
)

# PyTorch's own forward mode compiles with what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

EDGES = torch.randint(0, 6, (2, 11), generator=torch.Generator().manual_seed(0))
FUNCTIONS = {
    "cubical 2D": (lambda x: cubical_persistence(x, superlevel=True), (1, 4, 4)),
    "cubical 3D": (lambda x: cubical_persistence(x, construction="cell"), (1, 2, 3, 3)),
    "rips": (lambda x: rips_persistence(x, (0, 1)), (2, 5, 2)),
    "rips of matrices": (lambda x: rips_persistence((x + x.mT).abs(), metric="precomputed"), (1, 5, 5)),
    "alpha": (lambda x: alpha_persistence(x, (0, 1, 2)), (1, 6, 3)),
    "graph": (lambda x: graph_persistence(x, EDGES, extended=True), (6, 2)),
}


@pytest.fixture(params=FUNCTIONS)
def case(request):
    function, shape = FUNCTIONS[request.param]
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def ends(values):
        d = function(values).finite()
        return torch.cat((d.births, d.persistence()))

    return ends, x


def test_forward_mode_and_batched_gradients(case):
    ends, x = case
    x.requires_grad_()
    assert torch.autograd.gradcheck(ends, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(
        ends, x, check_fwd_over_rev=True, check_undefined_grad=False, check_batched_grad=True
    )


def test_forward_mode_without_any_other_gradient(case):
    ends, x = case
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        tangent = torch.autograd.forward_ad.unpack_dual(ends(dual)).tangent
    _, expected = torch.autograd.functional.jvp(ends, x, direction)
    torch.testing.assert_close(tangent, expected)


def test_function_transforms_are_those_of_autograd(case):
    ends, x = case

    def total(values):
        return (ends(values) ** 3).sum()

    gradient = torch.autograd.functional.jacobian(total, x)
    torch.testing.assert_close(torch.func.grad(total)(x), gradient)
    torch.testing.assert_close(torch.func.jacrev(total)(x), gradient)
    torch.testing.assert_close(torch.func.jacfwd(total)(x), gradient)
    torch.testing.assert_close(torch.func.hessian(total)(x), torch.autograd.functional.hessian(total, x))


def test_samples_with_different_numbers_of_bars_cannot_be_mapped(case):
    ends, x = case
    with pytest.raises(
        InputError, match=r"_persistence: the input is mapped by torch\.vmap; expected one batch"
    ):
        torch.func.vmap(torch.func.grad(lambda values: ends(values).sum()))(torch.stack((x, -x)))
