"""Mapper graphs drawn with matplotlib."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch

from topodl import InputError, MissingDependencyError
from topodl.mapper import MapperGraph

mpl.use("Agg")

NODES = [[0, 1], [1, 2, 3], [3, 4], [5]]


@pytest.fixture
def graph():
    return MapperGraph.from_nodes(NODES, 6)


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()
    plt.close(figure)


def test_numbers_have_a_colour_bar_that_names_them(graph, ax):
    assert graph.plot(ax, color={"height": [0.0, 2.0, 4.0, 6.0, 8.0, np.nan]}) is ax
    edges, dashed, discs = ax.collections
    assert len(edges.get_segments()) == 2
    assert len(dashed.get_segments()) == 0
    assert discs.get_array().tolist() == [1.0, 4.0, 7.0, None]
    assert ax.figure.axes[1].get_ylabel() == "height"


def test_the_number_of_members_is_the_colour_by_default(graph, ax):
    graph.plot(ax)
    assert ax.collections[2].get_array().tolist() == [2, 3, 2, 1]
    assert ax.figure.axes[1].get_ylabel() == "number of members"


def test_classes_are_slices_with_a_legend(graph, ax):
    graph.plot(ax, color={"kind": ["a", "a", "b", "b", None, "a"]})
    assert len(ax.collections[2].get_paths()) == 1 + 2 + 2 + 1
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "kind"
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "no value"]


def test_edges_without_common_samples_are_dashed(ax):
    edges, shared = torch.tensor([[0, 1], [1, 2]]), torch.tensor([1, 0])
    graph = MapperGraph.from_nodes([[0, 1], [1, 2], [3]], 4, edge_index=edges, edge_weight=shared)
    graph.plot(ax, node_color=[1.0, 2.0, 3.0])
    assert [len(each.get_segments()) for each in ax.collections[:2]] == [1, 1]


def test_an_empty_graph_can_be_plotted(ax):
    MapperGraph.from_nodes([], 3).plot(ax)
    MapperGraph.from_nodes([], 3).plot(ax, color=["a", "b", "c"])


def test_two_columns_are_refused(graph):
    with pytest.raises(InputError, match=r"MapperGraph.plot: color has 2 columns"):
        graph.plot(color={"a": range(6), "b": range(6)})


def test_without_matplotlib_the_error_names_the_extra(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"MapperGraph.plot.*topodl\[plot\]"):
        graph.plot()
