import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.masks.test_thinning import betti_numbers, blobs
from tests.losses import golden
from topodl.losses import CbDiceLoss, cbdice_loss
from topodl.losses.cbdice import centreline


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "tm_cbdice", CbDiceLoss(variant="topomortar")(logits, labels), logits)


@pytest.mark.parametrize("classes", ["each", "union"])
@pytest.mark.parametrize(
    ("name", "skeleton", "iterations"),
    [("cbdice_orig_topo", "thinned", 5), ("cbdice_orig_morph", "morphological", 10)],
)
def test_equals_its_authors_code(shared, name, skeleton, iterations, classes):
    logits, labels = golden.case(shared, "A")
    value = cbdice_loss(
        logits,
        labels,
        base_weight=0.0,
        over_batch=True,
        skeleton=skeleton,
        iterations=iterations,
        classes=classes,
    )
    golden.check(shared, name, value, logits)


@pytest.mark.parametrize("options", [{}, {"classes": "union"}, {"include_background": True}])
def test_gradcheck(options):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 5, 6))
    assert torch.autograd.gradcheck(lambda z: cbdice_loss(z, labels, reduction="none", **options), logits)


def confident(labels, n_classes):
    return torch.nn.functional.one_hot(labels, n_classes).movedim(-1, 1).double() * 40


def two_lines(classes=(1, 2)):
    labels = torch.zeros(1, 20, 24, dtype=torch.long)
    labels[:, 3:6, 2:22], labels[:, 12, 2:22] = classes
    return labels


def test_classes_that_are_swapped_cost():
    labels = two_lines()
    options = {"base_weight": 0.0, "skeleton": "thinned"}
    wrong = confident(two_lines((2, 1)), 3)
    right = confident(labels, 3)
    each = [float(cbdice_loss(z, labels, **options)) for z in (right, wrong)]
    union = [float(cbdice_loss(z, labels, classes="union", **options)) for z in (right, wrong)]
    np.testing.assert_allclose(union, [-1.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(each[0], -1.0, atol=1e-9)
    assert each[1] > -0.3  # only the smoothing is left of precision and sensitivity


def test_the_loss_is_the_mean_of_that_of_each_class():
    labels = two_lines()
    logits = torch.randn(1, 3, 20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    p = logits.softmax(1)
    # the skeleton is that of where a class wins: alone, with one channel, where it has more than a half
    alone = [0.75 * (logits.argmax(1) == c) + 0.25 * p[:, c] for c in (1, 2)]
    shares = torch.stack([1 - alone[0] - alone[1], *alone], 1)
    options = {"base_weight": 0.0, "activation": "none"}
    single = [cbdice_loss(s[:, None], labels == c, **options) for c, s in zip((1, 2), alone, strict=True)]
    torch.testing.assert_close(cbdice_loss(shares, labels, **options), torch.stack(single).mean())


def test_class_weights_weigh_the_classes():
    labels = two_lines()
    logits = torch.randn(1, 3, 20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(weights, **options):
        return cbdice_loss(logits, labels, base_weight=0.0, class_weights=weights, **options)

    first, second = value([0, 1, 0]), value([0, 0, 1])
    assert float(first) != float(second)
    torch.testing.assert_close(value([5, 2, 3]), 2 * first + 3 * second)
    union = value(None, classes="union")
    torch.testing.assert_close(value([5, 2, 3], classes="union"), 2.5 * union)


def test_background_has_a_skeleton_of_its_own():
    labels = two_lines((1, 1))
    right, closed = confident(labels, 2), confident(torch.ones_like(labels), 2)
    only = {"base_weight": 0.0, "include_background": True, "class_weights": [1, 0]}
    values = [float(cbdice_loss(z, labels, **only)) for z in (right, closed)]
    np.testing.assert_allclose(values[0], -0.5, atol=1e-9)
    assert values[1] > -0.1


@pytest.mark.parametrize(
    ("options", "message"), [({"classes": "all"}, "classes is 'all'"), ({"skeleton": "x"}, "skeleton is 'x'")]
)
def test_unusable_options(options, message):
    with pytest.raises(ValueError, match=message):
        cbdice_loss(torch.randn(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long), **options)


@given(
    st.integers(0, 10**6),
    st.sampled_from([8, 4]),
    st.sampled_from([(13, 17), (7, 8, 9)]),
    st.sampled_from([None, 2]),
)
def test_skeletons_have_the_homotopy_type_of_their_classes(seed, connectivity, shape, iterations):
    labels = np.where(blobs(seed, shape, 1.2), 1 + blobs(seed + 3, shape, 1.2), 0).astype(np.int16)
    options = {"include_background": True, "connectivity": connectivity, "iterations": iterations}
    lines = centreline(labels, **options)["skeleton"]
    for c in range(3):
        mask, line = labels == c, lines & (labels == c)
        assert betti_numbers(line, connectivity == 8) == betti_numbers(mask, connectivity == 8)


@given(st.integers(0, 10**6), st.sampled_from([(13, 17), (7, 8, 9)]), st.floats(0.4, 3.0))
def test_what_is_there_has_a_skeleton_by_openings(seed, shape, sigma):
    mask = blobs(seed, shape, sigma)
    line = centreline(mask.astype(np.int16), skeleton="morphological")["skeleton"]
    assert line.any() == mask.any()
    assert (line <= mask).all()


@pytest.mark.parametrize("skeleton", ["thinned", "morphological"])
def test_foreground_everywhere_is_not_free(skeleton):
    labels = torch.zeros(1, 60, 60, dtype=torch.long)
    labels[:, [20, 40], 4:56] = 1
    values = [
        float(cbdice_loss(confident(z, 2), labels, base_weight=0.0, skeleton=skeleton))
        for z in (labels, torch.ones_like(labels))
    ]
    assert values[0] == pytest.approx(-1)
    assert values[1] > -0.8
