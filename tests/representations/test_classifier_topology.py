"""Decision regions: known ones, the cubical engine, every kind of classifier, modes and memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import topodl
from topodl.datasets import make_planar_region
from topodl.errors import InputError
from topodl.representations import decision_region_betti, decision_regions

PLANE = [(-2.0, 2.0, 80), (-2.0, 2.0, 90)]
SPACE = [(-2.0, 2.0, 30)] * 3


def shell(points):
    """Positive between the spheres of radii 0.5 and 1.5."""
    return 0.25 - (points.norm(dim=1) - 1).square()


class Ring(nn.Module):
    """A network of its own parameters, with parts whose modes differ."""

    def __init__(self, n_classes=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.n_classes = n_classes
        self.parts = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(1))
        self.parts[1].eval()
        self.seen = []

    def forward(self, x):
        assert x.dtype == torch.float64
        assert not torch.is_grad_enabled()
        assert not any(part.training for part in self.modules())
        self.seen.append(len(x))
        score = self.weight * (shell(x) + 0.0 * self.parts(torch.ones(len(x), 1))[:, 0])
        if self.n_classes == 1:
            return score[:, None]
        outside = x.norm(dim=1) - 1.5
        return torch.stack((score, outside, -1 - score), 1)


def test_known_regions_in_the_plane_and_in_space():
    assert decision_region_betti(shell, PLANE).tolist() == [1, 1]
    assert decision_region_betti(shell, SPACE).tolist() == [1, 0, 1]
    assert decision_region_betti(lambda x: (x.norm(dim=1) - 1).abs() < 0.5, PLANE).tolist() == [1, 1]
    torus = [(-2.0, 2.0, 40)] * 3
    tube = decision_region_betti(lambda x: 0.4 - (x[:, :2].norm(dim=1) - 1).hypot(x[:, 2]), torus)
    assert tube.tolist() == [1, 1, 0]
    assert decision_region_betti(lambda x: -torch.ones(len(x)), PLANE).tolist() == [0, 0]
    assert topodl.decision_region_betti is decision_region_betti


def test_a_module_is_evaluated_in_batches_and_left_as_it_was():
    model = Ring()
    before = [part.training for part in model.modules()]
    assert True in before
    assert False in before
    assert decision_region_betti(model, PLANE, batch_size=1000).tolist() == [1, 1]
    assert [part.training for part in model.modules()] == before
    assert model.seen == [1000] * 7 + [200]
    assert model.weight.grad is None
    whole = decision_regions(model, PLANE)
    torch.testing.assert_close(whole, decision_regions(model, PLANE, batch_size=7))

    def broken(module, args):
        raise RuntimeError("stop")

    model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="stop"):
        decision_regions(model, PLANE)
    assert [part.training for part in model.modules()] == before


def test_scores_of_several_classes_give_a_row_each():
    # the ring, what is beyond it, and what it encloses
    betti = decision_region_betti(Ring(3), PLANE)
    assert betti.shape == (3, 2)
    assert betti[:2].tolist() == [[1, 1], [1, 1]]
    never = decision_region_betti(lambda x: torch.stack((shell(x), 0 * shell(x), shell(x) - 1), 1), PLANE)
    assert never.tolist() == [[1, 1], [2, 1], [0, 0]]
    labels = decision_region_betti(lambda x: (x.norm(dim=1) > 1).long() + (x.norm(dim=1) > 1.5), PLANE)
    assert labels.tolist() == [[1, 0], [1, 1], [1, 1]]


def test_scikit_learn_classifiers():
    data = make_planar_region(3000, 2, 1, random_state=2)
    grid = [(-1.0, 1.0, 100)] * 2
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 100)] * 2, indexing="ij"), -1).reshape(-1, 2)
    forest = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(
        data.points, np.where(data.labels, "in", "a")
    )
    regions = decision_regions(forest, grid)
    expected = forest.predict(points.astype(np.float32)) == "in"
    np.testing.assert_array_equal(regions.numpy().ravel(), expected)
    sure = decision_regions(forest, grid, threshold=0.9)
    probabilities = forest.predict_proba(points.astype(np.float32))[:, 1]
    np.testing.assert_array_equal(sure.numpy().ravel(), probabilities > 0.9)
    support = SVC(gamma=20.0).fit(data.points, data.labels)
    assert decision_region_betti(support, grid).tolist() == [2, 1]
    margin = decision_regions(support, grid, threshold=0.5).numpy().ravel()
    np.testing.assert_array_equal(margin, support.decision_function(points.astype(np.float32)) > 0.5)
    ridge = RidgeClassifier().fit(data.points, data.labels)
    assert decision_region_betti(ridge, grid).shape == (2,)
    quadrants = (data.points > 0) @ [1, 2]
    several = LogisticRegression().fit(data.points, np.array(["d", "b", "c", "a"])[quadrants])
    assert decision_region_betti(several, grid).tolist() == [[1, 0]] * 4
    assert decision_regions(several, [(0.5, 0.6, 2), (0.5, 0.6, 2)]).tolist() == [[0, 0], [0, 0]]


def test_a_grid_of_points_may_lie_in_any_space():
    plane = torch.linalg.qr(torch.randn(7, 2, generator=torch.Generator().manual_seed(0))).Q
    axis = torch.linspace(-2, 2, 60)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1) @ plane.T
    assert points.shape == (60, 60, 7)
    assert decision_region_betti(shell, points).tolist() == [1, 1]
    assert decision_region_betti(lambda x: shell(torch.as_tensor(x)), points.double().numpy()).tolist() == [
        1,
        1,
    ]
    assert decision_regions(shell, points).shape == (60, 60)


def test_threshold_and_connectivity():
    x = torch.eye(4)[..., None]
    identity = nn.Identity()
    assert decision_region_betti(identity, x, threshold=0.5).tolist() == [1, 0]
    assert decision_region_betti(identity, x, threshold=0.5, connectivity=4).tolist() == [4, 0]
    assert decision_region_betti(identity, x, threshold=1.0).tolist() == [0, 0]
    assert decision_region_betti(torch.sigmoid, x, threshold=0.6).tolist() == [1, 0]


@given(seed=st.integers(0, 999), corners=st.booleans(), n_axes=st.sampled_from([2, 3]))
def test_equals_the_cubical_engine_on_random_scores(seed, corners, n_axes):
    scores = torch.randn(*[9, 8, 7][:n_axes], generator=torch.Generator().manual_seed(seed))
    connectivity = {2: (4, 8), 3: (6, 26)}[n_axes][corners]
    found = decision_region_betti(nn.Identity(), scores[..., None], connectivity=connectivity)
    padded = nn.functional.pad((scores > 0).float(), (1, 1) * n_axes)
    construction = "cell" if corners else "vertex"
    d = topodl.cubical_persistence(padded[None], superlevel=True, construction=construction)
    there = (d.births > 0.5) & (d.deaths < 0.5)
    assert found.tolist() == [int((there & (d.dims == k)).sum()) for k in range(n_axes)]


@pytest.mark.parametrize(
    ("model", "grid", "options", "message"),
    [
        (shell, [(0, 1)], {}, "grid is .*expected a triple"),
        (shell, [(0, 1, 5), (0, np.inf, 5)], {}, r"grid\[1\], high is inf"),
        (shell, [(0, 1, 0)] * 2, {}, r"grid\[0\], n is 0"),
        (shell, [(0, 1, 5)], {}, "grid has 1 axes; expected 2 or 3"),
        (shell, torch.zeros(3), {}, r"grid has shape \(3,\)"),
        (shell, PLANE, {"batch_size": 0}, "batch_size is 0"),
        (shell, PLANE, {"connectivity": 5}, "connectivity is 5"),
        (lambda x: x[:, 0] * torch.nan, PLANE, {}, "model gives NaN for point 0"),
        (lambda x: x[:3], PLANE, {}, r"model gives shape \(3, 2\) for 7200 points"),
        (lambda x: "no", PLANE, {}, "model gives a str"),
        (
            lambda x: x.long() - 5,
            [(0, 1, 5)] * 2,
            {"threshold": 0.5},
            "threshold is 0.5 where the model gives",
        ),
        (lambda x: x[:, 0].long() - 5, PLANE, {}, "model gives class -"),
    ],
)
def test_unusable_input_is_named(model, grid, options, message):
    with pytest.raises(InputError, match=message):
        decision_region_betti(model, grid, **options)


def test_what_cannot_be_called_is_a_type_error():
    with pytest.raises(TypeError, match="model is a int; expected a module"):
        decision_region_betti(3, PLANE)
