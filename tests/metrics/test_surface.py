import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.distance import cdist

from topodl.errors import InputError
from topodl.metrics import AverageSurfaceDistance, SurfaceDice, average_surface_distance, surface_dice


def slow_distances(p, t, spacing):
    borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) * np.array(spacing) for m in (p, t)]
    table = cdist(*borders)
    return np.concatenate([table.min(1), table.min(0)])


@pytest.mark.parametrize(
    ("shape", "spacing"), [((2, 6, 9), (1.0, 1.0)), ((2, 7, 5), (0.5, 2.0)), ((2, 3, 4, 5), (2.0, 0.5, 1.5))]
)
@given(data=st.data(), tolerance=st.sampled_from([0.3, 0.7, 1.2, 2.1]))
def test_equal_all_pairs_of_border_pixels(shape, spacing, data, tolerance):
    pair = data.draw(arrays(np.bool_, shape))
    assume(pair[0].any() and pair[1].any())
    preds, target = torch.from_numpy(pair)[:, None, None]
    distances = slow_distances(*pair, spacing)
    assert average_surface_distance(preds, target, spacing=spacing).item() == pytest.approx(distances.mean())
    share = surface_dice(preds, target, spacing=spacing, tolerance=tolerance).item()
    assert share == pytest.approx((distances <= tolerance).mean())


def test_empty_masks():
    empty, full = torch.zeros(1, 4, 5), torch.ones(1, 4, 5)
    assert surface_dice(empty, empty).item() == 1
    assert average_surface_distance(empty, empty).item() == 0
    for preds, target in ((empty, full), (full, empty)):
        assert surface_dice(preds, target).item() == 0
        distance = average_surface_distance(preds, target, spacing=2.0).item()
        assert distance == pytest.approx(math.hypot(6, 8))


def test_unusable_options_are_named():
    with pytest.raises(InputError, match="SurfaceDice: tolerance is"):
        SurfaceDice(tolerance=-1.0)
    with pytest.raises(InputError, match="AverageSurfaceDistance: spacing is"):
        AverageSurfaceDistance(spacing=(1.0, 0.0))
