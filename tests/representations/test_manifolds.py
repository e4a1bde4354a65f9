"""Latent manifolds against exact heat kernels, and what a projection and a distance have to be."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from topodl.errors import InputError
from topodl.representations.manifolds import (
    Euclidean,
    FlatTorus,
    ProjectiveSpace,
    SpecialOrthogonal3,
    Sphere,
)

CURVED = [
    Sphere(1),
    Sphere(2),
    Sphere(3),
    ProjectiveSpace(2),
    FlatTorus(1),
    FlatTorus(2),
    SpecialOrthogonal3(),
]
ALL = [*CURVED, Euclidean(3)]
finite_points = arrays(
    np.float64, (3, 3), elements=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
).map(torch.from_numpy)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sphere_kl(d, t, cover=1):
    """Return the exact divergence on the unit sphere S² or S³, or where opposite points are one."""
    angle, step = np.linspace(0, np.pi, 20001, retstep=True)
    density, x = np.zeros_like(angle), np.cos(angle)
    for k in range(0, 120, cover):
        if d == 2:
            shape = (2 * k + 1) * np.polynomial.legendre.legval(x, [0] * k + [1]) / (4 * np.pi)
            rate = k * (k + 1)
        else:
            ratio = np.where(
                np.sin(angle) > 1e-9, np.sin((k + 1) * angle) / np.maximum(np.sin(angle), 1e-9), k + 1.0
            )
            shape, rate = (k + 1) * ratio / (2 * np.pi**2), k * (k + 2)
        density += shape * math.exp(-rate * t / 2)
    area = 2 * np.pi * np.sin(angle) if d == 2 else 4 * np.pi * np.sin(angle) ** 2
    volume = 4 * np.pi if d == 2 else 2 * np.pi**2
    positive = np.maximum(density, 1e-300)
    return float((positive * np.log(positive * volume) * area).sum() * step)


def circle_kl(t):
    angle, step = np.linspace(-np.pi, np.pi, 20001, retstep=True)
    turns = angle[:, None] + 2 * np.pi * np.arange(-9, 10)
    density = np.exp(-(turns**2) / (2 * t)).sum(1) / math.sqrt(2 * np.pi * t)
    return float((density * np.log(2 * np.pi * np.maximum(density, 1e-300)))[:-1].sum() * step)


def kl(manifold, t):
    z = manifold.sample(1, generator()).double()
    return manifold.kl(z, torch.tensor([math.log(t)], dtype=torch.float64)).item()


@pytest.mark.parametrize("t", [0.01, 0.1])
def test_divergences_are_those_of_heat_kernels(t):
    assert kl(Sphere(2), t) == pytest.approx(sphere_kl(2, t), abs=2e-4)
    assert kl(Sphere(3), t) == pytest.approx(sphere_kl(3, t), abs=1e-3)
    assert kl(Sphere(1), t) == pytest.approx(circle_kl(t), abs=1e-9)
    assert kl(FlatTorus(2), t) == pytest.approx(2 * circle_kl(t), abs=1e-9)
    # RP³ is the rotations, at 8 times the time: the sphere of quaternions has the radius 2 √2.
    assert kl(SpecialOrthogonal3(), 8 * t) == pytest.approx(sphere_kl(3, t, cover=2), abs=1e-3)
    assert kl(ProjectiveSpace(3), t) == pytest.approx(sphere_kl(3, t, cover=2), abs=1e-3)


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_projection_keeps_points_and_samples_lie_on_the_manifold(manifold):
    z = manifold.sample(50, generator())
    assert z.shape == (50, manifold.ambient_dim)
    torch.testing.assert_close(manifold.project(z), z, rtol=1e-5, atol=1e-6)
    x = torch.randn(5, manifold.ambient_dim, generator=generator(1), dtype=torch.float64)
    near = manifold.project(x)
    torch.testing.assert_close(manifold.project(near), near)
    others = manifold.sample(300, generator(2)).double()
    assert ((x - near).norm(dim=1) <= (x[:, None] - others).norm(dim=2).min(1).values + 1e-9).all()
    assert torch.autograd.gradcheck(manifold.project, x.requires_grad_())


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_gradients_of_the_projection_are_finite_on_the_manifold_itself(manifold):
    z = manifold.sample(5, generator()).double().requires_grad_()
    weights = torch.randn(5, manifold.ambient_dim, generator=generator(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * manifold.project(z)).sum(), z)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_walks_have_the_second_moment_of_the_heat_kernel(manifold):
    t, n = 0.01, 100_000
    z = manifold.sample(1, generator()).double().expand(n, -1)
    log_t = torch.full((n,), math.log(t), dtype=torch.float64)
    moved = manifold.diffuse(z, log_t, generator=generator(1))
    found = (moved - z).square().sum(1).mean().item()
    # Coordinates are eigenfunctions of the Laplacian: their means decay by exp(−λ t / 2).
    decay = {Sphere: manifold.dim, ProjectiveSpace: manifold.dim, FlatTorus: 1, SpecialOrthogonal3: 1}
    size = {FlatTorus: manifold.dim, SpecialOrthogonal3: 3}.get(type(manifold), 1)
    kind = type(manifold)
    expected = manifold.dim * t if kind is Euclidean else 2 * size * (1 - math.exp(-decay[kind] * t / 2))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("manifold", ALL, ids=repr)
def test_distances_are_a_metric_that_is_the_ambient_one_nearby(manifold):
    x, y, z = (manifold.sample(60, generator(seed)).double() for seed in range(3))
    assert (manifold.distance(x, x) < 1e-6).all()
    torch.testing.assert_close(manifold.distance(x, y), manifold.distance(y, x))
    assert (manifold.distance(x, y) + manifold.distance(y, z) >= manifold.distance(x, z) - 1e-6).all()
    near = manifold.project(x + 1e-4 * torch.randn(x.shape, generator=generator(4), dtype=torch.float64))
    torch.testing.assert_close(manifold.distance(x, near), (x - near).norm(dim=1), rtol=1e-3, atol=1e-8)


def test_distances_by_hand():
    z, w = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([-1.0, 1.0, 0.0]) / math.sqrt(2)
    assert Sphere(2).distance(z, w).item() == pytest.approx(0.75 * math.pi)
    assert ProjectiveSpace(2).distance(z, w).item() == pytest.approx(0.25 * math.pi)
    assert ProjectiveSpace(2).distance(-z, w).item() == pytest.approx(0.25 * math.pi)
    quarter = torch.tensor([0.0, -1, 0, 1, 0, 0, 0, 0, 1])
    assert SpecialOrthogonal3().distance(torch.eye(3).flatten(), quarter).item() == pytest.approx(
        math.sqrt(2) * math.pi / 2
    )
    opposite = FlatTorus(2).distance(torch.tensor([1.0, 0, 1, 0]), torch.tensor([-1.0, 0, 0, 1]))
    assert opposite.item() == pytest.approx(math.hypot(math.pi, math.pi / 2))


def test_unusable_input_is_named():
    with pytest.raises(InputError, match=r"Sphere: x has shape \(2, 2\) .*expected floats \(…, 3\)"):
        Sphere(2).project(torch.zeros(2, 2))
    with pytest.raises(InputError, match="FlatTorus: dim is 0; expected an integer of at least 1"):
        FlatTorus(0)
    with pytest.raises(InputError, match=r"Sphere: w has shape .* one that goes with \(3, 3\)"):
        Sphere(2).distance(torch.zeros(3, 3), torch.zeros(2, 3))
    with pytest.raises(InputError, match="steps is 0"):
        Sphere(1).diffuse(torch.tensor([[1.0, 0.0]]), torch.zeros(1), steps=0)


@pytest.mark.parametrize("manifold", ALL, ids=repr)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_points_that_are_not_finite_are_named(manifold, value):
    z = manifold.sample(4, generator())
    spoiled = z.clone()
    spoiled[2, 1] = value
    came = "has NaN at" if math.isnan(value) else "has an infinite value"
    named = rf"{type(manifold).__name__}: %s\[2\] {came}"
    times = torch.full((4,), -3.0)
    for argument, call in {
        "x": lambda: manifold.project(spoiled),
        "w": lambda: manifold.distance(z, spoiled),
        "z": lambda: manifold.diffuse(spoiled, times),
        "log_t": lambda: manifold.kl(z, torch.tensor([0.0, 0.0, value, 0.0])),
    }.items():
        expected = named if argument != "log_t" else named.replace(" at", "")
        with pytest.raises(InputError, match=expected % argument):
            call()
    with pytest.raises(InputError, match="whose exponential is infinite"):
        manifold.diffuse(z, torch.full((4,), 1000.0))


@pytest.mark.parametrize("manifold", ALL, ids=repr)
@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1e20, 1e37])
def test_points_of_any_length_are_projected_and_measured(manifold, scale):
    z = manifold.sample(6, generator())
    if isinstance(manifold, Euclidean):
        apart = manifold.distance(scale * z[:3], scale * z[3:])
        torch.testing.assert_close(apart, scale * manifold.distance(z[:3], z[3:]), rtol=1e-4, atol=0)
        return
    torch.testing.assert_close(manifold.project(scale * z), z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("manifold", CURVED, ids=repr)
def test_one_point_stands_for_all_that_are_as_near(manifold):
    x = torch.zeros(2, manifold.ambient_dim, requires_grad=True)
    z = manifold.project(x)
    torch.testing.assert_close(manifold.project(z), z)
    assert (z.norm(dim=1) >= 1).all()
    (gradient,) = torch.autograd.grad(z[:, 1].sum(), x)
    assert (gradient == 0).all()


@given(finite_points)
def test_projections_have_unit_length(x):
    torch.testing.assert_close(Sphere(2).project(x).norm(dim=-1), torch.ones(len(x), dtype=x.dtype))
