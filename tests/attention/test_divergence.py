import numpy as np
import pytest
import torch

from topodl.attention import AttentionTopology, rtd
from topodl.errors import InputError


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(2 * torch.randn(*shape, shape[-1], generator=generator, dtype=torch.float64), -1)


def test_lengths_may_differ_and_the_last_tokens_count():
    a, b = maps(2, 3, 6), maps(2, 3, 9, seed=1)
    value = rtd(a, b)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value, rtd(a, b[..., 3:, 3:]))
    assert (value > 0).any()


@pytest.mark.parametrize("how", ["upper", "max", "mean", "min"])
def test_equal_maps_have_no_divergence_and_a_gradient_exists(how):
    a, b = maps(2, 5).requires_grad_(), maps(2, 5, seed=1).requires_grad_()
    assert rtd(a, a, symmetrize=how).abs().max() == 0
    assert torch.autograd.gradcheck(lambda x, y: rtd(x, y, symmetrize=how), (a, b))


def test_golden_pairs(shared):
    folder = shared / "golden" / "attention"
    files = {int(file.name[1:3]): file for file in folder.glob("s??_n*.npz")}
    bars = AttentionTopology("barcode.h0.mean", symmetrize="upper", lower_bound=0.0, renormalize=False)
    for k in range(4):
        with np.load(folder / f"pair{k}.npz") as data:
            gold = {name: data[name] for name in data}
        good, bad = (torch.from_numpy(np.load(files[int(gold[which])])["attn"]) for which in ("good", "bad"))
        np.testing.assert_allclose(rtd(good, bad).numpy(), gold["rtd_good_bad"], atol=1e-6)
        np.testing.assert_allclose(rtd(bad, good).numpy(), gold["rtd_bad_good"], atol=1e-6)
        found = bars([good, bad]).view(2, 6, 12).numpy()
        np.testing.assert_allclose(found, np.stack([gold["h0s_good"], gold["h0s_bad"]]), atol=1e-6)


def test_an_empty_batch_is_a_value():
    assert rtd(torch.zeros(0, 2, 3, 3), torch.zeros(0, 2, 3, 3)).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rtd(maps(2, 3), maps(3, 3)), "leading dimensions"),
        (lambda: rtd(torch.rand(3, 4), maps(3)), r"a has shape \(3, 4\).*topodl\.rtd takes point clouds"),
        (lambda: rtd(maps(3), 2 * maps(3)), "outside"),
        (lambda: rtd(maps(3), torch.full((3, 3), torch.nan)), "NaN"),
        (lambda: rtd(maps(3), maps(3), symmetrize="sum"), "symmetrize is 'sum'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()
