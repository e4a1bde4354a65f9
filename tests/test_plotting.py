import sys

import matplotlib as mpl
import pytest
import torch

import topodl
from tests.strategies import make_diagrams
from topodl import InputError, MissingDependencyError, plotting
from topodl.layers import EulerCharacteristicTransform

mpl.use("Agg")


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize("superlevel", [False, True])
@pytest.mark.parametrize("plot", [plotting.plot_diagram, plotting.plot_barcode, plotting.plot_betti_curve])
def test_every_dimension_is_labelled(ax, plot, superlevel):
    d = make_diagrams(0, [[4, 3], [0, 0]], superlevel=superlevel)
    assert plot(d, ax=ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 2
    assert "0" in labels[0]
    assert "1" in labels[1]


@pytest.mark.parametrize("plot", [plotting.plot_diagram, plotting.plot_barcode, plotting.plot_betti_curve])
def test_empty_diagrams_can_be_plotted(ax, plot):
    plot(make_diagrams(0, [[4, 3], [0, 0]]), sample=1, ax=ax)


def test_diagram_shows_every_finite_bar_where_it_is(ax):
    d = make_diagrams(0, [[4, 3]], essential=0.0)
    plotting.plot_diagram(d, ax=ax)
    points = ax.collections[0].get_offsets()
    assert points[:, 0].tolist() == d.dim(0).births.tolist()
    assert points[:, 1].tolist() == d.dim(0).deaths.tolist()


def test_critical_pixels_are_marked_in_row_and_column(ax):
    image = torch.tensor([[0.0, 0.1, 0.2], [0.7, 0.9, 0.3], [0.6, 0.5, 0.4]])
    plotting.plot_critical_pixels(image, topodl.cubical_persistence(image[None]), ax=ax)
    births_0, _, births_1, deaths_1 = (c.get_offsets().tolist() for c in ax.collections)
    assert births_0 == [[0, 0]]
    assert births_1 == [[0, 1]]
    assert deaths_1 == [[1, 1]]


def test_euler_transform(ax):
    transform = EulerCharacteristicTransform(4, 6)(torch.rand(2, 10, 2))
    plotting.plot_euler_transform(transform, radius=1.1, sample=1, ax=ax)
    assert ax.images[0].get_array().shape == (6, 4)


def test_bad_input_is_named(ax):
    d = make_diagrams(0, [[4, 3]])
    with pytest.raises(InputError, match="d has no cells"):
        plotting.plot_critical_pixels(torch.zeros(2, 2), d._with(death_cells=None), ax=ax)
    with pytest.raises(InputError, match=r"image has shape \(2,\)"):
        plotting.plot_critical_pixels(torch.zeros(2), d, ax=ax)
    with pytest.raises(InputError, match="transform has shape"):
        plotting.plot_euler_transform(torch.zeros(2, 2), ax=ax)
    with pytest.raises(TypeError, match="d is a list"):
        plotting.plot_diagram([], ax=ax)


def test_missing_matplotlib_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "topodl\[plot\]"'):
        plotting.plot_diagram(make_diagrams(0, [[1, 1]]))
