"""What `import topodl` shows, and what it does not load."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import topodl

from .test_docstrings import MODULES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted({*topodl.__all__, *topodl._SUBMODULES}))
def test_every_public_name_loads(name):
    assert name in dir(topodl)
    assert getattr(topodl, name) is not None


def test_public_names_have_one_home_each():
    assert sorted(topodl._HOMES) == sorted(topodl.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'topodl' has no attribute 'nonsense'"):
        _ = topodl.nonsense


def test_import_loads_nothing_heavy():
    heavy = ["numba", "sklearn", "torchmetrics", "matplotlib", "gudhi", "scipy", "skimage", "pandas", "monai"]
    code = (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "import topodl\n"
        f"print([m for m in {heavy} if m in set(sys.modules) - before])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def directives(text):
    """Return each directive of a page, (kind, argument, options, names below it)."""
    found = []
    for match in re.finditer(r"^\.\. (\w+):: ?(.*)\n((?:[ \t]+.*\n|\n(?=[ \t]))*)", text, re.MULTILINE):
        body = [line.strip() for line in match[3].splitlines() if line.strip()]
        options = {line.split(":")[1] for line in body if line.startswith(":")}
        found.append((match[1], match[2].strip(), options, [line for line in body if line[0] != ":"]))
    return found


def look_up(path):
    """Return the object of a dotted name: an attribute, or else a module."""
    names = path.split(".")
    value = importlib.import_module(names[0])
    for end, name in enumerate(names[1:], 2):
        if not hasattr(value, name):
            importlib.import_module(".".join(names[:end]))
        value = getattr(value, name)
    return value


def on_the_page(text):
    """Return the identity of each object that the reference documents; fails on a name that is nowhere."""
    found = set()
    for kind, argument, options, names in directives(text):
        if kind == "autosummary" and "template" in options:  # modules, with a table of their names each
            for name in names:
                values = [getattr(look_up(name), each) for each in look_up(name).__all__]
                found |= {id(value) for value in values if callable(value)}  # data has no docstring
        elif kind == "autosummary":
            found |= {id(look_up(name)) for name in names}
        elif kind == "autodata":
            found.add(id(look_up(argument)))
    return found


def test_the_reference_has_every_public_name():
    page = on_the_page((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    public = [f"{module}.{name}" for module in MODULES for name in look_up(module).__all__]
    assert [name for name in public if id(look_up(name)) not in page] == []


@pytest.mark.parametrize("template", ["", "   :template: autosummary/module.rst\n"])
def test_a_name_that_is_nowhere_fails(template):
    with pytest.raises(ModuleNotFoundError):
        on_the_page(f".. autosummary::\n   :toctree: x\n{template}\n   topodl.nonsense\n")


def test_guides_and_examples_import_from_public_modules():
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "docs" / "gallery_src").rglob("*.py"),
        *(ROOT / "docs" / "tutorials_src").glob("*.py"),
    ]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "topodl").rglob("*.py")]
    texts += ["\n".join(re.findall(r"^ *(?:>>>|\.\.\.) (.*)$", source, re.MULTILINE)) for source in sources]
    imports = r"^\s*(?:from (topodl[\w.]*) import|import (topodl[\w.]*))"
    found = {a or b for text in texts for a, b in re.findall(imports, text, re.MULTILINE)}
    assert found <= {*MODULES}
