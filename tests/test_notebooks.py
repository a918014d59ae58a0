"""Every notebook runs from top to bottom, as a user runs it, in an empty folder.

Searches have six trials at most; building the site runs them as they are. All run in one kernel,
which forgets the names of the notebook before: to start a kernel and to import torch in it takes
longer than most notebooks.
"""

import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def texts(notebook):
    return [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type in {"stream", "execute_result"}
    ]


def test_notebooks_are_numbered_without_gaps():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert numbers == [f"{number:02d}" for number in range(1, 1 + len(NOTEBOOKS))]


@pytest.fixture(scope="module")
def run():
    """Runs a notebook in a folder."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=240)

    def run(notebook, folder):
        fresh = f"""
            %reset -f
            import os, sys
            os.chdir({str(folder)!r})
            sys.path.append({str(ROOT)!r})
            from tests.limits import limit
            limit(6)
            %reset -f
        """
        notebook.cells.insert(0, nbformat.v4.new_code_cell(textwrap.dedent(fresh).strip()))
        client.nb = notebook
        client.execute(cleanup_kc=False)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        patched.setenv("OMP_NUM_THREADS", "1")
        yield run
        client.nb = nbformat.v4.new_notebook()
        client.execute()  # this time the kernel is shut down


SEARCH = """
import torch
from proxyhpo import Float, ProxyHPO

hpo = ProxyHPO(
    lambda: torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)),
    lambda network, config: config["lr"],
    {"lr": Float(0, 1)},
    example_inputs=torch.zeros(8, 6),
    direction="minimize",
    searcher="random",
    density=0.5,
)
result = hpo.run(4, finalists=1)
result
"""


def test_the_first_search_of_a_kernel_has_one_panel_without_a_warning(run, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SEARCH)])
    run(notebook, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    shown = [output.data["text/html"] for output in outputs if "data" in output]
    assert len(shown) == 2, "the panel, which was updated in place, and the card of the result"
    assert "ended after" in shown[0]
    assert "Warning" not in "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_runs(path, run, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert texts(notebook) == []
    nbformat.validate(notebook)
    run(notebook, tmp_path)
    assert any("base trainings" in text for text in texts(notebook))
