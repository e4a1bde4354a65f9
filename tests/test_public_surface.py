"""What `import topodl` shows, and what it does not load."""

import subprocess
import sys

import pytest

import topodl


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
