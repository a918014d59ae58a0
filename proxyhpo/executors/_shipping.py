"""Sends the work of a study to the processes that run its trainings."""

from __future__ import annotations

import io
import linecache
import pickle
import pkgutil
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch
from typing_extensions import override

from proxyhpo._runs import import_compiler
from proxyhpo.errors import ArgumentError, ExecutorError

if TYPE_CHECKING:
    from mmap import mmap

    from proxyhpo._runs import Work

__all__ = ["pack", "tune_torch", "unpack"]


def pack(work: Work) -> bytes:
    """Serializes the work to bytes that :func:`pickle.loads` reads.

    Functions and classes of ``__main__`` (a script, a notebook) are sent by value, with the globals
    that they use. Those of a module are sent by name, and the worker imports the module. Modules
    of any class are sent by name as well.

    Raises:
        ArgumentError: names the part of the work that cannot be sent.
    """
    try:
        return _dumps(work)
    except Exception as error:
        raise ArgumentError(
            f"{_culprit(work)} cannot be sent to other processes: {error}. Open files, "
            "connections, locks and similar objects inside build or train, where they are used"
        ) from error


def unpack(packed: bytes | mmap) -> Work:
    """Loads the work in a worker, and the libraries that every training of it needs.

    Raises:
        ExecutorError: if it cannot be loaded; the message says what to do.
    """
    try:
        work: Work = pickle.loads(packed)  # noqa: S301 - the study's own, for its own processes
    except Exception as error:
        raise ExecutorError(
            f"a worker could not load the functions of the study: {error!r}. Their modules must be "
            "importable in the worker, or be sent by value: "
            "cloudpickle.register_pickle_by_value(module)"
        ) from error
    import_compiler()
    return work


def tune_torch(threads: int) -> None:
    """Configures torch for training beside other workers.

    More threads than cores slow all workers down. Denormal numbers, which small networks reach with
    weight decay, are up to a hundred times slower than normal ones.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _culprit(work: Work) -> str:
    for name, part in vars(work).items():
        try:
            _dumps(part)
        except Exception:  # noqa: BLE001, PERF203 - whichever the object raises; a few parts
            return f"the study's {name} ({type(part).__name__})"
    return "the study"


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Sends all modules by name, including those of a class other than Python's own.

    Examples are ``torch.backends.cudnn`` and ``torch.ops``, whose attributes are settings and
    operators, and modules that are loaded when they are first used. Code keeps the name of its
    file, so that the tracebacks of a worker show the lines of a script or of a notebook.
    """

    @override
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType) and type(obj) is not ModuleType and _has_name(obj):
            return pkgutil.resolve_name, (obj.__name__,)
        if isinstance(obj, CodeType):
            name = obj.co_filename
            source = [] if Path(name).is_file() else linecache.getlines(name)  # a notebook's cell
            _, args = self.dispatch_table[CodeType](obj)
            return _code, (args, name, source)
        return super().reducer_override(obj)


def _code(args: tuple[Any, ...], name: str, source: list[str]) -> CodeType:
    """The code object of these arguments, from a file of this name."""
    if source:  # without a time of change, an entry is not compared with a file
        linecache.cache.setdefault(name, (sum(map(len, source)), None, source, name))
    return CodeType(*args).replace(co_filename=name)


def _has_name(module: ModuleType) -> bool:
    """Whether a module is what is found by its name."""
    try:
        return pkgutil.resolve_name(module.__name__) is module
    except (AttributeError, ImportError, ValueError):
        return False


def _dumps(value: Any) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()
