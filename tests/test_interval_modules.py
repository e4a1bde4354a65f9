import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, IntervalModules, graph_persistence

FOLDER = "golden/multiparameter"


def drawn(seed=0, n_summands=4, n_samples=2):
    """Summands of up to three corners of each kind, in both dimensions of two samples."""
    random = np.random.default_rng(seed)
    corners, owners = {"births": [], "deaths": []}, {"births": [], "deaths": []}
    for s, (name, base) in itertools.product(range(n_summands), (("births", 0.0), ("deaths", 0.5))):
        n = int(random.integers(1, 4))
        corners[name].append(base + random.random((n, 2)) * 0.5)
        owners[name] += [s] * n
    tensors = [torch.from_numpy(np.concatenate(corners[name])) for name in ("births", "deaths")]
    tensors += [torch.tensor(owners[name]) for name in ("births", "deaths")]
    tensors += [torch.from_numpy(random.integers(0, high, n_summands)) for high in (2, n_samples)]
    return IntervalModules(*tensors, n_samples=n_samples, homology_dims=(0, 1))


def golden(shared):
    for path in sorted((shared / FOLDER).glob("module_*.npz")):
        with np.load(path) as file:
            yield {name: torch.from_numpy(file[name]) for name in file.files}


def module_of(arrays, k):
    """The summands of one dimension."""
    kept = arrays["dimension"] == k
    number = kept.cumsum(0) - 1
    parts = [kept[arrays[f"{kind}_summand"]] for kind in ("birth", "death")]
    return IntervalModules(
        arrays["births"][parts[0]],
        arrays["deaths"][parts[1]],
        number[arrays["birth_summand"][parts[0]]],
        number[arrays["death_summand"][parts[1]]],
        arrays["dimension"][kept],
        torch.zeros(int(kept.sum()), dtype=torch.int64),
        n_samples=1,
        homology_dims=(k,),
    )


def test_golden_pictures(shared):
    for arrays, k in itertools.product(golden(shared), (0, 1)):
        module, grid, box = module_of(arrays, k), arrays["grid"], arrays["box"]

        def close(found, name, k=k, arrays=arrays):
            torch.testing.assert_close(found, arrays[f"{name}{k}"], atol=1e-12, rtol=0)

        close(module.interleavings(box), "interleavings")
        for p in (0, 1, 2, math.inf):
            close(module.image(grid, grid, 0.1, p=p, box=box)[0, 0], f"linear_p{p}_")
        close(module.image(grid, grid, 0.1, "gaussian", 1, box=box)[0, 0], "gaussian_")
        close(module.image(grid, grid, 0.1, "signed", 1, box=box)[0, 0], "gaussian_signed_")
        close(module.landscapes(grid, grid, 4)[0, 0], "landscapes")


def corners_of(module, s):
    return (
        module.births[module.birth_summands == s].tolist(),
        module.deaths[module.death_summands == s].tolist(),
    )


def slow_side(births, deaths, low=(-9.0, -9.0), high=(9.0, 9.0)):
    pairs = itertools.product(births, deaths)
    sides = [min(min(d[i], high[i]) - max(b[i], low[i]) for i in (0, 1)) for b, d in pairs]
    return max(0.0, *sides)


@given(st.integers(0, 999))
def test_formulas_by_loops(seed):
    module, grid = drawn(seed), torch.tensor([0.1, 0.45, 0.9], dtype=torch.float64)
    pictures = {kernel: module.image(grid, grid[:2], 0.2, kernel, p=1) for kernel in ("linear", "gaussian")}
    expected = {kernel: np.zeros((2, 2, 3, 2)) for kernel in pictures}
    landscapes = module.landscapes(grid, grid[:2], 2)
    tents = {}
    for s in range(module.n_summands):
        births, deaths = corners_of(module, s)
        at = int(module.samples[s]), int(module.dims[s])
        weight = slow_side(births, deaths)
        assert float(module.interleavings()[s]) == pytest.approx(weight)
        for (i, x), (j, y) in itertools.product(enumerate(grid.tolist()), enumerate(grid[:2].tolist())):
            window = slow_side(births, deaths, (x - 0.2, y - 0.2), (x + 0.2, y + 0.2))
            expected["linear"][*at, i, j] += weight * window / 0.4
            before = min(max(b[0] - x, b[1] - y) for b in births)
            behind = min(max(x - d[0], y - d[1]) for d in deaths)
            expected["gaussian"][*at, i, j] += weight * math.exp(-(max(before, behind, 0.0) ** 2) / 0.08)
            tents.setdefault((*at, i, j), []).append(max(-max(before, behind), 0.0))
    for kernel, picture in pictures.items():
        np.testing.assert_allclose(picture, expected[kernel], atol=1e-12)
    for (b, k, i, j), heights in tents.items():
        highest = sorted([*heights, 0.0, 0.0], reverse=True)[:2]
        np.testing.assert_allclose(landscapes[b, k, :, i, j], highest, atol=1e-12)


def test_normalised_pictures_and_the_largest_value():
    module, grid = drawn(3), torch.linspace(0, 1, 4, dtype=torch.float64)
    weights = module.interleavings()
    for b, k in itertools.product((0, 1), (0, 1)):
        own = (module.samples == b) & (module.dims == k)
        total = weights[own].square().sum()
        expected = module.image(grid, grid)[b, k] / (total if total else 1.0)
        torch.testing.assert_close(module.image(grid, grid, normalize=True)[b, k], expected)
    each = module.image(grid, grid, p=0)
    assert (module.image(grid, grid, p=math.inf) <= each + 1e-12).all()


def test_pixels_go_in_steps(monkeypatch):
    module, grid = drawn(1), torch.linspace(0, 1, 7, dtype=torch.float64)
    expected = module.image(grid, grid), module.landscapes(grid, grid)
    monkeypatch.setattr("topodl.interval_modules._MOST_ENTRIES", 20)
    torch.testing.assert_close((module.image(grid, grid), module.landscapes(grid, grid)), expected)


@pytest.mark.parametrize("kernel", ["linear", "gaussian", "signed"])
def test_gradients_reach_the_corners(kernel):
    module, grid = drawn(5), torch.tensor([0.21, 0.47, 0.83], dtype=torch.float64)
    rest = (module.birth_summands, module.death_summands, module.dims, module.samples)

    def picture(births, deaths):
        return IntervalModules(births, deaths, *rest, n_samples=2, homology_dims=(0, 1)).image(
            grid, grid, 0.2, kernel
        )

    corners = module.births.requires_grad_(), module.deaths.requires_grad_()
    torch.autograd.gradcheck(picture, corners)
    torch.autograd.gradgradcheck(picture, corners)


def test_bars_of_a_diagonal_have_ordinary_landscapes():
    values = torch.tensor([0.0, 0.3, 0.9, 0.2], dtype=torch.float64)
    d = graph_persistence(values, torch.tensor([[0, 1, 2], [1, 2, 3]])).finite()
    which = torch.arange(d.n_bars)
    ends = d.births[:, None].expand(-1, 2), d.deaths[:, None].expand(-1, 2)
    module = IntervalModules(*ends, which, which, d.dims, d.samples, n_samples=1, homology_dims=(0,))
    grid = torch.tensor([0.4, 0.6], dtype=torch.float64)
    tents = torch.minimum(grid - d.births[:, None], d.deaths[:, None] - grid).clamp(min=0)
    found = module.landscapes(grid, grid, d.n_bars)[0, 0].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(found, tents.sort(0, descending=True).values)


class Summand:
    """What multipers gives for a summand."""

    def __init__(self, births, deaths, degree):
        self.births, self.deaths, self.degree = births, deaths, degree

    def get_birth_list(self):
        return np.array(self.births)

    def get_death_list(self):
        return np.array(self.deaths)


def test_summands_of_multipers_are_read():
    first = [
        Summand([[0.0, 1.0], [1.0, 0.0]], [[math.inf, math.inf]], 0),
        Summand([[0.0, 0.0]], [[1.0, 2.0]], 2),
    ]
    second = [Summand([[0.5, 0.5]], [[math.inf]], 1)]
    module = IntervalModules.from_multipers([first, [], second])
    assert (module.n_samples, module.n_summands, module.homology_dims) == (3, 2, (0, 1))
    assert module.births.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]
    assert module.deaths.tolist() == [[math.inf, math.inf]] * 2
    assert (module.birth_summands.tolist(), module.samples.tolist()) == ([0, 0, 1], [0, 2])
    alone = IntervalModules.from_multipers(iter(second), dtype=torch.float32)
    assert (alone.n_samples, alone.births.dtype) == (1, torch.float32)
    with pytest.raises(TypeError, match="modules has a float"):
        IntervalModules.from_multipers([[0.5]])


def test_nothing_is_a_value():
    module, grid = IntervalModules.from_multipers([[], []]), torch.tensor([0.0, 1.0])
    assert module.interleavings().shape == (0,)
    assert torch.equal(module.image(grid, grid), torch.zeros(2, 2, 2, 2, dtype=torch.float64))
    assert torch.equal(module.landscapes(grid, grid, 3), torch.zeros(2, 2, 3, 2, 2, dtype=torch.float64))


AT, CORNER, GRID = torch.tensor([0]), torch.zeros(1, 2), torch.zeros(1)
SIZES = {"n_samples": 1, "homology_dims": (0,)}
QUADRANT = IntervalModules(CORNER, CORNER + math.inf, AT, AT, AT, AT, **SIZES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: IntervalModules(CORNER[0], CORNER, AT, AT, AT, AT, **SIZES),
            r"births has shape \(2,\)",
        ),
        (lambda: IntervalModules(CORNER, CORNER.double(), AT, AT, AT, AT, **SIZES), "deaths has"),
        (
            lambda: IntervalModules(CORNER * math.nan, CORNER, AT, AT, AT, AT, **SIZES),
            "births has NaN",
        ),
        (
            lambda: IntervalModules(CORNER, CORNER, AT + 1, AT, AT, AT, **SIZES),
            "birth_summands has 1",
        ),
        (lambda: IntervalModules(CORNER[:0], CORNER, AT[:0], AT, AT, AT, **SIZES), "has none of 0"),
        (lambda: IntervalModules(CORNER, CORNER, AT, AT, AT + 1, AT, **SIZES), "dims has 1"),
        (lambda: IntervalModules(CORNER, CORNER, AT, AT, AT, AT + 1, **SIZES), "samples has 1"),
        (lambda: IntervalModules(CORNER, CORNER, AT, AT, AT, AT[:0], **SIZES), r"samples has shape"),
        (lambda: IntervalModules(CORNER, CORNER, CORNER.long(), AT, AT, AT, **SIZES), "one axis"),
        (lambda: QUADRANT.image(GRID, GRID, kernel="cubic"), "kernel is 'cubic'"),
        (lambda: QUADRANT.image(GRID, GRID, bandwidth=0.0), "bandwidth is 0.0"),
        (lambda: QUADRANT.image(GRID, GRID, p=-1), "p is -1"),
        (lambda: QUADRANT.image(GRID, GRID), "box is None; expected one that cuts"),
        (lambda: QUADRANT.image(GRID[0], GRID), r"grid0 has shape \(\)"),
        (lambda: QUADRANT.interleavings(((1, 1), (0, 0))), "a lower and an upper corner"),
        (lambda: QUADRANT.landscapes(GRID, GRID, 0), "n_landscapes is 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_indices_are_integers():
    with pytest.raises(TypeError, match="dims has dtype"):
        IntervalModules(CORNER, CORNER, AT, AT, AT.float(), AT, **SIZES)
