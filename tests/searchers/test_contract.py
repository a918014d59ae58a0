"""Every built-in searcher keeps the laws of its interface."""

import pytest

from proxyhpo.searchers import (
    BayesianSearcher,
    CMAESSearcher,
    GridSearcher,
    QMCSearcher,
    RandomSearcher,
    TPESearcher,
)
from proxyhpo.testing.searchers import SearcherContract


class TestRandom(SearcherContract):
    learns = False

    @pytest.fixture
    def searcher(self):
        return RandomSearcher()


class TestGrid(SearcherContract):
    learns = False

    @pytest.fixture
    def searcher(self):
        return GridSearcher()


class TestTPE(SearcherContract):
    @pytest.fixture
    def searcher(self):
        return TPESearcher()


class TestBayesian(SearcherContract):
    @pytest.fixture
    def searcher(self):
        return BayesianSearcher()


class TestCMAES(SearcherContract):
    @pytest.fixture
    def searcher(self):
        return CMAESSearcher()


class TestQMC(SearcherContract):
    learns = False

    @pytest.fixture
    def searcher(self):
        return QMCSearcher()
