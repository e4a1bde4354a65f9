import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses import golden
from topodl.errors import InputError
from topodl.losses import SCNP, CEDiceLoss, scnp_logits
from topodl.losses._input import SegmentationBatch
from topodl.losses._reading import warn_of_double_activation
from topodl.losses.scnp import _gather_worst, _pool_worst


@pytest.mark.parametrize("neighbourhood", [3, 5])
def test_equals_its_authors_code(shared, neighbourhood):
    logits, labels = golden.case(shared, "A")
    loss = SCNP(CEDiceLoss(), neighbourhood=neighbourhood, plain_weight=0.0)
    golden.check(shared, f"scnp{neighbourhood}_cedice", loss(logits, labels), logits)


def naive(z, labels, channel_labels, reach):
    out = z.clone()
    for b, c, *at in np.ndindex(*z.shape):
        kind = labels[(b, *at)] == channel_labels[c]
        if labels[(b, *at)] < 0:
            continue
        around = tuple(slice(max(i - reach, 0), i + reach + 1) for i in at)
        seen, there = z[(b, c, *around)], labels[(b, *around)]
        same = ((there == channel_labels[c]) == kind) & (there >= 0)
        out[(b, c, *at)] = seen[same].min() if kind else seen[same].max()
    return out


@given(st.integers(0, 10**6), st.sampled_from([(4, 5), (1, 6), (3, 4, 2)]), st.sampled_from([1, 2]))
def test_both_ways_of_computing_equal_the_definition(seed, size, reach):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 3, *size, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, *size), generator=rng)
    batch = SegmentationBatch("test", z, labels, "softmax", None, "mean", True)
    expected = naive(z, labels, [0, 1, 2], reach)
    torch.testing.assert_close(_gather_worst(batch, reach), expected)
    torch.testing.assert_close(_pool_worst(batch, 2 * reach + 1), expected)


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(2, (1, 4, 5))
    assert torch.autograd.gradcheck(lambda z: scnp_logits(z, labels), logits)


@pytest.mark.parametrize("neighbourhood", [0, 2, 1.5, -3])
def test_rejects_windows_that_are_not_odd(neighbourhood):
    with pytest.raises(InputError, match="neighbourhood"):
        scnp_logits(torch.randn(1, 2, 4, 4), torch.zeros(1, 4, 4).long(), neighbourhood=neighbourhood)


def test_rejects_a_loss_of_probabilities():
    with pytest.raises(InputError, match="takes logits"):
        SCNP(CEDiceLoss(activation="none"))


def test_small_logits_of_one_channel():
    labels = torch.zeros(1, 2, 8, dtype=torch.long)
    logits = torch.full((1, 1, 2, 8), -1.0)
    logits[..., ::2] = 0.5  # the worst logit is 0.5 everywhere
    at_half = CEDiceLoss(activation="sigmoid")(torch.full_like(logits, 0.5), labels)
    torch.testing.assert_close(SCNP(plain_weight=0.0)(logits, labels), at_half)
    logits[..., 1::2] = 0.25
    warn_of_double_activation.cache_clear()
    with pytest.warns(UserWarning, match="if they are probabilities"):
        SCNP()(logits, labels)
    alone = SCNP(CEDiceLoss(activation="sigmoid"), plain_weight=0.0)
    torch.testing.assert_close(alone(logits, labels), at_half)
    torch.testing.assert_close(SCNP(alone, plain_weight=0.0)(logits, labels), at_half)
    with pytest.raises(InputError, match="activation is 'none'"):
        scnp_logits(logits, labels, activation="none")


def test_options_belong_to_the_wrapped_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 2, 6, 7), torch.randint(2, (2, 6, 7))
    wrapped = SCNP(CEDiceLoss(reduction="none", ce_weight=0.5, include_background=False), neighbourhood=5)
    torch.testing.assert_close(
        SCNP(reduction="none", ce_weight=0.5, neighbourhood=5)(logits, labels), wrapped(logits, labels)
    )
    with pytest.raises(TypeError, match="give the option 'ce_weight' to the loss"):
        SCNP(CEDiceLoss(), ce_weight=0.5)


def test_the_plain_logits_have_their_share():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 2, 6, 7), torch.randint(2, (2, 6, 7))
    base = CEDiceLoss(reduction="none")
    plain, worst = base(logits, labels), base(scnp_logits(logits, labels), labels)
    assert (worst > plain).all()
    torch.testing.assert_close(SCNP(base)(logits, labels), 0.5 * plain + 0.5 * worst)
    torch.testing.assert_close(SCNP(base, plain_weight=0.2)(logits, labels), 0.2 * plain + 0.8 * worst)
    with pytest.raises(InputError, match=r"plain_weight is -0\.1"):
        SCNP(base, plain_weight=-0.1)


def test_by_default_the_background_has_no_dice_score():
    logits, labels = torch.randn(2, 2, 9, 9), torch.randint(2, (2, 9, 9))
    for background, options in ((False, {}), (True, {"include_background": True})):
        wrapped = SCNP(CEDiceLoss(include_background=background))
        torch.testing.assert_close(SCNP(**options)(logits, labels), wrapped(logits, labels))
