"""Every page of the documentation is run.

- Searches have six trials at most.
- The blocks of a page that are marked ``python`` run from top to bottom, in one namespace and in
  an empty folder of its own. Nothing else is needed; blocks that are not to be run are marked
  ``text``, ``console`` or the like.
- A block of any kind whose first line is ``# file: NAME`` is not run, but written to that file,
  which the page can import.
- A ``pyproject.toml`` written so makes its folder an installed distribution, entry points and all.
- Files ``test_*.py`` written so are run by pytest after the page.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import scripts

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/frameworks").glob("*.md")),
]


class Block(NamedTuple):
    """A fenced block: its kind, the number of lines above its code, and its code."""

    kind: str
    line: int
    code: str


def blocks(text):
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```\s*?$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], text[: match.start(2)].count("\n"), match[2])


class Page:
    """Runs the blocks of a page in a folder."""

    def __init__(self, path, folder, monkeypatch):
        self.path = path
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.namespace = {"__name__": "__main__"}
        monkeypatch.syspath_prepend(folder)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("MPLBACKEND", "Agg")

    def run(self):
        for block in blocks(self.path.read_text(encoding="utf-8")):
            if block.code.startswith("# file: "):
                self.write(block.code)
            elif block.kind == "python":
                # As if it stood where it stands in the page, for tracebacks.
                source = "\n" * block.line + block.code
                exec(compile(source, str(self.path), "exec"), self.namespace)
        if tests := sorted(self.folder.rglob("test_*.py")):
            self.run_tests(tests)

    def write(self, code):
        first, _, rest = code.partition("\n")
        path = self.folder / first.removeprefix("# file: ").strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest, encoding="utf-8")
        if path.name == "pyproject.toml":
            install(path)
            self.monkeypatch.syspath_prepend(path.parent)

    def run_tests(self, files):
        options = ["-q", "-W", "error", "-p", "no:cacheprovider", "--import-mode=importlib"]
        script = self.folder / "run_pytest.py"
        script.write_text("import sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))\n")
        with scripts.start(script, *options, *files) as tests:
            output = tests.stdout.read()
        assert tests.returncode == 0, output

    def forget(self):
        """Lets go of the modules that the page wrote, since others may have modules so named."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and self.folder in Path(file).parents:
                del sys.modules[name]


def install(pyproject):
    """Writes what an editable installation would write: the entry points of the project."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    info = pyproject.parent / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in project.get("entry-points", {}).items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def run_page(tmp_path, monkeypatch, at_most):
    """Runs the page at a path, and gives the folder in which it ran."""
    at_most(6)
    pages = []

    def run_page(path):
        folder = tmp_path / "folder"
        folder.mkdir()
        pages.append(Page(path, folder, monkeypatch))
        pages[-1].run()
        return folder

    yield run_page
    for page in pages:
        page.forget()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_runs(page, run_page):
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_of_python_is_hidden_from_the_tests(page):
    text = page.read_text(encoding="utf-8")
    seen = [block.kind for block in blocks(text)]
    assert seen.count("python") == len(
        re.findall(r"^\s*[`~]{3,}\s*(?:python|py)\b", text, re.MULTILINE)
    )
    assert "" not in seen, "every block says what it is"


TEXTS = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    there = [link for link in links if "://" not in link]
    assert [link for link in there if not (page.parent / link).exists()] == []


def test_the_index_of_benchmarks_has_every_page_and_every_command():
    index = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    pages = [f"benchmarks/{page.name}" for page in (ROOT / "docs" / "benchmarks").glob("*.md")]
    scripts = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks").glob("*/__main__.py")]
    commands = [
        file.parent.name if file.stem == "__main__" else file.stem
        for file in scripts
        if "__main__" in file.read_text(encoding="utf-8")
    ]
    assert [page for page in pages if f"]({page})" not in index] == []
    assert [name for name in commands if not re.search(rf"\| `python .*{name}\b", index)] == []


PAGE = """
# A page

```python
from pathlib import Path
x = 1
```

```text
this would not run
```

```toml
# file: some-plug-in/pyproject.toml
[project]
name = "some-plug-in"
version = "0.1"

[project.entry-points."proxyhpo.transfers"]
of-a-page = "module_of_a_page:OfAPage"
```

```python
# file: some-plug-in/module_of_a_page.py
from proxyhpo.transfers import IdentityTransfer as OfAPage
```

```python
# file: helper_of_a_page.py
x = 1
```

```python
# file: some-plug-in/test_it.py
def test_it():
    import helper_of_a_page
    assert OUTCOME
```

```python
import helper_of_a_page, module_of_a_page
from proxyhpo._plugins import load
assert x == helper_of_a_page.x == 1
assert load("proxyhpo.transfers", "of-a-page") is module_of_a_page.OfAPage
Path("ran").touch()
```
"""


@pytest.fixture
def run_text(tmp_path, run_page):
    def run_text(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        return run_page(page)

    return run_text


def test_blocks_run_in_order_with_the_files_and_plug_ins_of_the_page(run_text):
    assert (run_text(PAGE.replace("OUTCOME", "True")) / "ran").exists()


def test_a_failing_test_file_fails_the_page(run_text):
    with pytest.raises(AssertionError, match="1 failed"):
        run_text(PAGE.replace("OUTCOME", "False"))


def test_a_failing_block_fails_the_page_and_names_its_line(run_text):
    with pytest.raises(ZeroDivisionError) as caught:
        run_text("text\n\n```python\na = 1\n1 / 0\n```\n")
    last = caught.traceback[-1]
    assert (last.path.name, last.lineno + 1) == ("page.md", 5)
