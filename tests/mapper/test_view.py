"""Pages of Mapper graphs: what is in the file, without a browser."""

import base64
import hashlib
import json
import math
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image

from tests.html_page import Page
from topodl import InputError
from topodl.mapper import MapperGraph
from topodl.mapper._drawn_graph import draw_graph
from topodl.mapper._shown_columns import (
    color_limits,
    column_limits,
    node_classes,
    node_means,
    ramp_color,
    read_columns,
)

NODES = [[0, 1], [1, 2, 3], [3, 4, 6], [7]]
N = 9  # sample 5 and 8 are in no node
HEIGHT = [0.0, 1.0, 3.0, math.nan, 5.0, 6.0, 7.0, math.nan, 9.0]
KIND = ["ant", "ant", "bee", "ant", "bee", "cat", "bee", "ant", "ant"]
HARMFUL = "</script><b onclick='alert(1)'>&amp;\u2028\"\x00"


@pytest.fixture
def graph():
    return MapperGraph.from_nodes(NODES, N)


def read(path):
    """Return the text of a page, its parsed form, and the data that its script reads."""
    html = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="graph-data">(.*?)</script>', html, re.DOTALL)
    return html, Page(html), json.loads(data)


def assert_stands_alone(html):
    rest = html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|url\((?!#)|\bsrc=\"(?!data:)|<link", rest)


def test_the_page_has_the_graph_and_stands_alone(graph, tmp_path):
    path = graph.view(tmp_path / "new" / "mapper.html", color={"height": HEIGHT, "kind": KIND})
    html, page, data = read(path)
    assert path == tmp_path / "new" / "mapper.html"
    assert [each.name for each in path.parent.iterdir()] == ["mapper.html"]
    assert_stands_alone(html)
    assert [data["samples"][k] for k in data["members"]] == graph.node_index.tolist()
    assert data["ptr"] == graph.node_ptr.tolist()
    assert [list(pair) for pair in zip(data["sources"], data["targets"], strict=True)] == [[0, 1], [1, 2]]
    assert data["weights"] == [1, 1]
    names = [(each["name"], each["ofNodes"], each["hasMissing"]) for each in data["columns"]]
    assert names == [("height", False, True), ("kind", False, False), ("number of members", True, False)]
    assert data["columns"][0]["values"] == [0, 1, 3, None, 5, 7, None]
    assert data["columns"][1]["classes"] == ["ant", "bee", "cat"]
    assert "4 nodes, 2 edges, 7 of 9 samples." in " ".join(page.text)
    assert page.all("html")[0]["lang"] == "en"


def test_without_scripts_a_picture_and_a_table_remain(graph, tmp_path):
    html, page, data = read(graph.view(tmp_path / "mapper.html", color={"height": HEIGHT, "kind": KIND}))
    discs = page.all("circle")
    assert [(float(each["cx"]), float(each["cy"])) for each in discs] == list(
        zip(data["x"], data["y"], strict=True)
    )
    rows = re.findall(r'<tr><th scope="row">(\d)</th>(.*?)</tr>', html)
    cells = [re.findall(r"<td.*?>(.*?)</td>", row) for _, row in rows]
    assert cells == [
        ["2", "1", "0.5 ± 0.5", "ant: 2", "0, 1"],
        ["3", "2", "2 ± 1 (1 without)", "ant: 2, bee: 1", "1, 2, 3"],
        ["3", "1", "6 ± 1 (1 without)", "bee: 2, ant: 1", "3, 4, 6"],
        ["1", "0", "no value", "ant: 1", "7"],
    ]
    assert discs[3]["class"] == "missing"
    assert discs[0]["fill"] == ramp_color(0.0)
    assert discs[2]["fill"] == ramp_color(1.0)


def test_classes_are_slices(graph, tmp_path):
    html, _, _ = read(graph.view(tmp_path / "mapper.html", color={"kind": KIND}))
    (nodes,) = re.findall(r'<g class="nodes".*?</g>', html)
    slices = {color: path.count("z") for color, path in re.findall(r'fill="(.*?)" d="(.*?)"', nodes)}
    assert slices == {"#0072b2": 4, "#e69f00": 2}  # ants in every node, bees in two


def test_the_policy_lets_only_the_script_of_the_page_run(graph, tmp_path):
    html, page, _ = read(graph.view(tmp_path / "mapper.html"))
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv")]
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}';" in policy


def test_texts_of_users_are_harmless(graph, tmp_path):
    kinds = [HARMFUL, "a"] * 4 + ["a"]
    path = graph.view(
        tmp_path / "mapper.html",
        color={HARMFUL: kinds},
        node_color={f"node {HARMFUL}": [1.0, 2.0, 3.0, 4.0]},
        ids=[f"{HARMFUL}{k}" for k in range(N)],
        tooltips=[HARMFUL] * N,
        title=HARMFUL,
        description=HARMFUL,
    )
    html, page, data = read(path)
    assert "<b onclick" not in html
    assert html.count("</script>") == 2
    shown = HARMFUL.replace("\x00", "�")
    assert data["tooltips"][0] == data["columns"][0]["name"] == shown
    assert page.text.count(shown) >= 2  # title and heading, unescaped again
    assert "\x00" not in html
    assert_stands_alone(html)


def test_half_a_character_can_be_written(graph, tmp_path):
    _, _, data = read(graph.view(tmp_path / "mapper.html", ids=["\ud800"] * N))
    assert data["ids"][0] == "�"


def test_ids_and_tooltips_stand_for_the_samples(graph, tmp_path):
    names = [f"row {k}" for k in range(N)]
    html, _, data = read(graph.view(tmp_path / "mapper.html", ids=names, tooltips=range(N)))
    assert data["ids"] == [names[k] for k in (0, 1, 2, 3, 4, 6, 7)]
    assert data["tooltips"] == [str(k) for k in (0, 1, 2, 3, 4, 6, 7)]
    assert "row 3, row 4, row 6" in html


def test_the_nearest_to_the_centre_are_shown(graph, tmp_path):
    points = torch.tensor([0.0, 1.0, 2.0, 3.5, 4.0, 0.0, 9.0, 1.0, 0.0])[:, None]
    images = torch.arange(N, dtype=torch.uint8)[:, None, None].expand(N, 5, 4)
    path = graph.view(tmp_path / "mapper.html", points=points, images=images, n_nearest=2)
    html, page, data = read(path)
    nearest = [[data["samples"][k] for k in each] for each in data["nearest"]]
    assert nearest == [[0, 1], [2, 1], [4, 3], [7]]  # centres 0.5, 13 / 6, 5.5, 1
    assert {data["samples"][int(k)] for k in data["pictures"]} == {0, 1, 2, 3, 4, 7}
    assert [each["id"] for each in page.all("img")] == ["atlas-0"]
    assert_stands_alone(html)


def test_images_may_be_a_list_of_tensors_or_pictures(graph, tmp_path):
    levels = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2)
    lists = [torch.from_numpy(levels).unbind(), [Image.fromarray(each) for each in levels]]
    pages = [
        graph.view(tmp_path / f"{k}.html", images=each) for k, each in enumerate([levels, *map(list, lists)])
    ]
    first, *others = [page.read_bytes() for page in pages]
    assert all(other == first for other in others)


def test_an_empty_graph_and_one_node_have_a_page(tmp_path):
    for nodes in ([], [[0]]):
        graph = MapperGraph.from_nodes(nodes, 3)
        html, _, data = read(graph.view(tmp_path / "mapper.html", color=["a", "b", "c"]))
        assert len(data["x"]) == len(nodes)
        assert f"{len(nodes)} node{'s' * (len(nodes) != 1)}, 0 edges" in html


def test_a_large_graph_is_a_small_file(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [np.arange(6 * k, 6 * k + 10) % 12_000 for k in range(2_000)]
    graph = MapperGraph.from_nodes(nodes, 12_000)
    columns = {"class": rng.integers(0, 10, 12_000), **dict(zip("xyz", rng.random((3, 12_000)), strict=True))}
    places = rng.random((2_000, 2))
    path = graph.view(tmp_path / "mapper.html", color=columns, positions=places)
    assert len(graph.node_index) == 20_000
    assert path.stat().st_size < 3e6


def test_the_same_graph_gives_the_same_page(graph, tmp_path):
    pages = [graph.view(tmp_path / f"{k}.html", color={"kind": KIND}).read_bytes() for k in range(2)]
    assert pages[0] == pages[1]


def test_notebooks_show_the_picture(graph):
    page = Page(graph._repr_html_())
    assert len(page.all("circle")) == 4
    assert page.all("svg")[0]["role"] == "img"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": {"height": [1.0]}}, r"color\['height'\] has shape \(1,\); expected shape \(9,\)"),
        ({"color": {"height": [*HEIGHT[:8], math.inf]}}, r"color\['height'\]\[8\] is infinite"),
        ({"color": {"height": [1j] * N}}, r"color\['height'\] has dtype complex128"),
        (
            {"color": {"a": np.array([*KIND[:8], np.zeros(2)], dtype=object)}},
            r"color\['a'\]\[8\] is a ndarray",
        ),
        ({"color": {"name": [f"{k}" for k in range(9)], "number of members": HEIGHT}}, "second column"),
        ({"color": {"a": KIND}, "node_color": {"a": [1.0] * 4}}, "second column 'a'"),
        ({"node_color": {"height": HEIGHT}}, r"expected shape \(4,\), one value a node"),
        ({"ids": ["a"]}, "ids has length 1; expected 9 texts"),
        ({"tooltips": "nine text"}, "tooltips has length 9; expected 9 texts"),
        ({"points": np.zeros((3, 2))}, "points has length 3; expected 9"),
        ({"points": np.full((N, 2), np.nan)}, r"points\[0\] has a value that is not finite"),
        ({"points": np.full((N, 2), "a")}, "points has dtype"),
        ({"images": np.zeros((N, 2))}, r"images\[0\] has shape \(2,\)"),
        ({"images": [np.zeros((2, 2)), *[np.zeros((3, 3))] * 8]}, "images have 2 shapes"),
        ({"positions": np.zeros((4, 3))}, r"positions has shape \(4, 3\)"),
        ({"positions": [[0, 0], [0, math.nan], [0, 1], [1, 1]]}, r"positions\[1\] is \[0.0, nan\]"),
        ({"n_nearest": -1}, "n_nearest is -1"),
    ],
)
def test_errors_name_the_argument(graph, tmp_path, options, message):
    with pytest.raises(InputError, match=f"MapperGraph.view: .*{message}"):
        graph.view(tmp_path / "mapper.html", **options)
    assert list(tmp_path.iterdir()) == []


# Columns


def columns_of(given, n=N):
    return read_columns("f", "color", given, n, of_nodes=False)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([3, 1, 3], ("1", "3")),
        ([10, 9, 10], ("9", "10")),
        ([True, False, True], ("False", "True")),
        (["b", None, "a"], ("a", "b")),
        (np.array(["b", math.nan, "a"], dtype=object), ("a", "b")),
        ([1.0, 2.0, 2.0], None),
        ([1.0, None, 2.0], None),
        (torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16, requires_grad=True), None),
    ],
)
def test_what_is_a_class_and_what_is_measured(values, classes):
    (column,) = columns_of({"c": values}, 3)
    assert column.classes == classes


def test_many_integers_are_measured_and_many_texts_refused():
    (column,) = columns_of({"c": range(21)}, 21)
    assert column.classes is None
    with pytest.raises(InputError, match=r"color\['c'\] has 101 classes; expected at most 100"):
        columns_of({"c": [str(k) for k in range(101)]}, 101)


def test_data_frames_and_single_columns_are_read():
    frame = pd.DataFrame({"a": [1.5, None], "b": pd.Categorical(["x", "y"])})
    assert [(c.name, c.classes) for c in columns_of(frame, 2)] == [("a", None), ("b", ("x", "y"))]
    assert [c.name for c in columns_of(frame["a"], 2)] == ["a"]
    (nullable,) = columns_of(pd.Series([7, None], dtype="Int64"), 2)
    assert_allclose(nullable.values, [7, math.nan])
    (words,) = columns_of({"c": pd.Series(["b", None], dtype="string")}, 2)
    assert words.classes == ("b",)
    polars = pl.DataFrame({"a": [1.5, None], "b": ["x", "y"]})
    assert [(c.name, c.classes) for c in columns_of(polars, 2)] == [("a", None), ("b", ("x", "y"))]
    assert [c.name for c in columns_of([1.0, 2.0], 2)] == ["color"]
    assert columns_of(None) == []


VALUES = st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=N, max_size=N)


@given(VALUES, st.lists(st.sets(st.integers(0, N - 1), min_size=1), min_size=1, max_size=5))
def test_statistics_equal_a_loop(values, nodes):
    drawn = draw_graph("f", MapperGraph.from_nodes(nodes, N))
    (column,) = columns_of({"c": values})
    means, deviations, missing = node_means(column, drawn)
    for k, node in enumerate(nodes):
        known = [values[sample] for sample in node if not math.isnan(values[sample])]
        assert missing[k] == len(node) - len(known)
        if known:
            assert_allclose([means[k], deviations[k]], [np.mean(known), np.std(known)], rtol=1e-9, atol=1e-6)
        else:
            assert math.isnan(means[k])


def test_means_of_the_largest_numbers_are_finite():
    drawn = draw_graph("f", MapperGraph.from_nodes([[0, 1]], 2))
    (column,) = columns_of({"c": [1.5e308, 1.7e308]}, 2)
    assert_allclose(node_means(column, drawn)[0], [1.6e308])


def test_classes_are_counted():
    drawn = draw_graph("f", MapperGraph.from_nodes(NODES, N))
    (column,) = columns_of({"c": [*KIND[:7], None, "ant"]})
    assert node_classes(column, drawn).tolist() == [[2, 0, 0, 0], [2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("values", "limits", "beyond"),
    [
        ([], (0.0, 1.0), (False, False)),
        ([math.nan], (0.0, 1.0), (False, False)),
        ([2.0, 2.0], (2.0, 2.0), (False, False)),
        (range(100), (0.0, 99.0), (False, False)),
        ([*range(100), 1e9], (2.0, 98.0), (True, True)),
        ([-1e308, 1e308], (-1e308, 1e308), (False, False)),
    ],
)
def test_a_scale_leaves_out_what_lies_far_away(values, limits, beyond):
    assert color_limits(values) == (limits, beyond)


def test_nodes_of_one_sample_do_not_stretch_the_scale_of_large_nodes():
    nodes = [range(50), range(50, 100), [100], [101]]
    drawn = draw_graph("f", MapperGraph.from_nodes(nodes, 102))
    (column,) = columns_of([*[1.0] * 50, *[2.0] * 50, -70.0, 80.0], 102)
    (low, high), beyond = column_limits(column, drawn)
    assert_allclose([low, high], [1.0, 2.0])
    assert beyond == (True, True)


# Drawings


@given(st.lists(st.tuples(*[st.floats(-1e308, 1e308)] * 2), min_size=4, max_size=4))
def test_a_drawing_fits_its_box_whatever_the_places(places):
    drawn = draw_graph("f", MapperGraph.from_nodes(NODES, N), torch.tensor(places, dtype=torch.float64))
    low, high = drawn.places - drawn.radii[:, None], drawn.places + drawn.radii[:, None]
    assert (low >= -1e-6).all()
    assert (high <= np.array([drawn.width, drawn.height]) + 1e-6).all()
    assert (drawn.radii > 0).all()


def test_areas_grow_with_members_and_y_points_down():
    nodes = [range(4), range(4, 20), range(20, 84)]
    drawn = draw_graph("f", MapperGraph.from_nodes(nodes, 84), [[0.0, 0.0], [5.0, 0.0], [0.0, 10.0]])
    assert_allclose(drawn.radii / drawn.radii[2], [0.25, 0.5, 1.0])
    assert drawn.places[2, 1] < drawn.places[0, 1]
