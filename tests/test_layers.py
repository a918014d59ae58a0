"""Imports lead downwards, and never round in a circle."""

import ast
from copy import deepcopy
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest

import proxyhpo

# From the top down. A module may import what stands below it, and from its own package.
LAYERS = """
    __main__
    integrations plots results testing
    _hpo
    _handle
    _session
    _running
    _setup
    _problem
    _arguments
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
    _seeding _lazy
    errors
"""
RANKS = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def sources():
    for module in walk_packages(proxyhpo.__path__, "proxyhpo."):
        yield module.name, Path(find_spec(module.name).origin).read_text(encoding="utf-8")


TREES = {name: ast.parse(source) for name, source in sources()}


class WithoutTypes(ast.NodeTransformer):
    """Drops what type checkers alone import: two classes of a package may name each other."""

    def visit_If(self, node):
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def imports(tree):
    """The (module, name) of every import, also those for type checkers and inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "proxyhpo":
            yield from ((node.module, alias.name) for alias in node.names)


def defined_in(module, name):
    """The module that defines what is imported by this name: through the packages' exports."""
    if f"{module}.{name}" in TREES:
        return f"{module}.{name}"
    for origin, exported in imports(TREES.get(module, ast.Module([], []))):
        if exported == name:
            return defined_in(origin, name)
    return module


def graph(trees):
    return {
        name: {defined_in(*imported) for imported in imports(tree)} - {name, "proxyhpo"}
        for name, tree in trees.items()
    }


GRAPH = graph(TREES)


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


def test_no_imports_go_round_in_a_circle():
    at_runtime = {name: WithoutTypes().visit(tree) for name, tree in deepcopy(TREES).items()}
    try:
        list(TopologicalSorter(graph(at_runtime)).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
