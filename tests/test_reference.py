"""The reference has a page for every public module, and the entry points lead to public classes.

That each public name is documented on these pages is checked when the site is built.
"""

import importlib
import pkgutil
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import get_args

import pytest

import proxyhpo
from proxyhpo import _plugins as plugins
from proxyhpo import integrations

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")}
MODULES = ["proxyhpo"] + [
    f"{package.__name__}.{module.name}"
    for package in (proxyhpo, integrations)
    for module in pkgutil.iter_modules(package.__path__)
    if not module.name.startswith("_")
]


def test_every_public_module_has_a_page_and_no_page_is_left_over():
    documented = [
        name
        for page in PAGES.values()
        for name in re.findall(r"^\.\. automodule:: (\S+)", page, re.MULTILINE)
    ]
    assert sorted(documented) == sorted(MODULES)


def test_the_index_lists_every_page():
    listed = re.findall(r"^(\w+)$", PAGES["index"], re.MULTILINE)
    assert sorted(listed) == sorted(PAGES.keys() - {"index"})


@pytest.mark.parametrize(
    "point",
    [p for p in distribution("proxyhpo").entry_points if p.group in get_args(plugins.PluginGroup)],
)
def test_parts_that_have_a_name_are_public(point):
    part = point.load()
    assert "._" not in point.module
    assert part.__name__ in importlib.import_module(point.module).__all__
    assert part.__doc__


def test_the_examples_are_on_the_page_of_examples():
    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    shown = re.findall(r"literalinclude\} \.\./examples/(\S+)", page)
    assert shown == sorted(path.name for path in (DOCS.parent / "examples").glob("*.py"))


def test_the_notebooks_are_in_the_table_of_contents():
    listed = re.findall(r"^notebooks/(\S+)$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE)
    notebooks = (DOCS.parent / "examples" / "notebooks").glob("*.ipynb")
    assert listed == sorted(path.stem for path in notebooks)
