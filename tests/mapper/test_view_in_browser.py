"""Pages of Mapper graphs in a real browser: pointer, keys, touch, colour schemes, and scripts off."""

import re
import time

import numpy as np
import pytest
import torch

from tests.mapper.browser import Browser, find_browser
from topodl.mapper import MapperGraph

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")

NODES = [[0, 1], [1, 2, 3], [3, 4, 6], [7]]
PLACES = [[0, 0], [1, 0], [2, 0], [1, 2]]
HEIGHT = [0.0, 1.0, 3.0, np.nan, 5.0, 6.0, 7.25, np.nan]
TINY = [1.5e-7, 2.5e-7, 3.21e-5, 4.0, -6e9, 0.0, 1.0, 1234567.0]
KIND = ["ant", "ant", "bee", "ant", "bee", "cat", "</script><b>", "ant"]
IDS = [f"row {k}" for k in range(7)] + ['say "a, b"']
SHIFT, CONTROL = 8, 2


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(find_browser(), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    graph = MapperGraph.from_nodes(NODES, 8)
    return graph.view(
        tmp_path_factory.mktemp("view") / "mapper.html",
        color={"kind": KIND, "height": HEIGHT, "tiny": TINY},
        node_color={"error": [0.5, 0.25, 0.125, 0.0]},
        ids=IDS,
        tooltips=[f"it is {kind}" for kind in KIND],
        images=torch.arange(8, dtype=torch.uint8)[:, None, None].expand(8, 3, 4) * 30,
        points=np.arange(8.0)[:, None],
        positions=PLACES,
    )


@pytest.fixture
def page(browser, path):
    """The page, opened wide; the browser saw no fault and no other address when it was done."""
    browser.open(path)
    yield browser
    assert browser.faults() == []


def text(page, selector):
    return page.evaluate(f"document.querySelector({selector!r}).innerText")


def pixel_of(page, node):
    """Return where a node is in the window."""
    canvas = "document.getElementById('picture')"
    left, top = page.evaluate(f"(({{left, top}}) => [left, top])({canvas}.getBoundingClientRect())")
    x, y = page.evaluate(f"{canvas}.pixelOf({node})")
    return x + left, y + top


def color_at(page, x, y):
    canvas = "document.getElementById('picture')"
    return page.evaluate(
        f"(() => {{ const box = {canvas}.getBoundingClientRect();"
        f"return [...{canvas}.getContext('2d').getImageData({x} - box.left, {y} - box.top, 1, 1).data] }})()"
    )


def point_at(page, node):
    page.mouse("Moved", *pixel_of(page, node))
    page.settle()


def choose(page, control, value, event="change"):
    page.evaluate(
        f"(() => {{ const e = document.getElementById({control!r}); e.value = {value!r};"
        f"e.dispatchEvent(new Event({event!r})) }})()"
    )
    page.settle()


def samples(page):
    return page.evaluate("document.getElementById('samples').value").splitlines()


def test_the_pointer_shows_what_the_table_says(page):
    rows = page.evaluate(
        "[...document.querySelectorAll('#node-table tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    for node, members, edges, kind, height, tiny, error, _ in rows:
        point_at(page, int(node))
        facts = page.evaluate("[...document.querySelectorAll('#details dd')].map(each => each.textContent)")
        assert text(page, "#details-title") == f"Node {node}"
        assert facts == [members, edges, error, kind, height, tiny]
        assert f"node {node}, {members} member" in text(page, "#label")
    page.mouse("Moved", 1200, 790)
    page.settle()
    assert "Point at a node" in text(page, "#details")


def test_thumbnails_of_the_nearest_are_drawn(page):
    point_at(page, 1)
    assert text(page, ".thumbnails").split("\n")[0] == "row 2"
    levels = page.evaluate(
        "[...document.querySelectorAll('.thumbnails canvas')].map(c => "
        "[c.width, c.height, c.getContext('2d').getImageData(1, 1, 1, 1).data[0]])"
    )
    assert levels == [[4, 3, 60], [4, 3, 30], [4, 3, 90]]
    assert "it is bee" in text(page, ".thumbnails")


def test_another_column_has_other_colours_and_its_legend(page):
    x, y = pixel_of(page, 0)
    assert color_at(page, x, y)[:3] == [230, 159, 0]  # that of ants
    assert text(page, "#legend").split("\n")[:4] == ["</script><b>", "ant", "bee", "cat"]
    choose(page, "color", "1")
    assert "mean height of the node's members" in text(page, "#legend")
    assert re.search(r"0\.5\s+6\.125", text(page, "#legend"))
    assert "no value" in text(page, "#legend")
    assert color_at(page, x, y)[:3] == [68, 1, 84]
    assert color_at(page, *pixel_of(page, 2))[:3] == [253, 231, 37]
    choose(page, "color", "3")
    assert "error of the node" in text(page, "#legend")
    assert color_at(page, x, y)[:3] == [253, 231, 37]


def test_the_slider_hides_small_nodes(page):
    place = pixel_of(page, 3)
    assert text(page, "#shown") == "4 of 4 nodes shown"
    choose(page, "least", "1", "input")
    assert text(page, "#least-value") == "2"
    assert text(page, "#shown") == "3 of 4 nodes shown"
    assert color_at(page, *place)[3] == 0
    choose(page, "least", "2", "input")
    assert text(page, "#shown") == "2 of 4 nodes shown"


def lasso_around(page, nodes, **options):
    places = np.array([pixel_of(page, node) for node in nodes])
    (left, top), (right, bottom) = places.min(0) - 30, places.max(0) + 30
    page.drag([(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 1)], **options)


def test_a_lasso_lists_the_samples(page):
    lasso_around(page, [0, 1], modifiers=SHIFT)
    assert text(page, "#selection-note").startswith("2 nodes, 4 samples")
    assert "1.333 ± 1.247 (1 without)" in text(page, "#selection-note")
    assert samples(page) == ["row 0", "row 1", "row 2", "row 3"]
    page.evaluate("document.getElementById('lasso').click()")
    lasso_around(page, [3])
    assert samples(page) == ['say "a, b"']
    page.evaluate("document.getElementById('clear').click()")
    assert page.evaluate("document.getElementById('selection-body').hidden")


def test_clicks_select_and_add(page):
    page.click(*pixel_of(page, 2))
    assert samples(page) == ["row 3", "row 4", "row 6"]
    page.click(*pixel_of(page, 3), modifiers=CONTROL)
    assert samples(page) == ["row 3", "row 4", "row 6", 'say "a, b"']
    page.click(*pixel_of(page, 3), modifiers=CONTROL)
    page.click(*pixel_of(page, 1))
    assert samples(page) == ["row 1", "row 2", "row 3"]


def test_the_selection_is_saved_as_csv(page, tmp_path):
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    lasso_around(page, [1, 2, 3], modifiers=SHIFT)
    page.evaluate("document.getElementById('save').click()")
    file = tmp_path / "samples.csv"
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.1)
    assert file.read_text(encoding="utf-8-sig").splitlines() == [
        "sample,nodes,kind,height,tiny",
        "row 1,1,ant,1,2.5e-7",
        "row 2,1,bee,3,0.0000321",
        "row 3,1 2,ant,,4",
        "row 4,2,bee,5,-6000000000",
        "row 6,2,</script><b>,7.25,1",
        '"say ""a, b""",3,ant,,1234567',
    ]


def test_the_selection_is_copied(page):
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.click(*pixel_of(page, 0))
    page.evaluate("document.getElementById('copy').click()")
    page.evaluate("new Promise(done => setTimeout(done, 100))")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == ["row 0", "row 1"]
    assert text(page, "#copy") == "Copied"


def test_keys_reach_every_node(page):
    page.evaluate("document.getElementById('picture').focus()")
    page.key("ArrowRight")
    assert text(page, "#details-title") == "Node 0"
    assert "node 0, 2 members, kind ant: 2" in text(page, "#spoken")
    for key, title in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowRight", 2), ("ArrowUp", 3)):
        page.key(key)
        assert text(page, "#details-title") == f"Node {title}"
    page.key("Enter")
    assert samples(page) == ['say "a, b"']
    assert text(page, "#spoken").endswith("selected")
    page.key("e")
    assert text(page, "#expand") == "Collapse"
    before = pixel_of(page, 3), pixel_of(page, 0)
    page.key("+")
    assert pixel_of(page, 0)[1] - pixel_of(page, 3)[1] > 1.2 * (before[1][1] - before[0][1])
    page.key("0")
    page.key("Escape")
    assert page.evaluate("document.getElementById('selection-body').hidden")


def test_a_node_expands_to_its_samples(page):
    x, y = pixel_of(page, 1)
    page.click(x, y, clicks=2)
    found = set()
    for number in range(3):  # they lie as seeds in a sunflower, of which each is a golden angle further
        angle = number * np.pi * (3 - np.sqrt(5))
        for distance in range(20, 130, 6):
            page.mouse("Moved", x + distance * np.cos(angle), y + distance * np.sin(angle))
            title = text(page, "#details-title")
            if title.startswith("Sample") and title not in found:
                found.add(title)
                assert page.evaluate("document.querySelectorAll('#details .thumbnails li').length") == 1
                assert text(page, "#label").startswith(title.replace("Sample", "sample"))
    assert found == {"Sample row 1", "Sample row 2", "Sample row 3"}


def test_samples_are_shown_by_a_class_or_a_range(page):
    page.evaluate("document.querySelectorAll('#filter-body input')[1].click()")  # without ants
    point_at(page, 1)
    assert text(page, "#details").split("\n")[1:3] == ["members", "1 (2 hidden)"]
    assert text(page, "#shown") == "2 of 4 nodes shown"  # no node but these has others
    page.evaluate("document.querySelectorAll('#filter-body input')[1].click()")
    choose(page, "filter", "1")
    page.evaluate(
        "(() => { const e = document.querySelector('#filter-body input'); e.value = '4';"
        "e.dispatchEvent(new Event('change'));"
        "document.querySelectorAll('#filter-body input')[2].click() })()"
    )
    assert text(page, "#shown") == "1 of 4 nodes shown"
    page.click(*pixel_of(page, 2))
    assert samples(page) == ["row 4", "row 6"]
    assert "height (filtered)" in text(page, "#filter")


def test_a_sample_is_found_by_its_name(page):
    page.evaluate("document.getElementById('find').value = 'row 3'")
    page.evaluate("document.getElementById('find-form').requestSubmit()")
    assert text(page, "#found") == "in nodes 1, 2"
    assert text(page, "#selection-note").startswith("2 nodes, 5 samples")
    page.evaluate("document.getElementById('find').value = 'row 5'")  # in no node
    page.evaluate("document.getElementById('find-form').requestSubmit()")
    assert text(page, "#found") == "no shown node has a sample named “row 5”"


def test_the_picture_moves_and_zooms(page):
    (x, y), other = pixel_of(page, 0), pixel_of(page, 2)
    page.drag([(400, 300), (420, 310), (450, 340)])
    assert pixel_of(page, 0) == pytest.approx((x + 50, y + 40))
    place = pixel_of(page, 0)
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=place[0], y=place[1], deltaX=0, deltaY=-200)
    page.settle()
    assert pixel_of(page, 0) == pytest.approx(place, abs=1)
    assert pixel_of(page, 2)[0] - place[0] > 1.3 * (other[0] - x)
    page.evaluate("document.getElementById('fit').click()")
    assert pixel_of(page, 0) == pytest.approx((x, y))


def test_a_phone_has_room_for_all_and_pinches(browser, path):
    browser.open(path, width=390, height=844)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.evaluate(overflow) == 0
    before = pixel_of(browser, 2)[0] - pixel_of(browser, 0)[0]
    middle = 300
    for kind, half in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        points = [{"x": 195 + s * half, "y": middle, "id": i} for i, s in enumerate((-1, 1))] if half else []
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.settle()
    assert pixel_of(browser, 2)[0] - pixel_of(browser, 0)[0] == pytest.approx(2 * before, rel=0.05)
    browser.evaluate("document.getElementById('fit').click()")
    x, y = pixel_of(browser, 1)
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.settle()
    assert text(browser, "#details-title") == "Node 1"
    assert samples(browser) == ["row 1", "row 2", "row 3"]
    assert browser.faults() == []


def test_the_dark_scheme_is_followed(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    x, y = np.mean([pixel_of(page, 0), pixel_of(page, 1)], axis=0)  # on an edge
    light = color_at(page, x, y)
    page.set_dark(True)
    page.settle()
    assert page.evaluate(paper) == "rgb(18, 22, 28)"
    assert sum(color_at(page, x, y)[:3]) < sum(light[:3])


def test_without_scripts_a_picture_and_tables_remain(browser, path):
    browser.open(path, scripts=False)
    document = browser.call("DOM.getDocument")["root"]["nodeId"]

    def box_of(selector):
        node = browser.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        try:
            return browser.call("DOM.getBoxModel", nodeId=node)["model"]
        except RuntimeError:  # what is not shown has no box
            return None

    assert box_of("#app") is None
    assert box_of("#still svg")["width"] > 1000
    assert box_of("#tables summary")["height"] > 0
    assert browser.faults() == []


def test_an_empty_graph_opens(browser, tmp_path):
    browser.open(MapperGraph.from_nodes([], 3).view(tmp_path / "mapper.html", color=["a", "b", "c"]))
    assert text(browser, "#shown") == "0 of 0 nodes shown"
    browser.evaluate("document.getElementById('picture').focus()")
    browser.key("ArrowRight")
    assert browser.faults() == []
