"""RTD as a loss: zero on equal inputs, scale-free, trained down."""

import pytest
import torch

import topodl
from topodl.errors import InputError
from topodl.losses import RTDLoss


def clouds(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(20, 6, generator=generator), torch.randn(20, 2, generator=generator)


@pytest.mark.parametrize("variant", ["min", "max"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_is_the_function_as_a_module(variant, reduction):
    x, z = clouds()
    loss = RTDLoss(variant=variant, reduction=reduction, quantile=None)
    expected = topodl.rtd(x, z, variant=variant, reduction=reduction)
    torch.testing.assert_close(loss(x, z), expected)
    assert loss(x, x).item() == 0.0
    distances = [torch.cdist(t, t, compute_mode="donot_use_mm_for_euclid_dist") for t in (x, z)]
    of_matrices = RTDLoss(metric="precomputed", variant=variant, reduction=reduction, quantile=None)
    torch.testing.assert_close(of_matrices(*distances), expected)


def test_scales_do_not_matter_by_default():
    x, z = clouds()
    torch.testing.assert_close(RTDLoss()(x, 50 * z), RTDLoss()(x, z))


def test_images_and_batches():
    x, z = clouds()
    torch.testing.assert_close(RTDLoss()(x.view(20, 1, 2, 3), z), RTDLoss()(x, z))
    both = RTDLoss()(torch.stack((x, x)), torch.stack((z, 2 * x[:, :2])))
    torch.testing.assert_close(both, (RTDLoss()(x, z) + RTDLoss()(x, x[:, :2])) / 2)


def test_training_brings_it_down():
    x, z = clouds()
    z.requires_grad_()
    loss, optimiser = RTDLoss(), torch.optim.Adam([z], lr=0.05)
    before = loss(x, z).item()
    for _ in range(40):
        optimiser.zero_grad()
        loss(x, z).backward()
        optimiser.step()
    assert loss(x, z).item() < 0.7 * before


def test_unusable_options_are_named():
    with pytest.raises(InputError, match="RTDLoss: variant is 'median'"):
        RTDLoss(variant="median")
    with pytest.raises(InputError, match="RTDLoss: quantile is 2"):
        RTDLoss(quantile=2)


def test_masked_tokens_do_not_count():
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 9, 3, generator=generator), torch.randn(2, 9, 2, generator=generator)
    mask = torch.tensor([[1] * 9, [1, 0, 1, 1, 1, 0, 1, 1, 0]])
    spoiled = x.masked_fill(mask[..., None] == 0, torch.nan).requires_grad_()
    value = RTDLoss()(spoiled, z, mask)
    kept = mask[1].bool()
    torch.testing.assert_close(value, (RTDLoss()(x[0], z[0]) + RTDLoss()(x[1, kept], z[1, kept])) / 2)
    value.backward()
    assert torch.isfinite(spoiled.grad).all()
    distances = [torch.cdist(t, t) for t in (x, z)]
    distances = [(d + d.mT) / 2 for d in distances]
    torch.testing.assert_close(
        RTDLoss(metric="precomputed")(*distances, mask), value.detach(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(InputError, match=r"mask\[1\] has no token; expected at least one"):
        RTDLoss()(x, z, mask * torch.tensor([[1], [0]]))
    with pytest.raises(InputError, match="mask has floats other than 0 and 1; expected nonzero where tokens"):
        RTDLoss()(x, z, 0.5 * mask)
    with pytest.raises(InputError, match=r"x has shape \(9, 3\) beside a mask"):
        RTDLoss()(x[0], z[0], mask)
