import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")

import matplotlib.pyplot as plt

from proxyhpo import Rung
from tests.plots.results import search


@pytest.fixture(scope="session")
def result():
    torch.manual_seed(0)
    ladder = [Rung(0.25, keep=5), Rung(0.5, keep=3), Rung(1)]
    return search(density=None, ladder=ladder, stopper="median").run(24)


@pytest.fixture(scope="session")
def single():
    """Of a search on the full network alone."""
    return search(ladder=[Rung(1)], density=None).run(3)


@pytest.fixture(scope="session")
def begun():
    """Of a search in which nothing has been trained."""
    return search().result


@pytest.fixture(scope="session")
def failed():
    """Of a search in which every training failed."""
    return search(lambda network, config: float("nan")).run(2)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)
