"""What all persistence functions share: transforms of PyTorch, homology dimensions, kinds of tensors."""

import numpy as np
import pytest
import torch

from topodl import (
    InputError,
    alpha_persistence,
    cubical_persistence,
    graph_persistence,
    rips_persistence,
    rtd,
)

# PyTorch's own forward mode compiles with what it has deprecated, and its gradcheck, in 2.6, calls it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit:DeprecationWarning",
    "ignore:.torch.jit:FutureWarning",
    "ignore:Please use `torch.vmap`:FutureWarning",
)

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


@pytest.mark.parametrize(
    "function",
    [
        cubical_persistence,
        rips_persistence,
        lambda x, dims: alpha_persistence(x[..., :2], dims),
    ],
)
def test_dimensions_are_any_integers(function):
    x = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(3))
    for dims in (np.int64(1), np.array([1]), range(1, 2), {1}, (k for k in (1, 1))):
        d = function(x, dims)
        assert d.homology_dims == (1,)
        assert type(d.homology_dims[0]) is int
    for dims, came in (
        (1.0, "has 1.0"),
        ("1", "has '1'"),
        (True, "has True"),
        (None, "has None"),
        ((), "is empty"),
    ):
        if dims is not None or function is not cubical_persistence:
            with pytest.raises(InputError, match=f"persistence: dims {came}; expected"):
                function(x, dims)


def test_tensors_without_plain_data_are_type_errors():
    x = torch.rand(1, 4, 4)
    for bad, came in ((x.to_sparse(), "layout torch.sparse_coo"), (x.to("meta"), "on meta")):
        for function in (cubical_persistence, rips_persistence):
            with pytest.raises(TypeError, match=f"_persistence: x has .*{came}.*; expected a dense tensor"):
                function(bad)
        with pytest.raises(TypeError, match="graph_persistence: vertex_values has"):
            graph_persistence(bad, EDGES)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("function", [cubical_persistence, rips_persistence, alpha_persistence, rtd])
def test_tensors_that_store_no_plain_floats_are_named(function):
    x = torch.rand(1, 4, 4)
    nested = torch.nested.nested_tensor([torch.rand(3, 2), torch.rand(4, 2)])
    for bad, came in (
        (nested, "is nested"),
        (torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), "is quantised"),
        (x.to(torch.float8_e4m3fn), "has dtype torch.float8_e4m3fn"),
        (x.to_sparse(), "has layout torch.sparse_coo"),
        (x.to("meta"), "has layout torch.strided on meta"),
    ):
        arguments = (bad, bad) if function is rtd else (bad,)
        with pytest.raises(TypeError, match=rf"{function.__name__}: (x|a) {came}"):
            function(*arguments)


def test_a_lazily_negated_view_is_read_as_what_it_stands_for():
    x = torch.view_as_complex(torch.rand(1, 5, 5, 2, generator=torch.Generator().manual_seed(4))).conj().imag
    assert x.is_neg()
    for function in (cubical_persistence, rips_persistence):
        d, expected = function(x), function(x.clone().resolve_neg())
        assert torch.equal(d.births, expected.births)
        assert torch.equal(d.deaths, expected.deaths)
