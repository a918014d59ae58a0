"""The page of public names has all of them, and none that there is not."""

import importlib
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import get_args

import pytest

import proxyhpo
from proxyhpo import _plugins as plugins
from proxyhpo import errors

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
GROUPS = get_args(plugins.Group)


def section(title):
    [text] = re.findall(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    return [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def first_names(title):
    return [name for row in section(title) for name in quoted(row[0])]


def found(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", [proxyhpo, errors], ids=lambda module: module.__name__)
def test_the_public_names_of_a_module_are_pinned(module):
    assert sorted(first_names(f"`{module.__name__}`")) == sorted(module.__all__)


def test_every_part_stands_under_its_group_with_its_class():
    listed, group = {}, None
    for name, target, *_ in section("Parts with a name"):
        if name.startswith("| **"):
            [group] = quoted(name)
            listed[group] = {}
        else:
            listed[group].update({quoted(name)[0]: quoted(target)[0]})
    points = [p for p in distribution("proxyhpo").entry_points if p.group in GROUPS]
    assert sorted(listed) == sorted(GROUPS)
    assert {(p.group, p.name): p.value.replace(":", ".") for p in points} == {
        (group, name): target for group, names in listed.items() for name, target in names.items()
    }


@pytest.mark.parametrize("path", first_names("Other modules"))
def test_other_names_are_public_where_they_are_said_to_be(path):
    name = path.rpartition(".")[2]
    assert name in importlib.import_module(path.rpartition(".")[0]).__all__
    assert found(path).__doc__


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
