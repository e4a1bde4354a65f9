"""The page for those who come from other libraries: its names exist, and no class of theirs is missing."""

import ast
import inspect
import re
from functools import reduce
from pathlib import Path

import gudhi.representations
import persim
import pytest

import topodl

PAGE = (Path(__file__).parents[1] / "docs" / "peers.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`.*?`) \| (.*) \|$", PAGE, re.MULTILINE)
SECTIONS = dict(zip(*[iter(re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)[1:])] * 2, strict=True))
# What stands in quotes and is not ours: other packages, and lines of Python.
OTHERS = (
    "torch.",
    "numpy.",
    "sklearn.",
    "scipy.",
    "series.",
    "features.",
    "(d.",
    "imshow",
    "FunctionTransformer",
)
OTHERS += ("weights", "dims")


def quoted(cell):
    return [code for code in re.findall(r"`([^`]+)`", cell) if not code.startswith(OTHERS)]


def resolved(code):
    """Return what the code names, after a check that it takes the keywords that it is called with."""
    tree = ast.parse(code, mode="eval").body
    call = tree if isinstance(tree, ast.Call) else None
    found = reduce(getattr, ast.unparse(call.func if call else tree).split("."), topodl)
    if call:
        inspect.signature(found).bind_partial(
            *call.args, **{keyword.arg: keyword.value for keyword in call.keywords}
        )
    return found


@pytest.mark.parametrize(("theirs", "ours"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_has_a_name_or_says_why_not(theirs, ours):
    for code in quoted(ours):
        resolved(code)
    named, _, reason = ours.partition("— ")
    assert quoted(named) or len(reason.split()) >= 5
    assert not reason or reason.endswith(".")


def test_every_library_has_a_guide_and_a_table():
    assert list(SECTIONS) == [
        *("giotto-tda", "GUDHI", "persim, ripser and scikit-tda", "torch-topological", "giotto-deep", "dect"),
    ]
    for text in SECTIONS.values():
        assert "*Where " in text
        assert "```python" in text
        assert text.count("\n| ") > 5


def test_nothing_of_the_peers_is_missing():
    classes = [name for name, kind in vars(gudhi.representations).items() if inspect.isclass(kind)]
    for section, names in (("GUDHI", classes), ("persim, ripser and scikit-tda", persim.__all__)):
        rows = re.findall(r"^\| (`.*?`) \| .* \|$", SECTIONS[section], re.MULTILINE)
        listed = re.findall(r"`([^`]+)`", " ".join(rows))
        assert set(names) <= set(listed)
        assert len(listed) == len(set(listed))


@pytest.mark.parametrize("code", ["layers.NoSuchLayer", "layers.BarSelector(no_such_option=1)"])
def test_a_wrong_name_is_found(code):
    with pytest.raises((AttributeError, TypeError)):
        resolved(code)
