import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive.mask_metrics import betti_numbers, is_simple, is_simple_voxel
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


@given(arrays(np.bool_, (2, 3, 4, 5)), st.booleans())
def test_growth_in_volumes_keeps_the_topology_and_stops_only_where_it_must(pair, corners):
    mask, region = pair
    grown = simple_growth.grow_by_simple_pixels(mask, region, corners)
    assert not (mask & ~grown).any()
    assert not (grown & ~mask & ~region).any()
    assert betti_numbers(grown, corners) == betti_numbers(mask, corners)
    bordered = np.pad(grown, 1)
    for z, y, x in np.argwhere(region & ~grown):
        assert not is_simple_voxel(bordered[z : z + 3, y : y + 3, x : x + 3], corners)


def test_a_block_in_a_shell_is_not_reached():
    shell = np.ones((7, 7, 7), dtype=bool)
    shell[1:-1, 1:-1, 1:-1] = False
    room = ~shell
    grown = simple_growth.grow_by_simple_pixels(shell, room, True)
    assert (~grown).sum() == 1  # the cavity shrinks to a voxel and stays


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
