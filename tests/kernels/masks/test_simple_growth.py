import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive.mask_metrics import betti_numbers, is_simple
from topodl.kernels.masks import simple_growth

images = arrays(np.bool_, (2, 7, 8))


@given(images, st.booleans())
def test_growth_keeps_the_topology_and_stops_only_where_it_must(pair, corners):
    mask, region = pair
    before = mask.copy()
    grown = simple_growth.grow_by_simple_pixels(mask, region, corners)
    assert (mask == before).all()
    assert not (mask & ~grown).any()
    assert not (grown & ~mask & ~region).any()
    numbers = betti_numbers(mask, corners)
    assert betti_numbers(grown, corners) == numbers
    for y, x in np.argwhere(region & ~grown):
        assert not is_simple(grown, y, x, corners)


def test_a_region_of_many_layers_is_filled():
    mask = np.zeros((40, 40), dtype=bool)
    mask[20, 20] = True
    grown = simple_growth.grow_by_simple_pixels(mask, np.ones_like(mask), True)
    assert grown.all()


def test_two_seeds_stay_apart_by_one_line():
    mask = np.zeros((5, 21), dtype=bool)
    mask[:, 0] = mask[:, -1] = True
    grown = simple_growth.grow_by_simple_pixels(mask, np.ones_like(mask), True)
    assert (~grown).sum() == 5


def test_warm_up_compiles():
    simple_growth.warm_up()
