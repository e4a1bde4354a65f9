"""The same nodes and edges as KeplerMapper, GUDHI, giotto-tda, pyBallMapper and attributed graphs publish."""

import itertools
import json

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from sklearn.pipeline import make_pipeline

from topodl import Mapper, mapper_graph, rips_persistence
from topodl.layers import PersistenceStatistics, RipsPersistence
from topodl.mapper import BallCover, IntervalCover, RelativeGap, SingleLinkage

CLOUDS = ["circles", "digits", "torus"]
CONFIGURATIONS = [
    *(f"{family}_{lens}_{clusters}" for family in ("margin", "tight") for lens in ("1d", "2d")
      for clusters in ("linkage", "dbscan5")),
    "balanced_1d_linkage", "tight_1d_histgap", "tight_1d_simplegap",
]  # fmt: skip


def nodes_of(arrays, prefix):
    """Return the nodes of a file as tuples, and its edges as pairs of them, sorted."""
    ptr, members = arrays[f"{prefix}node_ptr"].astype(int), arrays[f"{prefix}node_idx"].astype(int)
    nodes = [tuple(members[a:b].tolist()) for a, b in itertools.pairwise(ptr)]
    edges = arrays[f"{prefix}edges"].astype(int).T
    return sorted(nodes), sorted(tuple(sorted((nodes[a], nodes[b]))) for a, b in edges)


def parts_of(graph):
    nodes = [tuple(node.tolist()) for node in graph]
    edges = [tuple(sorted((nodes[a], nodes[b]))) for a, b in graph.simplices(1).tolist()]
    return sorted(nodes), sorted(edges)


def mapper_of(arrays, key, **options):
    settings = json.loads(str(arrays["settings"]))
    family, lens, clusters = key.split("_")
    cover = IntervalCover(
        settings[f"n_intervals_{lens}"],
        settings[f"overlap_{lens}"],
        kind="balanced" if family == "balanced" else "uniform",
        ends="margin" if family == "margin" else "tight",
    )
    clusterer = {
        "linkage": settings["eps_linkage"],
        "dbscan5": DBSCAN(settings["eps_dbscan5"], min_samples=5),
        "histgap": "gap",
        "simplegap": RelativeGap(settings["simplegap"]["relative_gap_size"]),
    }[clusters]
    mapper = Mapper(cover=cover, clusterer=clusterer, **options)
    return mapper.fit(arrays["X"].astype(float), lens=arrays[f"lens{lens[0]}"])


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("key", CONFIGURATIONS)
def test_nodes_and_edges_are_those_of_the_packages(shared, cloud, key):
    with np.load(shared / "golden" / "mapper" / f"mapper_{cloud}.npz") as arrays:
        mapper = mapper_of(arrays, key)
        assert parts_of(mapper.graph_) == nodes_of(arrays, f"{key}/")
        if f"{key}/intervals" in arrays:
            np.testing.assert_allclose(mapper.cover_.intervals_[0], arrays[f"{key}/intervals"])


@pytest.mark.parametrize("cloud", CLOUDS)
def test_balls_are_those_of_ball_mapper(shared, cloud):
    with np.load(shared / "golden" / "mapper" / f"mapper_{cloud}.npz") as arrays:
        radius = json.loads(str(arrays["settings"]))["ball_radius"]
        mapper = Mapper(lens=None, cover=BallCover(radius), clusterer=None).fit(arrays["X"].astype(float))
        assert parts_of(mapper.graph_) == nodes_of(arrays, "ball/")
        assert mapper.cover_.landmarks_.tolist() == arrays["ball/landmarks"].tolist()


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_nerve_has_as_many_simplices_as_that_of_gudhi(shared, cloud):
    with np.load(shared / "golden" / "mapper" / f"mapper_{cloud}.npz") as arrays:
        counts = arrays["margin_2d_linkage/simplices_by_dim"].tolist()
        graph = mapper_of(arrays, "margin_2d_linkage", max_dim=4).graph_
    assert [len(graph.simplices(k)) for k in range(5)] == [*counts, 0]
    betti = graph.betti()
    assert sum((-1) ** k * b for k, b in enumerate(betti)) == sum((-1) ** k * n for k, n in enumerate(counts))


@pytest.fixture(params=["cylinder", "sphere_and_circles"])
def attributed(shared, request):
    with np.load(shared / "golden" / "mapper" / f"tag_{request.param}.npz") as arrays:
        return dict(arrays)


def bins_and_linkage(arrays):
    settings = json.loads(str(arrays["settings"]))
    # the original counts ends of bins
    cover = IntervalCover(settings["n_bins"] - 1, kind="bins")
    return {"cover": cover, "clusterer": SingleLinkage(factor=settings["min_rad_factor"])}


def order_of(arrays, graph):
    """Return the node of the graph that each node of the file is."""
    ptr, members = arrays["node_ptr"].astype(int), arrays["node_idx"].astype(int)
    number = {tuple(node.tolist()): k for k, node in enumerate(graph)}
    return [number[tuple(members[a:b].tolist())] for a, b in itertools.pairwise(ptr)]


def test_bins_are_those_of_attributed_graphs(attributed):
    mapper = Mapper(**bins_and_linkage(attributed)).fit(attributed["X"], lens=attributed["lens"])
    graph = mapper.graph_
    assert parts_of(graph) == nodes_of(attributed, "")
    order = order_of(attributed, graph)
    assert graph.cover_index[order, 0].tolist() == attributed["node_bin"].tolist()
    means = graph.aggregate(attributed["lens"])[order].numpy()
    lower, upper = attributed["edges"].astype(int)
    np.testing.assert_allclose(means[upper] - means[lower], attributed["edge_weights"], rtol=1e-4)


def test_bars_of_nodes_are_those_of_attributed_graphs(attributed):
    x = torch.from_numpy(attributed["X"].astype(float))
    graph = mapper_graph(x, attributed["lens"], **bins_and_linkage(attributed))
    diagrams = rips_persistence(list(graph.clouds(x)), dims=1)
    ptr = attributed["h1_ptr"].astype(int)
    for k, node in enumerate(order_of(attributed, graph)):
        d = diagrams[node]
        bars, expected = torch.stack([d.births, d.deaths], 1).numpy(), attributed["h1"][ptr[k] : ptr[k + 1]]
        assert len(bars) == len(expected)
        by_value = [table[np.lexsort(table.round(4).T)] for table in (bars, expected)]
        np.testing.assert_allclose(*by_value, rtol=1e-5)


def test_statistics_through_attributes_are_those_of_attributed_graphs(attributed):
    statistics = PersistenceStatistics(interpolation="midpoint")
    pipeline = make_pipeline(RipsPersistence(dims=1), statistics)
    graph = mapper_graph(
        torch.from_numpy(attributed["X"].astype(float)),
        attributed["lens"],
        attributes=pipeline,
        **bins_and_linkage(attributed),
    )
    each = ("mean", "std", "q10", "q25", "median", "q75", "q90")
    names = [f"{quantity}_{name}" for quantity in ("birth", "death", "length", "midpoint") for name in each]
    own = statistics._columns()
    columns = [own.index(name) for name in (*names, "count", "entropy")]
    found = graph.x[order_of(attributed, graph)][:, columns].numpy()
    np.testing.assert_allclose(found, attributed["statistics"], rtol=1e-4, atol=1e-4)
