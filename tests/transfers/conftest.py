import pytest

from tests.transfers.scaled import (
    hooks,
)


@pytest.fixture(autouse=True)
def _no_hooks_are_left():
    before = hooks()
    yield
    assert hooks() == before
