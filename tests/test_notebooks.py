"""Every notebook runs from top to bottom, as a user runs it, in an empty folder.

All run in one kernel, which forgets the names of the notebook before: to start a kernel and to
import torch in it takes longer than most notebooks.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))


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
        fresh = f"%reset -f\nimport os\nos.chdir({str(folder)!r})"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(fresh))
        client.nb = notebook
        client.execute(cleanup_kc=False)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        patched.setenv("OMP_NUM_THREADS", "1")
        yield run
        client.nb = nbformat.v4.new_notebook()
        client.execute()  # this time the kernel is shut down


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_runs(path, run, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert texts(notebook) == []
    nbformat.validate(notebook)
    run(notebook, tmp_path)
    assert any("base trainings" in text for text in texts(notebook))
