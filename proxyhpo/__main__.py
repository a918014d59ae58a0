"""The command line: ``python -m proxyhpo show study.db`` and other commands."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

from typing_extensions import override

from proxyhpo._plugins import PluginGroup
from proxyhpo._report.show import show
from proxyhpo._report.stored import load_study
from proxyhpo._store import copy_study, writer_of
from proxyhpo.errors import ProxyHPOError, StoreError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["main"]

_BROKEN_PIPE = 141
"""The exit status that shells give a program ended by SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII alone
    options = _parser().parse_args(arguments)
    try:
        for line in options.command(options):
            print(printable(line))  # noqa: T201 - this is what a command is for
        sys.stdout.flush()
    except ProxyHPOError as error:
        print(printable(f"error: {error}"), file=sys.stderr)  # noqa: T201 - likewise
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        # Python writes what is left when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return 0


class _Parser(argparse.ArgumentParser):
    """Quotes wrong arguments, which may be the names of files from others."""

    @override
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m proxyhpo",
        description="Show, report and copy stored studies; list installed plug-ins.",
    )
    parser.add_argument("--version", action="version", version=f"proxyhpo {version('proxyhpo')}")
    commands = parser.add_subparsers(required=True, metavar="command")
    reading = commands.add_parser(
        "show", help="whether a study is running, its progress, leaderboards, failures and cost"
    )
    reading.add_argument("study", type=Path, help="path of its file, such as study.db")
    reading.add_argument("--top", type=_count, default=5, help="length of each list (default: 5)")
    reading.set_defaults(command=_show)
    copying = commands.add_parser(
        "copy", help="copy a study and its weights to another file, also while it runs"
    )
    copying.add_argument("study", type=Path, help="path of its file, such as study.db")
    copying.add_argument("copy", type=Path, help="path of the new file, which must not exist")
    copying.set_defaults(command=_copy)
    writing = commands.add_parser("report", help="write a study with all plots as one HTML file")
    writing.add_argument("study", type=Path, help="path of its file, such as study.db")
    writing.add_argument(
        "--output", type=Path, help="path of the HTML file (default: that of the study, as .html)"
    )
    writing.set_defaults(command=_report)
    best = commands.add_parser("config", help="the best config of a study as JSON")
    best.add_argument("study", type=Path, help="path of its file, such as study.db")
    best.set_defaults(command=_config)
    listing = commands.add_parser("plugins", help="the available plug-ins and their packages")
    listing.set_defaults(command=_plugins)
    return parser


def _show(options: argparse.Namespace) -> Iterable[str]:
    text = show(options.study, top=options.top)
    written = time.localtime(_last_written(options.study))
    yield f"{options.study}, last written {time.strftime('%Y-%m-%d %H:%M:%S', written)}"
    yield _running(options.study)
    yield text


def _copy(options: argparse.Namespace) -> Iterable[str]:
    copy_study(options.study, options.copy)
    yield f"copied {options.study} to {options.copy}"


def _report(options: argparse.Namespace) -> Iterable[str]:
    output = options.output or options.study.with_suffix(".html")
    result = load_study(options.study)
    try:
        result.save_html(output)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ProxyHPOError(f"cannot write {str(output)!r}: {error.strerror}") from None
    yield f"wrote {output}"


def _config(options: argparse.Namespace) -> Iterable[str]:
    yield json.dumps(load_study(options.study).best_config, indent=2)


def _running(study: Path) -> str:
    """Whether the study runs: a run keeps it open for writing until it ends or is killed."""
    try:
        writer = writer_of(study)
    except StoreError as error:
        return f"running: unknown ({error})"
    return f"running: {writer}" if writer else "not running"


def _last_written(study: Path) -> float:
    # While the study runs, recent events are only in its write-ahead log.
    log = study.with_name(f"{study.name}-wal")
    with contextlib.suppress(FileNotFoundError):  # the study may have just ended
        return max(study.stat().st_mtime, log.stat().st_mtime)
    return study.stat().st_mtime


def _plugins(_: argparse.Namespace) -> Iterable[str]:
    """Lists the plug-ins from their metadata, without importing them."""
    for group in get_args(PluginGroup):
        yield group
        points = sorted(entry_points(group=group), key=lambda point: point.name)
        width = max((len(point.name) for point in points), default=0)
        for point in points:
            yield f"  {point.name:<{width}}  {point.value}  {_distribution(point)}"


def _distribution(point: EntryPoint) -> str:
    return f"({point.dist.name} {point.dist.version})" if point.dist else ""


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
