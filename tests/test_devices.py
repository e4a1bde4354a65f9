"""No tensor is made on whatever device `torch.set_default_device` names: each says where it is."""

import ast
from pathlib import Path

import pytest
import torch

from topodl import Diagrams
from topodl._checks import as_tensor
from topodl.distances import bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance
from topodl.layers import PersistenceImage, PersLay, Silhouette
from topodl.losses import DMTLoss, TopoGradLoss

PACKAGE = Path(__file__).parents[1] / "topodl"
MAKERS = {
    *("arange", "as_tensor", "asarray", "empty", "eye", "full", "linspace", "logspace", "ones", "rand"),
    *("randint", "randn", "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros"),
}
LOGITS, LABELS = torch.linspace(-3, 3, 72).view(1, 2, 6, 6), torch.arange(36).view(1, 6, 6) % 2


def calls_without_device(source):
    """Return the lines of calls of a maker of `torch` that name no device."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "torch"
        and node.func.attr in MAKERS
        and not any(keyword.arg in ("device", None) for keyword in node.keywords)
    ]


def test_every_tensor_is_made_on_a_named_device():
    found = {str(path): calls_without_device(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_tensors_stay_where_they_are_and_all_else_goes_to_the_cpu():
    on_meta = torch.zeros(2, device="meta")
    try:
        torch.set_default_device("meta")
        assert as_tensor([1, 2]).device.type == "cpu"
        assert as_tensor(on_meta) is on_meta
    finally:
        torch.set_default_device(None)


def test_a_call_without_a_device_is_found():
    assert calls_without_device("import torch\ntorch.zeros(3)\ntorch.zeros(3, device=d)") == [2]


@pytest.mark.parametrize(
    "feature",
    [
        lambda d: d[::-1].births,
        lambda d: sliced_wasserstein_distance(d, d[::-1]),
        lambda d: wasserstein_distance(d, d[::-1]),
        lambda d: bottleneck_distance(d, d[::-1]),
        lambda d: torch.from_numpy(PersistenceImage(4).fit_transform(d)),
        lambda d: torch.from_numpy(Silhouette(4).fit_transform(d)),
        lambda d: TopoGradLoss(betti_numbers=[1, 0])(LOGITS, LABELS)[None],
        lambda d: DMTLoss(base_weight=0.0, topology_weight=0.0, reduction="none")(LOGITS, LABELS),
        lambda d: PersLay(n_features=4, dims=0)(d).squeeze(1),
    ],
)
def test_another_default_device_changes_nothing(feature):
    d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 4.0]], [[0.0, 3.0], [2.0, 2.5]]]))
    expected = feature(d).detach()
    try:
        torch.set_default_device("meta")
        found = feature(d).detach()
    finally:
        torch.set_default_device(None)
    torch.testing.assert_close(found, expected)
