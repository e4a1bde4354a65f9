"""Imports point one way: between packages, among modules, and between the rooms of the kernels.

The graph comes from the syntax tree, so that imports within functions and for type checkers count as well.
"""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

from topodl.kernels.shared.ahead import modules_to_warm_up

ROOT = Path(__file__).parents[1]

# What stands on what, from the ground up; not all of it is built. A private module beside these packages
# stands on the highest that it imports: `_checks` on `errors`, `_submodules` on `diagrams`.
ORDER = (
    "errors",
    "kernels",
    "diagrams",
    "signed_measures",
    "interval_modules",
    "complexes",
    "filtrations",
    "persistence",
    "distances",
    "layers",
    "losses",
    "metrics",
    "datasets",
    "attention",
    "hooks",
    "mapper",
    "representations",
    "plotting",
    "evaluation",
    "integrations",
    "check",
    "cli",
)

# The rooms that those of the kernels may import from, beside themselves; not all of them are built.
ROOMS = {
    "shared": set(),
    "images": {"shared"},
    "points": {"shared"},
    "masks": {"shared"},
    "vectors": {"shared"},
    "graphs": {"shared", "points"},
    "attention": {"shared", "points"},
    "complexes": {"shared", "points"},
    "mapper": {"shared", "points"},
}


def name_of(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(package):
    """Return the syntax tree of each module of a package by its name."""
    files = sorted(package.rglob("*.py"))
    return {name_of(f, package.parent): ast.parse(f.read_text(encoding="utf-8"), str(f)) for f in files}


def home_of(name, modules):
    """Return the module that a dotted name is, or is in; None if it is in none of them."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def named_in(node):
    """Return the dotted names that a node of a syntax tree imports; a string may name a module, too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: a relative import"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def strings_in(tree):
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def import_graph(modules):
    """Return the modules that each module imports, those that it loads later by their names included.

    Packages are excepted in the latter: their tables of public names are loaded by whoever asks for one.
    """
    packages = {name.rpartition(".")[0] for name in modules}
    graph = {}
    for name, tree in modules.items():
        homes = {home_of(each, modules) for node in ast.walk(tree) for each in named_in(node)}
        if name not in packages:
            named = strings_in(tree) & modules.keys()
            homes |= {other for other in named if not name.startswith(f"{other}.")}  # its own: for its files
        graph[name] = homes - {name, None}
    return graph


def circle(graph):
    """Return the modules of a circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def unit_of(module):
    """Return the package or module directly below the root that a module belongs to."""
    return module.split(".")[1]


def heights(graph, order):
    """Return the place in `order` of each package and module below the root."""
    units = {}
    for module, imported in graph.items():
        unit = unit_of(module)
        units.setdefault(unit, set()).update({unit_of(other) for other in imported} - {unit})
    missing = [unit for unit in units if not unit.startswith("_") and unit not in order]
    assert not missing, f"{missing} have no place in the order"
    known = dict.fromkeys(units, 0) | {name: place for place, name in enumerate(order)}
    for _ in units:  # as many rounds as a chain of private modules may be long
        for unit in units.keys() - set(order):
            known[unit] = max((known[other] for other in units[unit]), default=0)
    return known


def upward_imports(graph, order):
    known = heights(graph, order)
    return [
        f"{module} imports {other}"
        for module, imported in graph.items()
        for other in imported
        if known[unit_of(module)] < known[unit_of(other)]
    ]


MODULES = read_modules(ROOT / "topodl")
# The root names everything, and loads it when it is asked for: it stands above all, and below none.
GRAPH = {name: others - {"topodl"} for name, others in import_graph(MODULES).items() if name != "topodl"}


def test_no_modules_import_each_other_in_a_circle():
    assert circle(GRAPH) == []


def test_imports_between_packages_point_one_way():
    assert upward_imports(GRAPH, ORDER) == []


def test_the_packages_take_nothing_from_the_root_but_the_version():
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            for imported in named_in(node):
                home = home_of(imported, MODULES)
                assert home != "topodl" or imported == "topodl.__version__", f"{name}: {imported}"


def test_private_modules_on_the_ground_know_no_diagrams():
    known = heights(GRAPH, ORDER)
    assert known["_checks"] == known["_lazy"] == known["errors"]
    assert known["_submodules"] == known["diagrams"]


def room_of(module):
    parts = module.split(".")
    return parts[2] if parts[1:2] == ["kernels"] and len(parts) > 2 else None


def test_rooms_of_the_kernels_import_from_the_floors_below():
    for module, imported in GRAPH.items():
        room = room_of(module)
        if room in (None, "__main__"):
            continue
        assert room in ROOMS, f"{module} is in no room"
        rooms = {room_of(other) for other in imported} - {room, None}
        assert rooms <= ROOMS[room], f"{module} imports from {rooms - ROOMS[room]}"


def test_kernels_import_arrays_the_compiler_and_errors_alone():
    for module, imported in GRAPH.items():
        if unit_of(module) != "kernels" or module.endswith(("__main__", ".ahead")):  # of a command
            continue
        tops = {each.split(".")[0] for node in ast.walk(MODULES[module]) for each in named_in(node)}
        assert tops - sys.stdlib_module_names <= {"numba", "numpy", "scipy", "topodl"}, module
        assert {unit_of(other) for other in imported} <= {"kernels", "errors"}, module


def test_compiling_ahead_finds_every_module_that_warms_up():
    defining = {
        name
        for name, tree in MODULES.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "warm_up" for node in tree.body)
    }
    found = [module.__name__ for module in modules_to_warm_up()]
    assert sorted(found) == sorted(defining)
    assert {room_of(name) for name in found} == set(ROOMS) & {room_of(name) for name in MODULES}


@pytest.fixture
def package(tmp_path):
    """Return a function that writes modules of a package `p` and gives the graph of its imports."""

    def write(**sources):
        folder = tmp_path / "p"
        for path, source in {"__init__": "", **sources}.items():
            file = folder / f"{path.replace('.', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        graph = import_graph(read_modules(folder))
        return {name: others for name, others in graph.items() if name != "p"}

    return write


@pytest.mark.parametrize(
    "source",
    [
        "import p.high.one",
        "from p.high import one",
        "from p.high.one import name",
        "def f():\n    from p.high.one import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.high.one import name",
        "import importlib\nname = importlib.import_module('p.high.one')",
    ],
)
def test_an_import_upwards_is_found_wherever_it_stands(package, source):
    graph = package(low=source, **{"high.__init__": "", "high.one": ""})
    assert graph["p.low"] == {"p.high.one"}
    assert upward_imports(graph, ("low", "high")) == ["p.low imports p.high.one"]
    assert upward_imports(graph, ("high", "low")) == []


def test_a_private_module_stands_on_what_it_imports(package):
    graph = package(
        low="from p import _helper", _helper="from p._other import x", _other="import p.high", high=""
    )
    assert upward_imports(graph, ("low", "high")) == ["p.low imports p._helper"]


def test_a_circle_is_found(package):
    assert circle(package(a="import p.b", b="import p.c", c="")) == []
    found = circle(package(a="import p.b", b="import p.c", c="def f():\n    import p.a"))
    assert set(found) == {"p.a", "p.b", "p.c"}
