"""Cells of samples and clusters of all elements at once, against products and DBSCAN of each element."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from topodl.kernels.mapper.incidences import cells_of_ranges, density_clusters, number_clusters


@given(
    st.integers(1, 3).flatmap(
        lambda q: st.lists(
            st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=q, max_size=q), max_size=5
        ).map(lambda rows: np.array(rows, np.int64).reshape(-1, q, 2))
    )
)
def test_cells_are_products_of_intervals(ranges):
    first, last = np.ascontiguousarray(ranges[..., 0]), np.ascontiguousarray(ranges[..., 1])
    strides = 4 ** np.arange(ranges.shape[1])[::-1]
    starts, cells = cells_of_ranges(first, last, strides)
    for i, axes in enumerate(ranges):
        products = itertools.product(*(range(a, b + 1) for a, b in axes))
        expected = [int(np.dot(cell, strides)) for cell in products]
        assert cells[starts[i] : starts[i + 1]].tolist() == expected


@given(st.integers(1, 14), st.integers(1, 4), st.integers(1, 5), st.integers(0, 999))
def test_clusters_are_those_of_dbscan_in_each_element(n, n_elements, min_samples, seed):
    rng = np.random.default_rng(seed)
    points, inside = rng.integers(0, 6, (n, 2)).astype(float), rng.random((n, n_elements)) < 0.6
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    pairs = np.argwhere(np.triu(distances <= 1.0, 1))
    elements = np.concatenate([np.flatnonzero(row) for row in inside])
    owners = np.repeat(np.arange(n), inside.sum(1))
    clusters = density_clusters(pairs, np.cumsum([0, *inside.sum(1)]), elements, min_samples)
    for k in range(n_elements):
        own = np.flatnonzero(elements == k)
        if not len(own):
            continue
        labels = DBSCAN(1.0, min_samples=min_samples).fit_predict(points[owners[own]])
        assert ((clusters[own] < 0) == (labels < 0)).all()
        pairs_of = {(a, b) for a, b in zip(clusters[own].tolist(), labels.tolist(), strict=True)}
        assert len(pairs_of) == len({a for a, _ in pairs_of}) == len({b for _, b in pairs_of})


@given(st.lists(st.lists(st.integers(-1, 3), max_size=6), max_size=4))
def test_clusters_are_numbered_in_the_order_in_which_they_begin(elements):
    starts = np.cumsum([0, *map(len, elements)])
    labels = np.array([label for own in elements for label in own], np.int64)
    numbers, expected = {}, []
    for k, own in enumerate(elements):
        for label in own:
            expected.append(-1 if label < 0 else numbers.setdefault((k, label), len(numbers)))
    clusters, n_clusters = number_clusters(starts, labels, 4)
    assert clusters.tolist() == expected
    assert n_clusters == len(numbers)
