"""The page of a study: whole, escaped, and shown by a real browser without an error."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from proxyhpo import load_study
from proxyhpo.__main__ import main
from tests.plots.results import search

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NASTY = "<script>document.title = 'broken'</script>"
VOID = {"meta", "br", "path", "use", "rect", "circle", "stop", "image", "img", "line"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A stored study in which something failed, and its page."""

    def train(network, config):
        if config["lr"] > 0.1:
            raise RuntimeError(NASTY)
        return config["lr"]

    folder = tmp_path_factory.mktemp("study")
    search(train, store=folder / "study.db").run(8)
    assert main(["report", str(folder / "study.db")]) == 0
    return folder / "study.db", folder / "study.html"


class Elements(HTMLParser):
    """The elements of a page; those that were left open or closed in another order are noted."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_well_formed_and_has_every_section(written):
    page = Elements(written[1].read_text(encoding="utf-8"))
    assert page.wrong == page.open == []
    sections = [attributes["id"] for tag, attributes in page.found if tag == "section"]
    assert sections == [
        "summary",
        "plots",
        "hyperparameters",
        "leaderboards",
        "cost",
        "trust",
        "failures",
    ]
    names = load_study(written[0]).space.names
    assert [tag for tag, _ in page.found].count("figure") == 9 + len(names)


def test_nothing_of_the_study_becomes_markup_and_nothing_is_loaded(written):
    text = written[1].read_text(encoding="utf-8")
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    page = Elements(text)
    assert "script" not in {tag for tag, _ in page.found}
    loaded = [a.get("src") or a.get("href", "") for tag, a in page.found if tag in {"img", "link"}]
    assert loaded == []
    assert re.findall(r"url\((?!#)", text) == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_lays_the_page_out(written, tmp_path):
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    flags += "--disable-background-networking --disable-component-update --disable-sync"
    done = subprocess.run(
        [
            CHROMIUM,
            *flags.split(),
            f"--user-data-dir={tmp_path}",
            "--window-size=400,800",
            f"--screenshot={tmp_path / 'page.png'}",
            "--dump-dom",
            written[1].as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    shown = Elements(done.stdout)
    assert [tag for tag, _ in shown.found].count("svg") == 14
    assert "<title>proxyhpo: depth, kind, lr, momentum</title>" in done.stdout
    assert (tmp_path / "page.png").stat().st_size > 5000


def test_the_file_can_be_named(written, tmp_path, capsys):
    output = tmp_path / "other.html"
    assert main(["report", str(written[0]), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"wrote {output}\n"
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_without_matplotlib_the_page_says_so(written, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    page = load_study(written[0]).save_html(str(tmp_path / "study.html"))
    assert page == tmp_path / "study.html"
    text = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "There are no plots without matplotlib." in text
    assert "<svg" in text, "the chart of the card needs no matplotlib"


def test_the_best_config_is_json_for_a_file(written, capsys):
    import json

    assert main(["config", str(written[0])]) == 0
    assert json.loads(capsys.readouterr().out) == load_study(written[0]).best_config
