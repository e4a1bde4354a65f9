import numpy as np
import pytest
import torch

from topodl.attention.plotting import plot_attention_graph, plot_head_scores
from topodl.errors import InputError

figures = pytest.importorskip("matplotlib.figure")
BLUE, RED = "tab:blue", "tab:red"


def lines(figure, color):
    return [line for line in figure.axes[0].lines if line.get_color() == color]


def test_a_graph_is_drawn_where_it_is_asked_for():
    axes = figures.Figure().subplots(1, 2)
    assert plot_attention_graph(chain(3), labels=["the", "cat", "sees"], ax=axes[1]) is axes[1].figure
    assert not axes[0].lines
    assert len(axes[1].lines) > 0


def chain(n: int) -> torch.Tensor:
    """Every token attends to the next with 0.75, and to itself with the rest."""
    return 0.75 * torch.roll(torch.eye(n), 1, 1) + 0.25 * torch.eye(n)


def test_heads_are_cells_of_a_heat_map():
    scores = np.arange(6.0).reshape(2, 3) / 6
    figure = plot_head_scores(scores, title="corpus", label="MCC")
    heat, bar = figure.axes
    np.testing.assert_array_equal(heat.images[0].get_array(), scores)
    assert (heat.get_xlabel(), heat.get_ylabel(), heat.get_title()) == ("head", "layer", "corpus")
    assert (len(heat.get_xticks()), len(heat.get_yticks())) == (3, 2)
    assert bar.get_ylabel() == "MCC"


def test_graph_over_an_image():
    image = np.zeros((32, 32, 3))
    maps = torch.zeros(5, 5)
    maps[:, 0] = 0.25  # the token before the patches is not drawn
    maps[1:, 1:] = 0.75 * chain(4)
    figure = plot_attention_graph(maps, image=image, skip=1, threshold=0.3, title="head 7")
    axes = figure.axes[0]
    assert axes.get_title() == "head 7"
    assert axes.images[0].get_array().shape == (32, 32, 3)
    centres = axes.collections[0].get_offsets()
    np.testing.assert_allclose(centres, [[7.5, 7.5], [23.5, 7.5], [7.5, 23.5], [23.5, 23.5]])
    assert len(lines(figure, BLUE)) == 4  # the ring
    assert len(lines(figure, RED)) == 3  # its spanning tree
    ends = {tuple(map(tuple, line.get_xydata())) for line in lines(figure, BLUE)}
    assert ((7.5, 7.5), (23.5, 7.5)) in ends


def test_grid_need_not_be_square():
    figure = plot_attention_graph(chain(6), image=np.zeros((20, 30)), grid=(2, 3))
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets()[5], [24.5, 14.5])


def test_edges_follow_the_threshold():
    strong = plot_attention_graph(chain(6), threshold=0.8)
    weak = plot_attention_graph(chain(6), threshold=0.5)
    assert (len(lines(strong, BLUE)), len(lines(weak, BLUE))) == (0, 6)


def test_words_stand_beside_their_tokens():
    figure = plot_attention_graph(chain(3), labels=["the", "cat", "sees"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["the", "cat", "sees"]


def test_figures_can_be_saved(tmp_path):
    plot_attention_graph(chain(4), image=np.zeros((8, 8))).savefig(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (torch.rand(3, 4), {}, r"has shape \(3, 4\)"),
        (torch.rand(3, 3), {"skip": 3}, "has shape"),
        (torch.rand(5, 5), {"image": np.zeros((8, 8))}, "5 tokens for a grid of 2 x 2"),
    ],
)
def test_errors(maps, options, message):
    with pytest.raises(InputError, match=message):
        plot_attention_graph(maps, **options)
