"""The topological autoencoder loss against hand-computed values and the definition, one edge at a time."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import topological_autoencoder as naive
from topodl.errors import InputError
from topodl.kernels.points import spanning_tree
from topodl.losses import TopologicalAutoencoderLoss, topological_autoencoder_loss


def test_value_by_hand():
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    z = torch.tensor([[0.0], [1.0], [3.0]])
    expected = 2 * ((3 / 5 - 1) ** 2 + (4 / 5 - 2) ** 2)
    assert topological_autoencoder_loss(x, z).item() == pytest.approx(expected / 3)
    assert topological_autoencoder_loss(x, z, scaling="paper").item() == pytest.approx(expected / 2)
    unscaled = 2 * ((3 - 1) ** 2 + (4 - 2) ** 2) / 3
    assert topological_autoencoder_loss(x, z, normalisation="none").item() == pytest.approx(unscaled)
    halved = 2 * ((3 / 5 - 1 / 2) ** 2 + (4 / 5 - 2 / 2) ** 2) / 3
    assert topological_autoencoder_loss(x, z, latent_norm=2.0).item() == pytest.approx(halved)


def test_trees_that_differ():
    # 0-1, 1-2 of lengths 1 and 2 (largest 3) in x; 0-2, 1-2 of lengths 1 and 1 in z
    x = torch.tensor([[0.0], [1.0], [3.0]])
    z = torch.tensor([[0.0], [2.0], [1.0]])
    of_x = (1 / 3 - 2) ** 2 + (2 / 3 - 1) ** 2
    of_z = (3 / 3 - 1) ** 2 + (2 / 3 - 1) ** 2
    assert topological_autoencoder_loss(x, z).item() == pytest.approx((of_x + of_z) / 3)


@given(
    n=st.integers(1, 12),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
    norm=st.floats(0.1, 10),
    on_grid=st.booleans(),
)
def test_value_and_gradients_equal_the_definition(n, sizes, seed, norm, on_grid):
    generator = torch.Generator().manual_seed(seed)

    def draw(size):
        if on_grid:  # many equal distances and coinciding points
            return torch.randint(0, 3, (n, size), generator=generator).double()
        return torch.randn(n, size, generator=generator, dtype=torch.float64)

    x, z = draw(min(sizes[0], 32) if on_grid else sizes[0]), draw(sizes[1])
    if n > 1 and bool((x == x[0]).all()):
        return  # the definition divides by 0
    ours = [t.clone().requires_grad_() for t in (x, z, torch.tensor([norm], dtype=torch.float64))]
    theirs = [t.clone().requires_grad_() for t in (x, z, torch.tensor([norm], dtype=torch.float64))]
    value = topological_autoencoder_loss(ours[0], ours[1], latent_norm=ours[2])
    if n == 1:
        assert value.item() == 0.0
        return
    expected = naive.topological_autoencoder_loss(*theirs)
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    value.backward()
    expected.backward()
    # Of several widest pairs the gradient of the maximum goes to one here and to all there.
    compared = (1, 2) if on_grid else (0, 1, 2)
    for k in compared:
        torch.testing.assert_close(ours[k].grad, theirs[k].grad, rtol=1e-7, atol=1e-9)


def test_images_are_divided_by_their_largest_possible_distance():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(7, 2, 3, 4, generator=generator, dtype=torch.float64) * 2 - 1
    z = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    expected = naive.topological_autoencoder_loss(x, z, image=True)
    assert topological_autoencoder_loss(x, z).item() == pytest.approx(expected.item())
    assert topological_autoencoder_loss(x, z, normalisation="max").item() != pytest.approx(expected.item())


@pytest.mark.parametrize("dims", [0, 1])
def test_gradients(dims):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    z = torch.randn(9, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    norm = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)

    def function(x, z, norm):
        return topological_autoencoder_loss(x, z, latent_norm=norm, dims=dims)

    assert torch.autograd.gradcheck(function, (x, z, norm))
    assert torch.autograd.gradgradcheck(function, (x, z, norm))


def test_loops_are_compared_by_the_lengths_of_their_bars():
    angles = torch.arange(4) * math.pi / 2
    x = torch.stack((angles.cos(), angles.sin()), 1).double()  # a loop from √2 to 2
    z = x * 3
    trees = topological_autoencoder_loss(x, z, normalisation="none")
    both = topological_autoencoder_loss(x, z, normalisation="none", dims=1)
    bar = 2 - math.sqrt(2)
    assert (both - trees).item() == pytest.approx(2 * (bar - 3 * bar) ** 2 / 4)


def test_distances_in_place_of_points():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    z = torch.randn(11, 2, generator=generator, dtype=torch.float64)
    value = topological_autoencoder_loss(torch.cdist(x, x), z, metric="precomputed")
    assert value.item() == pytest.approx(topological_autoencoder_loss(x, z).item())


def test_equal_spaces_have_loss_zero_and_coinciding_points_a_finite_gradient():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(3))
    z = (x / torch.cdist(x, x).max()).requires_grad_()
    assert topological_autoencoder_loss(x, z).item() < 1e-12
    same = torch.zeros(5, 2, requires_grad=True)
    topological_autoencoder_loss(torch.zeros(5, 3), same).backward()
    assert bool((same.grad == 0).all())


def test_far_from_the_origin_distances_keep_their_precision():
    generator = torch.Generator().manual_seed(4)
    x, z = torch.randn(60, 64, generator=generator), torch.randn(60, 2, generator=generator)
    near = topological_autoencoder_loss(x, z)
    far = topological_autoencoder_loss(x + 100.0, z)
    torch.testing.assert_close(near, far, rtol=1e-4, atol=0.0)


def test_half_precision_and_autocast_compute_in_single():
    generator = torch.Generator().manual_seed(5)
    x, z = torch.randn(30, 50, generator=generator), torch.randn(30, 2, generator=generator)
    reduced = topological_autoencoder_loss(x.bfloat16(), z.bfloat16())
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(
        reduced, topological_autoencoder_loss(x.bfloat16().float(), z.bfloat16().float())
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(topological_autoencoder_loss(x, z), topological_autoencoder_loss(x, z))


def test_the_latent_scale_is_learnt_and_saved():
    generator = torch.Generator().manual_seed(6)
    x, z = torch.randn(16, 4, generator=generator), torch.randn(16, 2, generator=generator)
    loss = TopologicalAutoencoderLoss()
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.1)
    before = loss(x, z).item()
    for _ in range(50):
        optimiser.zero_grad()
        loss(x, z).backward()
        optimiser.step()
    assert loss(x, z).item() < before
    other = TopologicalAutoencoderLoss()
    other.load_state_dict(loss.state_dict())
    assert other(x, z).item() == loss(x, z).item()
    assert not list(TopologicalAutoencoderLoss(learn_latent_norm=False).parameters())


def test_a_batch_that_comes_again_is_paired_once(monkeypatch):
    generator = torch.Generator().manual_seed(7)
    x, z = torch.randn(16, 40, generator=generator), torch.randn(16, 2, generator=generator)
    loss, calls = TopologicalAutoencoderLoss(), []
    tree = spanning_tree.spanning_tree_of_matrix
    monkeypatch.setattr(spanning_tree, "spanning_tree_of_matrix", lambda d: calls.append(1) or tree(d))
    first = loss(x, z)
    assert loss(x.clone(), z).item() == first.item()
    assert len(calls) == 1
    x[3, 1] += 1.0  # changed in place
    changed = loss(x, z)
    assert len(calls) == 2
    assert changed.item() == TopologicalAutoencoderLoss(cache_bytes=0)(x, z).item() != first.item()
    assert copy.deepcopy(loss)(x, z).item() == changed.item()
    assert loss(None, z, precomputed=loss.precompute(x)).item() == changed.item()


def test_inputs_that_want_a_gradient_get_it_in_spite_of_the_cache():
    generator = torch.Generator().manual_seed(8)
    x, z = torch.randn(8, 3, generator=generator), torch.randn(8, 2, generator=generator)
    loss = TopologicalAutoencoderLoss()
    loss(x, z)
    x.requires_grad_()
    loss(x, z).backward()
    assert x.grad.abs().sum() > 0


NAN = torch.tensor([[0.0, 1.0], [math.nan, 2.0]])


@pytest.mark.parametrize(
    ("x", "z", "message"),
    [
        (NAN, torch.zeros(2, 1), r"TopologicalAutoencoderLoss: x\[1\] has NaN at \(0\); expected finite"),
        (torch.zeros(2, 1), NAN, r"z\[1\] has NaN"),
        (torch.tensor([[0.0], [math.inf]]), torch.zeros(2, 1), r"x\[1\] has an infinite value"),
        (torch.tensor([[-3e38], [3e38]]), torch.zeros(2, 1), "x has distances that overflow"),
        (torch.zeros(3, 2), torch.zeros(2, 2), r"z has shape \(2, 2\); expected one latent code for each"),
        (torch.zeros(0, 2), torch.zeros(0, 2), r"has shape \(0, 2\); expected a batch"),
        (torch.zeros(3), torch.zeros(3, 2), r"x has shape \(3,\)"),
    ],
)
def test_unusable_input_is_named(x, z, message):
    with pytest.raises(InputError, match=message):
        topological_autoencoder_loss(x, z, non_finite="raise")
    with pytest.raises(InputError, match=message):
        TopologicalAutoencoderLoss(non_finite="raise")(x, z)
    if not x.isfinite().all():  # of the data, and no overflow
        with pytest.raises(InputError, match=message):
            TopologicalAutoencoderLoss()(x, z)


def test_unusable_options_and_types_are_named():
    with pytest.raises(InputError, match="dims is 2; expected one of 0, 1"):
        TopologicalAutoencoderLoss(dims=2)
    with pytest.raises(InputError, match=r"latent_norm is 0\.0"):
        TopologicalAutoencoderLoss(latent_norm=0.0)
    with pytest.raises(InputError, match="scaling is 'half'"):
        TopologicalAutoencoderLoss(scaling="half")
    with pytest.raises(TypeError, match=r"x is a ndarray; expected a torch\.Tensor"):
        topological_autoencoder_loss(torch.zeros(2, 2).numpy(), torch.zeros(2, 2))
    with pytest.raises(TypeError, match="complex"):
        topological_autoencoder_loss(torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(2, 2))
    with pytest.raises(InputError, match="expected symmetric distances"):
        topological_autoencoder_loss(torch.arange(4.0).view(2, 2), torch.zeros(2, 2), metric="precomputed")


def test_distances_that_are_read_as_points_are_hinted_at():
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    matrix = torch.cdist(points, points)
    with pytest.warns(UserWarning, match=r"x is square.* metric='precomputed' reads it as distances"):
        topological_autoencoder_loss(matrix, points)
    topological_autoencoder_loss(matrix, points, metric="precomputed")  # warnings are errors in tests
