"""The site's own extensions: what names lead to, and what becomes of docstrings."""

import importlib.util
import types
from pathlib import Path

import pytest

pytest.importorskip("sphinx")

FOLDER = Path(__file__).parents[1] / "docs" / "_ext"
TORCH, SKLEARN = "https://docs.pytorch.org/docs/stable/", "https://scikit-learn.org/stable/modules/generated/"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


names, docstrings = load("names"), load("docstrings")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("torch.nn.Module", f"{TORCH}generated/torch.nn.Module.html"),
        ("torch.nn.modules.module.Module", f"{TORCH}generated/torch.nn.Module.html"),
        ("torch.Tensor", f"{TORCH}tensors.html#torch.Tensor"),
        ("Tensor", f"{TORCH}tensors.html#torch.Tensor"),
        ("torch.utils.data.DataLoader", f"{TORCH}data.html#torch.utils.data.DataLoader"),
        ("sklearn.pipeline.make_pipeline", f"{SKLEARN}sklearn.pipeline.make_pipeline.html"),
        ("numpy.ndarray", "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html"),
        ("torch.nonsense", None),
        ("torch", None),
        ("os.path", None),
    ],
)
def test_names_of_other_libraries_lead_to_their_pages(name, address):
    assert names.address_outside(name) == address


def reference(*found):
    objects = {
        name: types.SimpleNamespace(objtype=kind.removeprefix("alias of "), aliased="alias" in kind)
        for name, kind in found
    }
    return types.SimpleNamespace(domains={"py": types.SimpleNamespace(objects=objects)})


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("topodl.losses.ClDiceLoss", "topodl.losses.ClDiceLoss"),
        ("ClDiceLoss", "topodl.losses.ClDiceLoss"),
        ("cldice", "topodl.losses.ClDiceLoss"),
        ("Mapper", "topodl.mapper.Mapper"),
        ("topodl.Mapper", "topodl.mapper.Mapper"),
        ("topodl.mapper.estimator.Mapper", "topodl.mapper.Mapper"),
        ("Mapper.fit", "topodl.mapper.Mapper.fit"),
        ("rtd", None),  # two have that name
        ("fit", None),
        ("nonsense", None),
    ],
)
def test_names_of_topodl_lead_to_one_page_or_none(name, full):
    env = reference(
        ("topodl.losses.ClDiceLoss", "class"),
        ("topodl.losses.cldice.ClDiceLoss", "alias of class"),
        ("topodl.mapper", "module"),
        ("topodl.mapper.Mapper", "class"),
        ("topodl.mapper.Mapper.fit", "method"),
        ("topodl.rtd", "function"),
        ("topodl.attention.rtd", "function"),
    )
    assert names.full_name(env, name) == full


def test_shapes_and_papers_are_prepared_and_examples_are_not():
    lines = ["Takes (B, *S), |b - d|, `f(*x)`; arXiv:2211.15272.", "    >>> f(*x)"]
    docstrings.prepare(None, "function", "f", None, None, lines)
    paper = "`arXiv:2211.15272 <https://arxiv.org/abs/2211.15272>`__"
    assert lines == [rf"Takes (B, \*S), \|b - d\|, `f(*x)`; {paper}.", "    >>> f(*x)"]
