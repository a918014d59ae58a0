"""How Sphinx builds the site: ``make docs``."""

import inspect
import os
import pkgutil
import shutil
import sys
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import proxyhpo

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from draw_gallery import draw_gallery  # noqa: E402 - beside this file

project = "proxyhpo"
author = "The proxyhpo developers"
project_copyright = author
release = version = version_of("proxyhpo")

extensions = [
    "myst_nb",  # Markdown pages, and notebooks with their outputs
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",  # docstrings in Google style
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "proxyhpo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"

# Pages stay readable as plain Markdown: directives stand between colons, not in code fences.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Notebooks are executed once for each change of theirs; `make site` leaves that to the tests.
nb_execution_mode = "off" if "DOCS_QUICK" in os.environ else "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 600

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_rtype = False

# A reference that leads nowhere is an error. Those to other projects are resolved where the
# builder can reach their sites: DOCS_ONLINE=1 make docs.
nitpicky = True
ELSEWHERE = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "optuna": "https://optuna.readthedocs.io/en/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "torch": "https://docs.pytorch.org/docs/stable",
}
intersphinx_mapping = (
    {name: (address, None) for name, address in ELSEWHERE.items()}
    if "DOCS_ONLINE" in os.environ
    else {}
)
nitpick_ignore_regex = [
    (r"py:.*", r"(?!proxyhpo).*"),
    (r"py:.*", r"proxyhpo(\.\w+)*\._.*"),  # annotations name a few private classes
    (r"py:.*", r"proxyhpo\.(channels\.(find|cut)|testing\.\w+)\..*"),  # likewise
]

suppress_warnings = ["myst.header"]  # tables that benchmarks write have headings of their own level


def copy_notebooks() -> None:
    """Copies the notebooks of the examples to where Sphinx looks for pages."""
    source, target = HERE.parent / "examples" / "notebooks", HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))


def public_names() -> dict[str, object]:
    """Every public name by its full path."""
    found = {}
    packages = [module.name for module in pkgutil.iter_modules(proxyhpo.__path__)]
    for package in ["", *(f".{name}" for name in packages if not name.startswith("_"))]:
        module = import_module(f"proxyhpo{package}")
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    return found


def load_lazy_names() -> None:
    """Loads what packages load on first use, since autodoc only sees what is there."""
    for path, value in public_names().items():
        package, _, name = path.rpartition(".")
        setattr(import_module(package), name, value)


def check_reference(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warns of public classes and functions that no page of the reference documents."""
    names = {
        path: value
        for path, value in public_names().items()
        if inspect.isroutine(value) or inspect.isclass(value)
    }
    documented = {id(names[path]) for path in env.domaindata["py"]["objects"] if path in names}
    for path, value in names.items():
        if id(value) not in documented:
            logging.getLogger(__name__).warning("%s is public and not documented", path)


def setup(app: Sphinx) -> None:
    """Prepares a build, and checks it."""
    copy_notebooks()
    draw_gallery(HERE / "gallery")
    load_lazy_names()
    app.connect("env-check-consistency", check_reference)
