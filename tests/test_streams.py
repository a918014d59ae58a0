import os
import sys
from pathlib import Path

import pytest

from proxyhpo._streams import forgiving_streams
from tests.studies import small_search


def closed():
    stream = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    stream.close()
    return stream


def broken():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1)


def full():
    return Path("/dev/full").open("w", buffering=1)


@pytest.fixture(params=[closed, broken, full])
def dead(request):
    """A stream that cannot be written to."""
    if request.param is full and not Path("/dev/full").exists():
        pytest.skip("only Linux has such a file")
    stream = request.param()
    yield stream
    try:
        stream.close()
    except OSError:
        assert stream.closed  # what was left could not be written either


def test_what_cannot_be_printed_is_lost_and_said_once(dead, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stdout", dead)
    with forgiving_streams():
        for _ in range(3):
            print("nobody reads this", flush=True)  # noqa: T201
        sys.stdout.writelines(["nor", "this"])
    assert sys.stdout is dead
    monkeypatch.undo()
    assert [record.message for record in caplog.records if "is lost" in record.message] == [
        caplog.records[0].message
    ]


def test_what_can_be_printed_is(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with forgiving_streams():
            print("read")  # noqa: T201
            assert sys.stdout.encoding == stream.encoding
            sys.stdout = None
        assert sys.stdout is stream
        monkeypatch.undo()
    assert (tmp_path / "out").read_text() == "read\n"


def test_streams_that_are_no_files_are_left_alone(capsys):
    class Notebook:
        """As of a notebook."""

    notebook = sys.stdout = Notebook()
    try:
        with forgiving_streams():
            assert sys.stdout is notebook
    finally:
        sys.stdout = sys.__stdout__


def test_no_training_fails_for_what_it_prints(dead, monkeypatch):
    def train(network, config):
        print("epoch 1", flush=True)  # noqa: T201
        yield config["lr"]

    monkeypatch.setattr(sys, "stdout", dead)
    result = small_search(train, progress=False)
    monkeypatch.undo()
    assert not result.failures


def test_the_progress_bar_ends_no_study(dead, monkeypatch):
    monkeypatch.setattr(sys, "stderr", dead)
    result = small_search(lambda network, config: config["lr"])
    monkeypatch.undo()
    assert len(result.records) == 3
