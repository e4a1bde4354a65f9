"""Every public name says what shapes it takes and gives, runs an example, and names its source.

What has none of one of these is listed below with the reason; a name that has it all the same is listed for
nothing, and fails.
"""

import dataclasses
import importlib
import inspect
import re

import pytest

import topodl
from topodl._docs import entries_of, names_of, sections_of

# Where users import from. That guides and examples import from nowhere else is a test in test_public_surface.
MODULES = [
    "topodl",
    *(f"topodl.{name}" for name in sorted(topodl._SUBMODULES)),
    "topodl.attention.plotting",
    "topodl.hooks",
    "topodl.representations.manifolds",
    *(f"topodl.integrations.{name}" for name in ("ignite", "lightning", "nnunet", "pyg", "transformers")),
]

# A shape, as (B, H, W), (N,), (…), (2 * K, n) or shape (), or the word for a number.
SHAPE = re.compile(
    r"\((?:\*?[A-Zn…de2]\w*|\d|…|[a-z_]+)(?: ?[·*+−-] ?\w+)*,(?:[^()]|\([^()]*\))*\)"
    r"|\(…\)|shape \(\)|[Ss]calar"
)
ARRAY = re.compile(r"Tensor|ndarray|\bArray\b")
ARRAY_IN_WORDS = re.compile(r"Tensor|ndarray|\barrays?\b|tensors?\b")

NO_EXAMPLE: dict[str, set[str]] = {}

NO_SOURCE = {
    "says what went wrong": {
        "topodl.InputError",
        "topodl.MemoryLimitError",
        "topodl.MissingDependencyError",
    },
    "sets how many threads there are": {"topodl.get_num_threads", "topodl.set_num_threads"},
    "holds what others compute, and they name their source": {
        "topodl.TopologicalFeatures",
        "topodl.attach",
        "topodl.attention.AttentionRecorder",
        "topodl.attention.AttentionSample",
        "topodl.attention.record",
        "topodl.datasets.Bags",
        "topodl.datasets.Cloud",
        "topodl.datasets.Graph",
        "topodl.datasets.GraphCollection",
        "topodl.datasets.Image",
        "topodl.datasets.LabelledPoints",
        "topodl.datasets.SignedShapes",
        "topodl.evaluation.RunFolder",
        "topodl.hooks.Attachment",
        "topodl.losses.PendingLoss",
    },
    "draws what others compute": {
        "topodl.attention.plotting.plot_attention_graph",
        "topodl.attention.plotting.plot_head_scores",
        "topodl.plotting.plot_barcode",
        "topodl.plotting.plot_betti_curve",
        "topodl.plotting.plot_critical_pixels",
        "topodl.plotting.plot_diagram",
        "topodl.plotting.plot_euler_transform",
    },
    "connects to a library that the page names": {
        "topodl.integrations.ignite.LossProgress",
        "topodl.integrations.ignite.MetricHandler",
        "topodl.integrations.lightning.LossProgress",
        "topodl.integrations.nnunet.trainer_folder",
        "topodl.integrations.pyg.AddFeatures",
        "topodl.integrations.pyg.cell_tensors",
        "topodl.integrations.pyg.clouds",
        "topodl.integrations.pyg.complexes_of",
        "topodl.integrations.pyg.degree_graph",
        "topodl.integrations.transformers.AttentionPenaltyTrainer",
        "topodl.integrations.transformers.LossProgress",
    },
    "says what is handed in": {"topodl.evaluation.StudySplits"},
    "is the base of losses, each with a source of its own": {"topodl.losses.SegmentationLoss"},
    "is a construction of this package": {"topodl.datasets.make_graph", "topodl.losses.FeatureCountLoss"},
}

NO_SHAPE: dict[str, set[str]] = {}


def public_objects():
    """Return each public class and function by one of its names."""
    found = {}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(value, f"{module.__name__}.{name}")
    return {name: value for value, name in found.items()}


def function_of(value):
    """Return the function behind a method, class method, static method or property; None for other values."""
    value = getattr(value, "fget", value)
    value = inspect.unwrap(getattr(value, "__func__", value))
    return value if inspect.isfunction(value) else None


def public_methods(name, value):
    """Return the methods of a class, inherited ones of this package too, whose docstring has a body."""
    found = {}
    for attribute in dir(value) if inspect.isclass(value) else ():
        method = function_of(inspect.getattr_static(value, attribute))
        own = method is not None and method.__module__.startswith("topodl") and attribute[0] != "_"
        if own and "\n" in (inspect.getdoc(method) or ""):
            found[f"{name}.{attribute}"] = method
    return found


OBJECTS = public_objects()
METHODS = {k: v for name, value in OBJECTS.items() for k, v in public_methods(name, value).items()}


def has_fields(value):
    """Return whether a class is one of named fields, whose constructor nobody calls."""
    return inspect.isclass(value) and (issubclass(value, tuple) or dataclasses.is_dataclass(value))


def annotations_of(value):
    """Return the annotation of each parameter, as text; that of what a function returns by "return"."""
    if has_fields(value):
        return {}
    function = value.__init__ if inspect.isclass(value) else value
    return {name: str(text) for name, text in getattr(function, "__annotations__", {}).items()}


def missing_shapes(value):
    """Return what is a tensor or an array among parameters and result, and whose shape is left open."""
    doc = inspect.getdoc(value) or ""
    sections = sections_of(doc)
    entries = entries_of(sections.get("Parameters", ""))
    described = {name.lstrip("*"): entry for entry in entries.values() for name in names_of(entry)}
    types = {name: entry.split("\n")[0].partition(" : ")[2] for name, entry in described.items()}
    described["return"] = sections.get("Returns", "") + sections[""]
    arrays = {name for name, text in annotations_of(value).items() if ARRAY.search(text)}
    arrays |= {name for name, text in types.items() if ARRAY_IN_WORDS.search(text)}
    missing = sorted(name for name in arrays if not SHAPE.search(described.get(name, "")))
    return missing + ([] if SHAPE.search(doc) or not holds_arrays(value) else ["attributes or call"])


def holds_arrays(value):
    """Return whether a class has arrays among its fields, or computes on tensors and does not say which."""
    if not inspect.isclass(value):
        return False
    if has_fields(value):
        return any(ARRAY.search(str(text)) for text in vars(value).get("__annotations__", {}).values())
    call = next((vars(value).get(name) for name in ("forward", "transform") if name in vars(value)), None)
    return call is not None and not SHAPE.search(inspect.getdoc(call) or "")


def missing_parameters(value):
    """Return the parameters that a docstring with parameters does not describe."""
    section = sections_of(inspect.getdoc(value) or "").get("Parameters")
    if section is None:
        return []
    said = {name.lstrip("*") for entry in entries_of(section).values() for name in names_of(entry)}
    return [
        name for name in inspect.signature(value).parameters if name not in {*said, "self", "cls", "kwargs"}
    ]


def has_example(value):
    return ">>> " in (inspect.getdoc(value) or "")


def has_source(value):
    return "References" in sections_of(inspect.getdoc(value) or "")


def excepted(table):
    return {name for names in table.values() for name in names}


def faults(name):
    """Return what a docstring lacks, and what it is excepted from though it has it."""
    value = OBJECTS.get(name) or METHODS[name]
    found = [f"no shape of {argument}" for argument in missing_shapes(value)]
    if name in excepted(NO_SHAPE):
        found = [] if found else ["listed for nothing in NO_SHAPE"]
    found += [f"{argument} is not described" for argument in missing_parameters(value)]
    if name in OBJECTS and has_example(value) == (name in excepted(NO_EXAMPLE)):
        found.append("listed for nothing in NO_EXAMPLE" if has_example(value) else "no example")
    if name in OBJECTS and has_source(value) == (name in excepted(NO_SOURCE)):
        found.append("listed for nothing in NO_SOURCE" if has_source(value) else "no source")
    return found


@pytest.mark.parametrize("name", [*OBJECTS, *METHODS])
def test_a_docstring_is_whole(name):
    assert faults(name) == []


def test_exceptions_are_public_names():
    assert excepted(NO_EXAMPLE) | excepted(NO_SOURCE) <= OBJECTS.keys()
    assert excepted(NO_SHAPE) <= OBJECTS.keys() | METHODS.keys()
