"""Layers in graphs: compiled whole, exported with open sizes, as ONNX; and who says that it cannot be."""

import math

import pytest
import torch

import topodl
from topodl import Diagrams, layers
from topodl.errors import InputError
from topodl.losses import CEDiceLoss

GRID = {"resolution": 7, "value_range": (0.0, 2.0)}
PIXELS = {"resolution": (4, 3), "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.0)}
OF_DIAGRAMS = {
    "BettiCurve": layers.BettiCurve(**GRID),
    "BettiCurve, smooth": layers.BettiCurve(width=0.1, **GRID),
    "PersistenceImage": layers.PersistenceImage(**PIXELS),
    "PersistenceLandscape": layers.PersistenceLandscape(3, **GRID),
    "Silhouette": layers.Silhouette(**GRID),
    "PersistenceEntropy": layers.PersistenceEntropy(),
    "PersistenceStatistics": layers.PersistenceStatistics(),
    "PersLay": layers.PersLay(n_features=4, dims=0),
    "DiagramEncoder without blocks": layers.DiagramEncoder(4, 2, n_blocks=0, pool="sum", dims=0),
    "PersLay, top_k": layers.PersLay(n_features=4, dims=0, operation="top_k"),
}
OF_TENSORS = {
    "EulerCurve": (layers.EulerCurve(6, (0, 1)), (7, 8)),
    "EulerCurve, smooth": (layers.EulerCurve(6, (0, 1), width=0.1, superlevel=True), (7, 8)),
    "EulerCharacteristicTransform": (layers.EulerCharacteristicTransform(4, 5, ambient_dim=3), (7, 3)),
    "EulerCharacteristicTransform, hard": (
        layers.EulerCharacteristicTransform(4, 5, radius=1.0, mode="hard", ambient_dim=3),
        (7, 3),
    ),
}
ONNX = [
    "PersistenceImage",
    "PersistenceLandscape",
    "Silhouette",
    "PersLay",
    "EulerCurve",
    "EulerCurve, smooth",
    "EulerCharacteristicTransform",
]


@pytest.fixture(autouse=True)
def forget_graphs():
    """PyTorch compiles the same `forward` for a few modules only."""
    torch.compiler.reset()


MESSAGES_OF_PYTORCH = pytest.mark.filterwarnings("ignore")


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def padded(n_samples, width, seed=0):
    return drawn(n_samples, width, 2, seed=seed).cumsum(-1), drawn(n_samples, width, seed=seed + 9) < 0.7


class OfPadded(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, bars, mask=None):
        return self.layer(Diagrams.from_padded(bars, mask))


def case_of(name, masked):
    """Return a module, two tuples of inputs of different sizes, and which axes are open."""
    n_samples, width = torch.export.Dim("n_samples", min=2), torch.export.Dim("width", min=2)
    if name in OF_TENSORS:
        layer, size = OF_TENSORS[name]
        return layer, (drawn(2, *size),), (drawn(5, *size, seed=1),), ({0: n_samples},)
    inputs, others = (padded(3, 9), padded(5, 80, seed=1))
    axes = ({0: n_samples, 1: width}, {0: n_samples, 1: width})
    count = 2 if masked else 1
    return OfPadded(OF_DIAGRAMS[name]), inputs[:count], others[:count], axes[:count]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", OF_DIAGRAMS)
def test_vectorisations_of_padded_diagrams_are_exported_with_open_sizes(name, masked):
    module, inputs, others, axes = case_of(name, masked)
    shapes = (*axes, None) if not masked else axes
    program = torch.export.export(module, inputs, dynamic_shapes=shapes[: len(inputs)]).module()
    for values in (inputs, others):
        torch.testing.assert_close(program(*values), module(*values))


@pytest.mark.parametrize("name", OF_TENSORS)
def test_euler_layers_are_exported_with_an_open_batch(name):
    layer, (x,), (other,), axes = case_of(name, False)
    program = torch.export.export(layer, (x,), dynamic_shapes=axes).module()
    for values in (x, other):
        torch.testing.assert_close(program(values), layer(values))


def test_images_are_exported_with_their_pairing():
    model = torch.nn.Sequential(layers.CubicalPersistence(), layers.PersistenceStatistics())
    program = torch.export.export(model, (drawn(2, 6, 7),)).module()
    torch.testing.assert_close(program(drawn(2, 6, 7, seed=1)), model(drawn(2, 6, 7, seed=1)))


@MESSAGES_OF_PYTORCH
@pytest.mark.parametrize("name", ONNX)
def test_onnx_gives_the_same_values(name, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    module, inputs, others, axes = case_of(name, False)
    program = torch.onnx.export(module, inputs, dynamo=True, dynamic_shapes=axes, verbose=False)
    program.save(tmp_path / "layer.onnx")
    session = runtime.InferenceSession(tmp_path / "layer.onnx")
    for values in (inputs, others):
        (found,) = session.run(None, {session.get_inputs()[0].name: values[0].numpy()})
        torch.testing.assert_close(torch.from_numpy(found), module(*values).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*OF_DIAGRAMS, *OF_TENSORS])
def test_one_graph_holds_a_layer_and_its_gradient(name):
    module, (x, *_), _, _ = case_of(name, False)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(x), rtol=1e-4, atol=1e-4)
    if name in ("BettiCurve", "EulerCurve", "EulerCharacteristicTransform, hard"):
        return  # counts
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    for run, leaf in zip((compiled, module), leaves, strict=True):
        run(leaf).square().sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layer", [layers.BettiCurve(7), layers.PersistenceLandscape(3, 7)])
def test_learnt_ranges_are_those_of_numpy_in_a_graph(layer):
    bars, _ = padded(3, 9)
    layer.fit(Diagrams.from_padded(bars))
    compiled = torch.compile(OfPadded(layer), fullgraph=True, backend="eager")
    assert torch.equal(compiled(bars), OfPadded(layer)(bars))


def test_the_grid_of_a_graph_is_that_of_numpy_to_the_last_bit():
    ends = [(0.1, 0.7), (-3.3, 1e9), (2.0, 2.0)]
    for low, high in ends:
        torch.compiler.reset()
        compiled = torch.compile(layers._grids.even_grid, fullgraph=True, backend="eager")
        for size in (1, 2, 13):
            assert torch.equal(compiled(low, high, size), layers._grids.even_grid(low, high, size))


def test_a_learnt_range_of_images_is_asked_for_where_it_is_exported():
    bars, _ = padded(3, 9)
    layer = layers.PersistenceImage(4).fit(Diagrams.from_padded(bars))
    with pytest.raises(InputError, match="birth_range was learnt from data, which an exporter does not see"):
        torch.export.export(OfPadded(layer), (bars,))


def test_nan_passes_into_what_a_graph_computes():
    x = drawn(2, 5, 5)
    x[0, 2, 2] = math.nan
    curve = layers.EulerCurve(6, (0, 1), width=0.1)
    compiled = torch.compile(curve, fullgraph=True, backend="eager")
    assert compiled(x)[0].isnan().any()
    torch.testing.assert_close(compiled(x)[1], curve(x[1:])[0])


@MESSAGES_OF_PYTORCH
@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (layers.EulerCurve(6, (0, 1)), (drawn(2, 5, 5),)),
        (layers.EulerCharacteristicTransform(4, 5, ambient_dim=3), (drawn(2, 7, 3),)),
        (OfPadded(layers.BettiCurve(**GRID)), (padded(3, 9)[0],)),
        (layers.CubicalPersistence(), (drawn(2, 5, 5),)),
        (CEDiceLoss(), (drawn(2, 2, 5, 5), drawn(2, 5, 5).round().long())),
    ],
)
def test_torch_jit_is_refused_by_name(module, inputs):
    with pytest.raises(
        InputError, match=r"torch\.jit\.trace keeps its example's values; expected torch\.export"
    ):
        torch.jit.trace(module, inputs)
    scripted = module.layer if isinstance(module, OfPadded) else module
    with pytest.raises(
        InputError, match=r"torch\.jit\.script does not know its Python; expected torch\.export"
    ):
        torch.jit.script(scripted)


def test_a_penalty_is_part_of_one_graph():
    def penalty(x):
        return topodl.cubical_persistence(x).total_persistence().sum()

    compiled = torch.compile(penalty, fullgraph=True, backend="aot_eager")
    x = drawn(2, 5, 6)
    torch.testing.assert_close(compiled(x), penalty(x))
