"""What CONTRIBUTING.md says of kernels is what the syntax tree of the package says.

From every public class and function the names in its body are followed, definition by definition, through
imports and tables of lazy names, until they end in kernels.
"""

import ast
import re
from functools import cache

import pytest

import topodl
from topodl.kernels.shared import compile as compiler

from .test_architecture import GRAPH, MODULES, ROOT, home_of, room_of, unit_of
from .test_docstrings import OBJECTS

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOM = "topodl.kernels."
TOP = {"topodl", "tests", "docs", "benchmarks"}
# Whoever looks a loss up by its name may get any; the base, which fills the table, gets none.
REGISTRY, BASE = ("topodl.losses._base", "registry"), ("topodl.losses._base", "SegmentationLoss")


def imports_in(node):
    """Return what each name that is bound by the imports in a node stands for, as a dotted name."""
    found = {}
    for each in ast.walk(node):
        if isinstance(each, ast.ImportFrom):
            found |= {a.asname or a.name: f"{each.module}.{a.name}" for a in each.names}
        elif isinstance(each, ast.Import):
            tops = {a.name.split(".")[0]: a.name.split(".")[0] for a in each.names if not a.asname}
            found |= tops | {a.asname: a.name for a in each.names if a.asname}
    return found


def without_annotations(node):
    """Return the nodes of a definition that are run: those of its annotations are not."""
    skipped = {"annotation", "returns"}
    for field, value in ast.iter_fields(node):
        if field in skipped:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from without_annotations(child)


def targets_of(statement):
    """Return the names that a statement of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    return [name.id for t in targets if t for name in ast.walk(t) if isinstance(name, ast.Name)]


@cache
def definitions(module):
    """Return the statements that define each name of a module."""
    found = {}
    for statement in MODULES[module].body:
        for name in targets_of(statement):
            found.setdefault(name, []).append(statement)
    return found


@cache
def lazy_homes(module):
    """Return the table of lazy names of a package, dotted."""
    for statement in definitions(module).get("_HOMES", []):
        return {name: f"{home}.{name}" for name, home in ast.literal_eval(statement.value).items()}
    return {}


@cache
def resolve(path):
    """Return the module and the name in it that a dotted name stands for, handed on by packages or not."""
    module = home_of(path, MODULES)
    if module is None or module == path:
        return None
    name = path[len(module) + 1 :].split(".")[0]
    if name in definitions(module):
        return module, name
    handed_on = imports_in(MODULES[module]) | lazy_homes(module)
    return resolve(handed_on[name]) if handed_on.get(name, path) != path else None


def dotted(node):
    """Return the dotted name that an attribute of a name is, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


@cache
def uses(definition):
    """Return the definitions that a definition names."""
    if definition == REGISTRY:
        return {(loss.__module__, loss.__name__) for loss in topodl.losses.registry.values()}
    module, name = definition
    imported = imports_in(MODULES[module])
    found = set()
    for statement in definitions(module)[name]:
        for node in without_annotations(statement):
            if not (path := dotted(node)):
                continue
            first, _, rest = path.partition(".")
            if first in definitions(module):
                found.add((module, first))
            elif first in imported and (used := resolve(f"{imported[first]}.{rest}".rstrip("."))):
                found.add(used)
    return found - {definition} - ({REGISTRY} if definition == BASE else set())


@cache
def has_kernels(module):
    """Return whether a module of the kernels compiles anything."""
    decorators = {f"{compiler.__name__}.{name}" for name in compiler.__all__}
    imported = imports_in(MODULES[module])
    return any(
        imported.get(dotted(d.func if isinstance(d, ast.Call) else d)) in decorators
        for node in MODULES[module].body
        if isinstance(node, ast.FunctionDef)
        for d in node.decorator_list
    )


def kernels_behind(value):
    """Return the modules of kernels, below their rooms, that a public object reaches."""
    start = (value.__module__, value.__name__)
    reached, waiting = {start}, [start]
    while waiting:
        for used in uses(waiting.pop()) - reached:
            reached.add(used)
            if not used[0].startswith(ROOM):
                waiting.append(used)
    modules = {module for module, _ in reached if module.startswith(ROOM) and has_kernels(module)}
    return {module.removeprefix(ROOM).replace(".", "/") for module in modules}


def table_below(heading, page=PAGE):
    """Return the rows of the table in a section of the page, a list of cells each."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    rows = [line.strip("| \n").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]  # without its head


def quoted(cell):
    return set(re.findall(r"`([^`]+)`", cell))


def kernels_by_name(page=PAGE):
    """Return the kernels that the page leads each public name to."""
    found = {}
    for names, kernels in table_below("From public names to kernels", page):
        assert not quoted(names) & found.keys(), f"{quoted(names) & found.keys()} stand twice"
        found |= dict.fromkeys(quoted(names), quoted(kernels))
    return found


def rooms_by_package():
    """Return the packages that import from each room of the kernels."""
    serves = {}
    for module, imported in GRAPH.items():
        for other in imported if unit_of(module) != "kernels" else ():
            if other.startswith(ROOM) and other.count(".") > 2:
                serves.setdefault(room_of(other), set()).add(unit_of(module))
    return serves


def reached():
    """Return the kernels of each public class and function that has some."""
    found = {name.removeprefix("topodl."): kernels_behind(value) for name, value in OBJECTS.items()}
    return {name: kernels for name, kernels in found.items() if kernels}


def as_table(kernels):
    """Return the rows that the page has to have: what reaches the same kernels stands in one."""
    rows = {}
    for name, modules in sorted(kernels.items()):
        rows.setdefault(tuple(sorted(modules)), []).append(name)
    cells = [
        [", ".join(f"`{x}`" for x in part) for part in (names, modules)] for modules, names in rows.items()
    ]
    return "\n".join(f"| {names} | {modules} |" for names, modules in sorted(cells))


def test_every_public_name_leads_to_its_kernels():
    expected = reached()
    assert kernels_by_name() == expected, f"the table should read\n{as_table(expected)}"


def test_the_rooms_say_whom_they_serve():
    told = {quoted(room).pop(): quoted(serves) for room, _, serves in table_below("Rooms of the kernels")}
    assert told == rooms_by_package()


def test_files_that_the_page_names_are_there():
    paths = {path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", PAGE) if path.split("/")[0] in TOP}
    missing = [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
    assert len(paths) > 20
    assert missing == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("`distances.bottleneck_distance`", "`distances.bottleneck_distances`"),
        (
            "| `distances.bottleneck_distance` | `vectors/bottleneck` |",
            "| `distances.bottleneck_distance` | `vectors/bottleneck`, `masks/warping` |",
        ),
        ("| `distances.bottleneck_distance` | `vectors/bottleneck` |\n", ""),
    ],
)
def test_a_wrong_table_is_found(old, new):
    assert PAGE.count(old) == 1
    assert kernels_by_name(PAGE.replace(old, new)) != kernels_by_name()


def test_calls_are_followed_through_imports_tables_and_methods():
    operator, keyword = topodl.cubical_persistence, topodl.losses.CbDiceLoss
    assert kernels_behind(operator) >= {"images/cubical2d", "images/cubical3d"}
    assert "masks/distance" in kernels_behind(keyword)  # prepare=, in the class statement
    assert "vectors/landscape" in kernels_behind(topodl.layers.PersistenceLandscape)  # imported in a method
    assert "points/spanning_tree" in kernels_behind(topodl.representations.TopologicalAutoencoder)
    assert kernels_behind(topodl.Diagrams) == set()
