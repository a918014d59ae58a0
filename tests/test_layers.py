"""Imports lead downwards, and never round in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest

import proxyhpo

# From the top down. A module may import what stands below it, and from its own package.
LAYERS = """
    __main__
    _study_page
    integrations plots results testing
    _hpo
    _handle
    _session
    _running
    _setup
    _climbing
    _problem
    _arguments
    _progress
    _report
    _engine
    _worker
    executors
    _runs
    _proxy
    pruners transfers
    _networks
    channels
    evaluators searchers callbacks
    _plugins
    space stoppers
    _records
    _store
    _inputs
    _validation
    _isolation
    _seeding _streams _lazy
    errors
"""

# Imports by a string, which no tool for imports sees: (importing module, imported module) → why.
LATE_IMPORTS = {
    ("proxyhpo._report.result", "proxyhpo.plots"): "Result.plot() loads matplotlib on first use",
    ("proxyhpo._report.result", "proxyhpo._study_page"): "the page of save_html() shows the plots",
}

RANKS = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def sources():
    for module in walk_packages(proxyhpo.__path__, "proxyhpo."):
        yield module.name, Path(find_spec(module.name).origin).read_text(encoding="utf-8")


def imports(tree, *, types=True):
    """The (module, name) of every import, also those inside functions.

    Args:
        tree: of a module.
        types: whether to list what type checkers alone import.
    """
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING" and not types:
        return
    if isinstance(tree, ast.ImportFrom) and (tree.module or "").split(".")[0] == "proxyhpo":
        yield from ((tree.module, alias.name) for alias in tree.names)
    for node in ast.iter_child_nodes(tree):
        yield from imports(node, types=types)


def imports_by_string(tree):
    """What ``import_module`` or ``__import__`` is given, if it names this package."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func).rpartition(".")[2] not in {"import_module", "__import__"}:
            continue
        for given in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if "proxyhpo" in ast.unparse(given):
                yield given.value if isinstance(given, ast.Constant) else ast.unparse(given)


TREES = {name: ast.parse(source) for name, source in sources()}
IMPORTS = {name: list(imports(tree)) for name, tree in TREES.items()}
# Two classes of a package may name each other in annotations.
AT_RUNTIME = {name: list(imports(tree, types=False)) for name, tree in TREES.items()}


def defined_in(module, name):
    """The module that defines what is imported by this name: through the packages' exports."""
    if f"{module}.{name}" in TREES:
        return f"{module}.{name}"
    for origin, exported in IMPORTS.get(module, ()):
        if exported == name:
            return defined_in(origin, name)
    return module


def graph(imported):
    return {
        name: {defined_in(*each) for each in found} - {name, "proxyhpo"}
        for name, found in imported.items()
    }


GRAPH = graph(IMPORTS)


def part(module):
    return module.split(".")[1]


def test_every_part_of_the_package_has_a_layer():
    assert {part(module) for module in TREES} == set(RANKS)


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_lead_downwards(module):
    own = part(module)
    upwards = [
        other
        for other in sorted(GRAPH[module])
        if part(other) != own and RANKS[part(other)] <= RANKS[own]
    ]
    assert upwards == []


def test_imports_by_string_are_listed_with_a_reason():
    found = {(name, other) for name, tree in TREES.items() for other in imports_by_string(tree)}
    assert found == set(LATE_IMPORTS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('import_module("proxyhpo.plots").plot_cost()', ["proxyhpo.plots"]),
        ('importlib.import_module(name="proxyhpo.plots")', ["proxyhpo.plots"]),
        ('__import__("proxyhpo.plots")', ["proxyhpo.plots"]),
        ('import_module(f"proxyhpo.{name}")', ["f'proxyhpo.{name}'"]),
        ('import_module("torch._dynamo")', []),
    ],
)
def test_imports_by_string_are_seen(code, expected):
    assert list(imports_by_string(ast.parse(code))) == expected


def test_no_imports_go_round_in_a_circle():
    try:
        list(TopologicalSorter(graph(AT_RUNTIME)).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
