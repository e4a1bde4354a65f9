"""What fuzzing found, by kind: what no function computes with is refused by name, and units do not matter."""

import pytest
import torch

from topodl import (
    Diagrams,
    InputError,
    IntervalModules,
    SignedMeasures,
    fibered_persistence,
    filtrations,
    rtd,
)
from topodl.attention import HiddenStateGeometry
from topodl.attention import rtd as rtd_of_maps
from topodl.complexes import clique_complexes
from topodl.integrations import pyg
from topodl.layers import EulerCharacteristicTransform, PersistenceEntropy
from topodl.losses import CEDiceLoss, CKALoss, DeepSupervisionLoss, RTDLoss
from topodl.mapper import mapper_graph
from topodl.metrics import variation_of_information
from topodl.representations import StitchingLayer
from topodl.representations.manifolds import FlatTorus

POINTS = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
ENORMOUS = 2**40


class Data:
    def __init__(self, **attributes) -> None:
        self.__dict__.update(attributes)


def summands(length):
    zero = torch.zeros(1, dtype=int)
    births, deaths = torch.zeros(1, 2), torch.full((1, 2), length)
    return IntervalModules(births, deaths, zero, zero, zero, zero, n_samples=1, homology_dims=(0,))


def clouds(**attributes):
    return pyg.clouds(Data(pos=POINTS, **attributes))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clouds(batch=torch.zeros(6)), r"data\.batch has dtype torch\.float32; expected integers"),
        (lambda: clouds(batch=torch.zeros(6).bool()), r"data\.batch has dtype torch\.bool"),
        (
            lambda: clouds(batch=torch.zeros(2, dtype=int)),
            r"data\.batch has shape \(2,\); expected one",
        ),
        (
            lambda: clouds(batch=torch.tensor([0, 0, 0, 0, 0, -1])),
            r"data\.batch has -1; expected clouds",
        ),
        (
            lambda: clouds(batch=torch.tensor([0, 0, 2, 2, 2, ENORMOUS])),
            rf"data\.batch has no point of cloud 1; expected at least one of each from 0 to {ENORMOUS}",
        ),
        (
            lambda: clouds(ptr=torch.tensor([0, 4, 2, 6])),
            r"data\.ptr is \[0, 4, 2, 6\]; expected integers",
        ),
        (lambda: clouds(ptr=torch.tensor([0, 4])), r"data\.ptr is \[0, 4\]; expected integers .* to 6"),
        (lambda: pyg.clouds(Data(pos=torch.tensor(1.0))), r"data\.pos has shape \(\)"),
        (
            lambda: clique_complexes(torch.tensor([[0], [ENORMOUS]])),
            rf"edge_index has {ENORMOUS}; expected numbers below 2147483648, from 0 on",
        ),
        (
            lambda: clique_complexes(torch.tensor([[0], [1]]), torch.tensor([0, 0, ENORMOUS])),
            rf"batch has {ENORMOUS}; expected numbers below 2147483648",
        ),
        (
            lambda: filtrations.degree_values(torch.tensor([[0], [ENORMOUS]])),
            rf"edge_index has {ENORMOUS}; expected numbers below 2147483648",
        ),
        (lambda: filtrations.sliding_windows([[1.0, 2.0]], 2), r"x\[0\] is a list; expected a torch.Tensor"),
        (lambda: filtrations.sliding_windows(None, 2), "x is a NoneType; expected a torch.Tensor or a seq"),
        (lambda: mapper_graph(None), "a NoneType is no tensor; expected one, an array or numbers"),
        (lambda: rtd_of_maps(torch.eye(2)[None].cfloat(), torch.eye(2)[None]), "a has dtype torch.complex64"),
        (lambda: RTDLoss()(POINTS.to_sparse(), POINTS), "RTDLoss: x has layout torch.sparse_coo"),
        (lambda: CKALoss()(POINTS[:3], POINTS.to_sparse()), "y has layout torch.sparse_coo"),
        (
            lambda: rtd(POINTS[None].double() / 0, torch.zeros(2, 6, 2, dtype=int)),
            r"rtd: a\[0\] has an infinite value",
        ),
        (
            lambda: EulerCharacteristicTransform(2, 3)(POINTS[None].to_sparse()),
            "x has layout torch.sparse_coo",
        ),
        (lambda: EulerCharacteristicTransform(2, 3)([POINTS.to("meta")]), r"x\[0\] has layout .* on meta"),
        (
            lambda: EulerCharacteristicTransform(2, 3)(
                POINTS[None], weights=torch.full((1, 6), 1e200, dtype=torch.float64)
            ),
            r"weights has values up to 1e\+200, whose sums torch\.float32 lacks",
        ),
        (
            lambda: HiddenStateGeometry()(torch.rand(2, 0, 5, 3)),
            r"states has shape \(2, 0, 5, 3\); .* of a layer or more",
        ),
        (
            lambda: DeepSupervisionLoss(CEDiceLoss())(
                [torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 0, 2)], torch.zeros(1, 4, 4, dtype=int)
            ),
            r"heads\[1\] has shape \(1, 2, 0, 2\); expected .*, S from 1 to",
        ),
        (
            lambda: SignedMeasures(
                POINTS, None, *[torch.zeros(6, dtype=int)] * 2, n_samples=1, homology_dims=[0]
            ),
            "weights is a NoneType; expected a torch.Tensor",
        ),
        (
            lambda: Diagrams(
                POINTS[:, 0], None, *[torch.zeros(6, dtype=int)] * 2, n_samples=1, homology_dims=[0]
            ),
            "deaths is a NoneType; expected a torch.Tensor",
        ),
        (
            lambda: fibered_persistence(
                torch.rand(1, 2, 4, 4), (torch.full((1, 2), 1e200, dtype=torch.float64), torch.ones(1, 2))
            ),
            r"lines\[0\] has a value that is not finite; expected finite values, in torch\.float32 too",
        ),
        (
            lambda: EulerCharacteristicTransform(2, 3)(POINTS[None], torch.zeros(4, 1, 2, 2, dtype=int)),
            r"simplices\[0\] has shape .*expected vertices of simplices, \(k \+ 1, S\) or \(1, k \+ 1, S\)",
        ),
        (
            lambda: EulerCharacteristicTransform(2, 3)(POINTS[None], [torch.zeros(2, dtype=int)]),
            r"simplices\[0\] has shape \(2,\); expected vertices of simplices",
        ),
        (
            lambda: variation_of_information([torch.zeros(4, 4, dtype=int)], torch.tensor(1)),
            r"target has shape \(\); expected images of shape \(B, …\) beside a list",
        ),
        (
            lambda: FlatTorus(1).distance(POINTS[:2], POINTS[:3]),
            r"w has shape \(3, 2\); expected one that goes with \(2, 2\)",
        ),
        (lambda: summands(1e30).image(*[torch.tensor([0.0, 1.0])] * 2), "p is 2.0, to which weights raised"),
        (lambda: StitchingLayer(2, 2)(POINTS / 0), r"StitchingLayer: x\[0\] has an infinite value"),
        (lambda: StitchingLayer(2, 2).fit(POINTS, POINTS[0]), r"y has shape \(2,\); expected 2 axes, as x"),
        (
            lambda: StitchingLayer(2, 2).fit(POINTS, POINTS.double() * 1e200),
            r"x and y need weights or a bias too large for torch\.float32",
        ),
    ],
)
def test_what_no_function_computes_with_is_named(call, message):
    with pytest.raises((InputError, TypeError), match=message):
        call()


def test_windows_of_a_list_have_the_axes_of_their_series():
    one, two = torch.arange(4.0), torch.arange(8.0).view(4, 2)
    windows = filtrations.sliding_windows([one, two], 3)
    assert windows[0].tolist() == [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]
    assert windows[1].shape == (2, 3, 2)
    assert windows[1][1].tolist() == two[1:].tolist()


def test_graphs_of_bytes_are_read_as_integers():
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    of = torch.tensor([0, 0, 1, 1])
    found = pyg.degree_graph(Data(edge_index=edges, batch=of.to(torch.uint8), num_nodes=4))
    expected = pyg.degree_graph(Data(edge_index=edges, batch=of, num_nodes=4))
    for (values, own), (their_values, theirs) in zip(found, expected, strict=True):
        assert torch.equal(values, their_values)
        assert torch.equal(own, theirs)


@pytest.mark.parametrize("mode", ["scalar", "vector"])
@pytest.mark.parametrize("exponent", [-125, -100, 100, 120])
def test_entropies_do_not_depend_on_the_unit_of_the_bars(mode, exponent):
    unit = 2.0**exponent
    bars = torch.tensor([[[0.0, 1.0], [0.5, 3.0], [1.0, 1.25]]])
    layer = PersistenceEntropy(mode, resolution=4, value_range=(0.0, 3.0))
    scaled = PersistenceEntropy(mode, resolution=4, value_range=(0.0, 3.0 * unit))
    x, y = (b.clone().requires_grad_() for b in (bars, bars * unit))
    value, other = layer(Diagrams.from_padded(x)), scaled(Diagrams.from_padded(y))
    torch.testing.assert_close(other, value)
    gradients = [torch.autograd.grad(out.sum(), at)[0] for out, at in ((value, x), (other, y))]
    torch.testing.assert_close(gradients[1] * unit, gradients[0])
