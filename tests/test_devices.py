"""Devices: each tensor says where it is, and on a pretended one all that is public works and moves little."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

from topodl._checks import as_tensor
from topodl.losses import TopoLoss

from .device_traffic import TRAFFIC, counted
from .public_calls import CALLS, Samples, parts
from .test_docstrings import MODULES
from .test_public_surface import look_up, on_the_page

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


OWN_DTYPE = {
    "attention.record": "makes a model of PyTorch",
    "layers.DiagramDistances": "is fitted to diagrams made on the way",
    "layers.DiagramKernel": "is fitted to diagrams made on the way",
    "layers.HodgeEncoding": "has nothing but integers to take a dtype from",
    "representations.StitchingLayer": "is fitted before it is placed",
}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - OWN_DTYPE.keys()))
def test_other_defaults_change_nothing(name):
    """Of device and dtype; inputs and modules are those that were made without."""
    made = []
    expected = parts(CALLS[name](Samples(lambda value: made.append(value) or value)))
    again = iter(made)
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        found = parts(CALLS[name](Samples(lambda value: next(again))))
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    torch.testing.assert_close(found, expected, equal_nan=True)


ON_HOST = {
    "losses.MinibatchCKA": "its sums outlive the minibatches, in double precision",
    "representations.decision_regions": "its grid is one of numbers, and the model moves its points",
}
NOT_CALLED = {
    "topodl.datasets": "drawn or read on the host",
    "topodl.errors": "exceptions",
    "topodl.evaluation": "a study has a setting for its device, see test_gpu_branches",
    "topodl.integrations.ignite": "tells a loss the progress, and hands a metric on",
    "topodl.integrations.lightning": "tells a loss the progress",
    "topodl.integrations.nnunet": "hands logits and target on to a loss",
    "topodl.integrations.transformers": "adds a penalty to the loss of a trainer, which has the device",
    "topodl.attention.plotting": "draws arrays of the host",
    "topodl.Mapper": "a transformer of arrays; mapper_graph is its function of tensors",
    "topodl.MapperGraph": "what mapper_graph returns",
    "topodl.PredictionMapper": "reads a model's outputs on the host, sample by sample of a loader",
    "topodl.get_num_threads": "of the host",
    "topodl.set_num_threads": "of the host",
    "topodl.diagrams.EssentialPolicy": "a type",
    "topodl.hooks.Attachment": "what attach returns",
    "topodl.decision_region_betti": "counts what decision_regions returns",
    "topodl.attention.AttentionFeatures": "batches of arrays for the model's device, recorded as record does",
    "topodl.attention.AttentionRecorder": "what record returns",
    "topodl.attention.AttentionSample": "a tuple of inputs",
    "topodl.distances.Barycentre": "what barycentre returns",
    "topodl.distances.Matching": "what optimal_matching returns",
    "topodl.filtrations.EmbeddingParameters": "what embedding_parameters returns",
    "topodl.filtrations.embedding_parameters": "two numbers, by mutual_information and false_neighbours",
    "topodl.filtrations.NeighbourGraph": "what neighbour_graph returns",
    "topodl.layers.cloud_features": "a pipeline of arrays",
    "topodl.layers.graph_features": "a pipeline of arrays",
    "topodl.layers.image_features": "a pipeline of arrays",
    "topodl.layers.time_series_features": "a union of pipelines of arrays",
    "topodl.layers.SimplicialWalks": "what simplicial_walks returns",
    "topodl.losses.PendingLoss": "calls another loss in a thread",
    "topodl.losses.SegmentationLoss": "the base of the losses",
    "topodl.losses.registry": "a dictionary",
    "topodl.losses.topomortar_head_weights": "numbers",
    "topodl.mapper": "arrays of the host: covers, lenses and clusterers of mapper_graph",
    "topodl.metrics.ComponentMatches": "what component_matches returns",
    "topodl.metrics.TopologyError": "an enumeration",
    "topodl.plotting.plot_critical_pixels": "draws an image of the host",
    "topodl.plotting.plot_euler_transform": "draws a transform of the host",
    "topodl.representations.ManifoldVAE": "a transformer of arrays, with a setting for its device",
    "topodl.representations.Reconstruction": "a network that a transformer of arrays has trained",
    "topodl.representations.TopologicalAutoencoder": "a transformer of arrays, with a setting for its device",
    "topodl.representations.embedding_quality": "a function of arrays",
    "topodl.representations.manifolds.Manifold": "the base of the manifolds",
    "topodl.integrations.pyg.AddFeatures": "applies a layer to the data of one graph",
    "topodl.integrations.pyg.CliqueLift": "a transform of data sets, before anything is on a device",
    "topodl.integrations.pyg.RingLift": "a transform of data sets, before anything is on a device",
    "topodl.integrations.pyg.complexes_of": "joins the complexes of a batch",
}


def test_every_public_name_is_called_on_a_device_or_says_why_not():
    page = on_the_page((PACKAGE.parent / "docs" / "api.md").read_text(encoding="utf-8"))
    called = {id(look_up(f"topodl.{name.removeprefix('topodl.')}")) for name in CALLS}
    public = {f"{module}.{name}": module for module in MODULES for name in look_up(module).__all__}
    excused = {id(look_up(name)) for name, module in public.items() if {name, module} & NOT_CALLED.keys()}
    assert [name for name in public if id(look_up(name)) in page - called - excused] == []
    assert [name for name in NOT_CALLED if name not in public and name not in MODULES] == []
    assert len(page & called) > 150


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="PyTorch has no back ends in Python yet",
)
def test_on_a_device_results_are_equal_stay_there_and_little_is_moved():
    """A process of its own: the device stays registered as long as one lives, and libraries train on it."""
    command = [sys.executable, "-m", "tests.run_on_device", *ON_HOST]
    run = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    outcomes = json.loads(run.stdout)
    assert {name: o["wrong"] for name, o in outcomes.items() if "wrong" in o} == {}
    moved = {name: o["traffic"] for name, o in outcomes.items()}
    more = {name: o for name, o in moved.items() if counted(" ".join(o)) - counted(TRAFFIC.get(name, ""))}
    assert more == {}
    assert {name for name, o in outcomes.items() if o["larger"] != o["traffic"]} == set()
    assert moved.keys() == TRAFFIC.keys()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"losses.MosinLoss", "losses.mosin_loss"}))
def test_half_precision(name, dtype):
    def place(value):
        halved = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype) if halved or isinstance(value, torch.nn.Module) else value

    results = [x for x in parts(CALLS[name](Samples(place))) if isinstance(x, torch.Tensor)]
    assert not any(x.isnan().any() for x in results if x.is_floating_point())


def test_mixed_precision_changes_no_loss():
    logits, labels = LOGITS.clone().requires_grad_(), LABELS
    loss = TopoLoss()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits, labels)
    assert torch.equal(found, loss(logits, labels))
