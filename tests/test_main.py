import contextlib
import io
import os
import subprocess
import sys

import pytest

import proxyhpo
from proxyhpo import Float, Space
from proxyhpo.__main__ import main
from proxyhpo._store import open_store, read_study

IDENTITY = {
    "space": Space({"lr": Float(0, 1)}).to_json(),
    "ladder": [{"density": 1, "cost": None, "budget": 1.0}],
    "direction": "minimize",
    "seed": 0,
}


@pytest.fixture
def study(tmp_path):
    """A study that is being written."""
    with open_store(tmp_path / "study.db", IDENTITY) as store:
        store.append("trial", {"number": 0, "config": {"lr": 0.1}})
        yield store, tmp_path / "study.db"


def test_show_reads_along(study, capsys):
    store, path = study
    assert main(["show", str(path)]) == 0
    first = capsys.readouterr().out
    assert first.startswith(f"{path}, last written 2")
    assert "minimize over lr" in first
    store.append("trial", {"number": 1, "config": {"lr": 0.2}})
    assert main(["show", str(path), "--top", "3"]) == 0
    assert capsys.readouterr().out != first
    store.close()
    assert main(["show", str(path)]) == 0


def test_show_says_whether_the_study_runs(study, capsys):
    store, path = study
    main(["show", str(path)])
    assert "\nrunning: this process already has it open\n" in capsys.readouterr().out
    command = [sys.executable, "-m", "proxyhpo", "show", str(path)]
    elsewhere = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"\nrunning: process {os.getpid()} on " in elsewhere
    store.close()
    main(["show", str(path)])
    assert "\nnot running\n" in capsys.readouterr().out


def test_show_admits_that_it_cannot_tell_whether_the_study_runs(study, capsys, monkeypatch):
    def unsupported(descriptor, *, shared):
        raise OSError("Operation not supported")

    _, path = study
    monkeypatch.setattr("proxyhpo._store.lock._lock", unsupported)
    assert main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\nrunning: unknown (cannot tell whether a process writes " in shown
    assert "Operation not supported" in shown


def test_copy_makes_a_study_of_its_own(study, tmp_path, capsys):
    _, path = study
    assert main(["copy", str(path), str(tmp_path / "copy.db")]) == 0
    assert "copied" in capsys.readouterr().out
    assert read_study(tmp_path / "copy.db") == read_study(path)
    assert main(["copy", str(path), str(tmp_path / "copy.db")]) == 1
    assert "copy.db' already exists" in capsys.readouterr().err


def test_a_file_from_others_can_tell_the_terminal_nothing(tmp_path, capsys):
    nasty = IDENTITY | {"ladder": [{"\x1b[2J": 1}]}
    with open_store(tmp_path / "study.db", nasty):
        assert main(["show", str(tmp_path / "study.db")]) == 1
    said = capsys.readouterr().err
    assert "error: the file contains no valid events of a study" in said
    assert "\x1b" not in said


def test_it_runs_as_a_module(study):
    command = [sys.executable, "-m", "proxyhpo", "show", str(study[1])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rung 0 (the full network)" in done.stdout


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"proxyhpo {proxyhpo.__version__}\n"


def test_an_error_is_one_line_and_a_status(tmp_path, capsys):
    assert main(["show", str(tmp_path / "none.db")]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    path = str(tmp_path / "none.db")
    assert caught.err == f"error: cannot read {path!r}: there is no study at this path\n"
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_an_error(study, tmp_path, capsys):
    output = str(tmp_path / "none" / "study.html")
    assert main(["report", str(study[1]), "--output", output]) == 1
    wanted = f"error: cannot write {output!r}: No such file or directory\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize("arguments", [[], ["shaw"], ["show"], ["show", "study.db", "--top", "0"]])
def test_a_command_that_is_none_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m proxyhpo" in capsys.readouterr().err


def test_plugins_are_listed_by_group_without_being_imported(capsys, monkeypatch, tmp_path):
    (tmp_path / "other-2.0.dist-info").mkdir()
    (tmp_path / "other-2.0.dist-info" / "METADATA").write_text("Name: other\nVersion: 2.0\n")
    (tmp_path / "other-2.0.dist-info" / "entry_points.txt").write_text(
        "[proxyhpo.searchers]\ntpe = no_such_module:Searcher\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["plugins"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start, end = lines.index(["proxyhpo.searchers"]), lines.index(["proxyhpo.transfers"])
    claims = [line for line in lines[start:end] if line[0] == "tpe"]
    assert ["tpe", "no_such_module:Searcher", "(other", "2.0)"] in claims
    assert len(claims) == 2
    assert ["proxyhpo.pruners"] in lines[:start]


def test_metadata_from_others_can_tell_the_terminal_nothing(capsys, monkeypatch, tmp_path):
    (tmp_path / "evil-1.0.dist-info").mkdir()
    (tmp_path / "evil-1.0.dist-info" / "METADATA").write_text("Name: e\x1b[2Jvil\nVersion: 1.0\n")
    (tmp_path / "evil-1.0.dist-info" / "entry_points.txt").write_text(
        "[proxyhpo.searchers]\nb\x1b[31mad = evil:Searcher\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "evil:Searcher" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("arguments", [["show"], ["show", "--top"]])
def test_names_from_others_can_tell_the_terminal_nothing(arguments, tmp_path, capsys):
    nasty = str(tmp_path / "a\x1b[2Jb.db")
    with contextlib.suppress(SystemExit):  # a wrong argument
        main([*arguments, nasty])
    if arguments == ["show"]:
        open_store(nasty, IDENTITY).close()
        assert main(["show", nasty]) == 0
    caught = capsys.readouterr()
    assert "[2Jb.db" in caught.out + caught.err
    assert "\x1b" not in caught.out + caught.err


def test_a_reader_that_has_seen_enough_is_no_error(study, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["show", str(study[1])]) == 141
        pipe.write("and nothing more fails")
    monkeypatch.undo()


def test_a_terminal_that_knows_ascii_alone_is_no_error(tmp_path, monkeypatch):
    path = tmp_path / "stüdy.db"
    open_store(path, IDENTITY).close()
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["show", str(path)]) == 0
        monkeypatch.undo()
        assert rb"st\xfcdy.db" in terminal.buffer.getvalue()
