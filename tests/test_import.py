"""Importing the package is cheap: what only some studies need is loaded when they need it."""

import subprocess
import sys

HEAVY = {
    "hyperopt",
    "matplotlib",
    "pandas",
    "ray",
    "sklearn",
    "skopt",
    "tensorboard",
    "torchvision",
    "triton",
}


def test_import_loads_no_heavy_library():
    code = "import sys, proxyhpo; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {"proxyhpo", "torch"} <= loaded
    assert loaded & HEAVY == set()
