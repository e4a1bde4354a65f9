"""Every loss is one operator of a compiled graph, and does there what it does without one."""

import copy
import pickle
import warnings

import pytest
import torch

from topodl.errors import InputError
from topodl.losses import CEDiceLoss, ClDiceLoss, DeepSupervisionLoss, MosinLoss, SegmentationLoss, registry
from topodl.losses._in_graph import _losses

NAMES = sorted(registry)
OPTIONS = {"mosin": {"features": torch.nn.Identity()}, "cldice": {"iterations": 3}}


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch._dynamo.reset()


def make(name, **options):
    return registry[name](**OPTIONS.get(name, {}), **options)


def sample(name, n_classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size = (12, 12) if 2 in registry[name].spatial_dims else (6, 6, 6)
    labels = torch.rand(2, 1, *size, generator=generator) * n_classes
    return torch.randn(2, n_classes, *size, generator=generator), labels.long()


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def value_and_gradient(function, logits):
    leaf = logits.clone().requires_grad_()
    value = function(leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def assert_same(loss, logits, *args, **options):
    def plain(x):
        return loss(2 * x, *args, **options)  # logits that something has computed

    for ours, expected in zip(
        value_and_gradient(compiled(plain), logits), value_and_gradient(plain, logits), strict=True
    ):
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_whole_in_a_graph(name):
    logits, labels = sample(name)
    assert_same(make(name), logits, labels)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_values_of_each_sample_masks_and_precision(dtype):
    logits, labels = sample("cldice")
    mask = torch.ones_like(labels)
    mask[:, :, 3] = 0
    assert_same(make("cldice", reduction="none"), logits.to(dtype), labels, mask=mask)


@pytest.mark.parametrize("name", ["ce_dice", "topo_grad", "scnp_ce_dice"])
def test_weights_of_pixels_come_along(name):
    logits, labels = sample(name)
    weights = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1))
    assert_same(make(name), logits, labels, pixel_weights=weights)
    assert not torch.equal(make(name)(logits, labels, pixel_weights=weights), make(name)(logits, labels))


def test_small_gradients_of_half_precision_survive_as_the_scaler_means_them_to():
    loss, (logits, labels) = make("ce_dice"), sample("ce_dice")
    leaf = logits.half().requires_grad_()
    scaled = compiled(lambda x: loss(x, labels) * 1e-6 * 2.0**24)(leaf)
    expected = loss(leaf, labels) * 1e-6 * 2.0**24
    (ours,), (theirs,) = (torch.autograd.grad(value, leaf) for value in (scaled, expected))
    torch.testing.assert_close(ours, theirs)


def test_parts_of_the_label_and_regions():
    loss, (logits, labels) = make("skeleton_recall"), sample("skeleton_recall")
    assert_same(loss, logits, labels, precomputed=loss.precompute(labels))
    regions = torch.cat((labels, 1 - labels), 1)
    of_regions = make("skeleton_recall", activation="sigmoid")
    parts = [of_regions.precompute(regions[:, channel]) for channel in range(2)]
    assert_same(of_regions, logits, regions)
    assert_same(of_regions, logits, regions, precomputed=parts)


@pytest.mark.filterwarnings("ignore")  # of graphs that are cut
def test_what_needs_no_gradient_and_what_has_no_topology():
    loss, (logits, labels) = make("cldice"), sample("cldice")
    with torch.no_grad():
        torch.testing.assert_close(compiled(loss)(logits, labels), loss(logits, labels))
    assert_same(loss, logits, labels, topology=False)
    weighed = DeepSupervisionLoss(make("skeleton_recall"), [0.7, 0.3])
    heads = [logits, logits[..., ::2, ::2]]
    ours = torch.compile(weighed, backend="aot_eager")(heads, labels)  # in parts: it shrinks the labels
    torch.testing.assert_close(ours, weighed(heads, labels))


def test_values_are_looked_at_in_a_graph_as_outside():
    loss, (logits, labels) = make("cldice"), sample("cldice")
    function = compiled(loss)
    function(logits, labels)
    with pytest.raises(InputError, match="has the label 7 at"):
        function(logits, labels.masked_fill(labels == 1, 7))
    broken = logits.clone()
    broken[1, 0, 2, 3] = torch.inf
    with pytest.warns(RuntimeWarning, match=r"logits\[1\] is infinite at"):
        value = function(broken, labels)
    assert value.isnan()


def test_progress_counts_at_once_and_compiles_nothing_anew():
    loss, (logits, labels) = ClDiceLoss(iterations=3, active_from=0.5), sample("cldice")
    function = compiled(loss)
    values = []
    for fraction in (0.0, 0.9):
        loss.set_progress(fraction)
        with torch.compiler.set_stance("fail_on_recompile" if fraction else "default"):
            values.append(function(logits, labels))
        torch.testing.assert_close(values[-1], loss(logits, labels))
    assert values[0] != values[1]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_a_copy_is_a_loss_of_its_own(again):
    loss = ClDiceLoss(iterations=3, active_from=0.5)
    other = again(loss)
    assert _losses[loss._number] is loss
    assert _losses[other._number] is other
    other.set_progress(1.0)
    logits, labels = sample("cldice")
    for each in (loss, other):
        torch.testing.assert_close(compiled(each)(logits, labels), each(logits, labels))


@pytest.mark.filterwarnings("ignore")  # of graphs that are cut
def test_weights_that_learn_keep_their_gradient():
    features = torch.nn.Conv2d(3, 2, 3)
    loss, (logits, labels) = MosinLoss(features=features), sample("mosin")
    features.requires_grad_()  # which the loss has switched off
    expected = torch.autograd.grad(loss(logits, labels), features.weight)[0]
    ours = torch.compile(loss, backend="aot_eager")(logits, labels)
    torch.testing.assert_close(torch.autograd.grad(ours, features.weight)[0], expected)


def test_a_loss_of_ones_own_is_compiled_as_it_is_written():
    weight = torch.nn.Parameter(torch.tensor(2.0))

    def weighed(logits, target, *, mask=None, **common):
        return weight * (logits.sigmoid() - target).square().mean()

    class WeighedLoss(SegmentationLoss, function=weighed):
        """One that has a gradient by something else."""

    logits, labels = sample("ce_dice", n_classes=1)
    value = compiled(WeighedLoss())(logits, labels.float())
    (gradient,) = torch.autograd.grad(value, weight)
    torch.testing.assert_close(gradient, (logits.sigmoid() - labels).square().mean())


def test_a_graph_outlives_no_loss():
    logits, labels = sample("ce_dice")
    with pytest.raises(InputError, match="names a loss that is gone"):
        torch.ops.topodl.segmentation_loss(logits, labels, None, None, [], "", -1, True, "mean", False)


def test_the_operator_is_what_it_says_it_is():
    loss, (logits, labels) = CEDiceLoss(), sample("ce_dice")
    arguments = (labels, None, None, [], "", loss._number, True, "mean", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
        torch.library.opcheck(
            torch.ops.topodl.segmentation_loss, (logits.requires_grad_(), *arguments), test_utils=checks
        )
