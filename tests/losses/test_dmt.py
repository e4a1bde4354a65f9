"""The DMT loss weighs the weak spots of ridges, and is the cross-entropy on them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl.errors import InputError
from topodl.losses import DMTLoss, dmt_loss
from topodl.losses.dmt import morse_ridges


def dim_line():
    """Return logits and the label of a line in the row 8 that is dim in its middle."""
    target = torch.zeros(1, 17, 17, dtype=torch.long)
    target[:, 8] = 1
    logits = torch.full((1, 1, 17, 17), -4.0)
    logits[:, :, 8] = 3 - 0.1 * (torch.arange(17) - 8).abs()
    logits[..., 8, 8] = -2.0
    return logits, target


def test_a_dim_gap_weighs_as_much_more_as_the_weight_says():
    logits, target = dim_line()
    gradients = []
    for weight in (0.0, 3.0):
        z = logits.clone().requires_grad_()
        dmt_loss(z, target, topology_weight=weight).backward()
        gradients.append(z.grad)
    z = logits.clone().requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(z[:, 0], target.float()).backward()
    added = gradients[1] - gradients[0]
    ridge = added != 0
    assert ridge[0, 0].nonzero().tolist() == [[8, 7], [8, 8], [8, 9]]
    torch.testing.assert_close(added[ridge], 3 * z.grad[ridge])


@given(st.integers(0, 2**31), st.sampled_from([1, 2, 3]), st.sampled_from([(9, 8), (4, 3, 4)]))
def test_is_the_mean_cross_entropy_on_the_ridges_of_each_class(seed, channels, size):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    target = torch.randint(max(channels, 2), (2, *size), generator=generator)
    p = logits.sigmoid() if channels == 1 else logits.softmax(1)
    chosen = torch.cat([1 - p, p], 1) if channels == 1 else p
    cost = -chosen.gather(1, target[:, None])[:, 0].log()
    classes = p if channels == 1 else p[:, 1:]
    ridges = torch.stack([morse_ridges(c, 0.1, True) for c in classes.unbind(1)], 1)
    expected = (ridges * cost[:, None]).flatten(2).mean(2).mean(1)
    found = dmt_loss(logits, target, base_weight=0.0, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(6, 7), (3, 4, 3)])
def test_gradients(channels, size):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    target = torch.randint(max(channels, 2), (2, *size), generator=generator)
    assert dmt_loss(logits, target, base_weight=0.0) > 0
    assert torch.autograd.gradcheck(lambda z: dmt_loss(z, target), logits.requires_grad_())


def test_unusable_options_are_named():
    logits, target = dim_line()
    with pytest.raises(InputError, match="min_persistence is -1"):
        DMTLoss(min_persistence=-1)(logits, target)
    with pytest.raises(InputError, match="window is 1"):
        DMTLoss(window=1)(logits, target)
    with pytest.raises(InputError, match="connectivity is 5"):
        DMTLoss(connectivity=5)(logits, target)
