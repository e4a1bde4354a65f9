"""Tensors stored with the other sign, as imaginary parts of conjugates are, are read as what they are."""

import pytest
import torch

import topodl
from topodl import Diagrams
from topodl.distances import bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance
from topodl.layers import (
    BettiCurve,
    EulerCharacteristicTransform,
    EulerCurve,
    PersistenceImage,
    PersistenceLandscape,
)
from topodl.losses import ClDiceLoss, RTDLoss, TopoLoss
from topodl.metrics import dice_score


def negated(x):
    """Return `x` with the negative bit set."""
    flipped = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert flipped.is_neg()
    return flipped


def diagrams_of(bars):
    births, deaths = bars.unbind(1)
    nothing = torch.zeros(len(bars), dtype=torch.int64)
    return Diagrams(births, deaths, nothing, nothing, n_samples=1, homology_dims=(0,))


IMAGES = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
BARS = IMAGES[0, :, :2].cumsum(1)
LABELS = (IMAGES > 0.5).long()
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])
CASES = {
    "cubical": lambda x: topodl.cubical_persistence(x).deaths,
    "rips": lambda x: topodl.rips_persistence(x).deaths,
    "rips of matrices": lambda x: topodl.rips_persistence((x - x.mT).abs(), metric="precomputed").deaths,
    "alpha": lambda x: topodl.alpha_persistence(x[..., :2]).deaths,
    "graph": lambda x: topodl.graph_persistence(x[0, 0, :3], EDGES).births,
    "rtd": lambda x: topodl.rtd(x, x.flip(1)),
    "rtd loss": lambda x: RTDLoss()(x, x.flip(1)),
    "Euler curve": EulerCurve(5, (0, 1)),
    "Euler transform": EulerCharacteristicTransform(4, 4),
    "clDice": lambda x: ClDiceLoss()(torch.stack([x, -x], 1), LABELS),
    "TopoLoss": lambda x: TopoLoss()(torch.stack([x, -x], 1), LABELS),
    "Dice": lambda x: dice_score((x > 0.5).float() * x / x, LABELS),
}
DIAGRAM_CASES = {
    "landscape": PersistenceLandscape(2, 5, (0, 2)),
    "image": PersistenceImage(3, (0, 1), (0, 1)),
    "Betti curve": BettiCurve(5, (0, 2)),
    "total persistence": Diagrams.total_persistence,
    "array": lambda d: torch.from_numpy(d.numpy()["death"].copy()),
    **{
        f.__name__: lambda d, f=f: f(d, diagrams_of(BARS.flip(1).sort(1).values))
        for f in (wasserstein_distance, bottleneck_distance, sliced_wasserstein_distance)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_functions_of_tensors(case):
    torch.testing.assert_close(CASES[case](negated(IMAGES)), CASES[case](IMAGES))


@pytest.mark.parametrize("case", DIAGRAM_CASES)
def test_functions_of_diagrams(case):
    function = DIAGRAM_CASES[case]
    torch.testing.assert_close(function(diagrams_of(negated(BARS))), function(diagrams_of(BARS)))
    from_padded = Diagrams.from_padded(negated(BARS)[None])
    torch.testing.assert_close(function(from_padded), function(diagrams_of(BARS)))
