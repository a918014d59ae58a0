"""Updates the sizes that Python objects of a network remember.

Torch's own modules are known, see :mod:`torch_sizes`. In other modules an integer that equals a
changed size may or may not be that size. Such integers are candidates, which are tried by running
the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from proxyhpo.channels.cut.torch_sizes import is_known, sizes_of

__all__ = [
    "Candidate",
    "CandidateId",
    "Edit",
    "apply_edits",
    "candidates",
    "integers",
    "known_edits",
]

Path = tuple[str | int, ...]
"""Attributes and indices, starting at a module."""

Edit = tuple[str, Path, Any]
"""Module name, path of attributes and indices, new value."""

Sizes = Callable[[str], Sequence[int] | None]
"""Module name → the shape of its first input in the smaller network, if known."""


def known_edits(network: nn.Module, sizes: Sizes) -> list[Edit]:
    """The attributes of torch's modules that must change because their tensors are smaller."""
    edits: list[Edit] = []
    for name, module in network.named_modules():
        edits.extend(
            (name, (attribute,), value)
            for attribute, value in sizes_of(module, sizes(name)).items()
            if getattr(module, attribute) != value
        )
    return edits


def apply_edits(network: nn.Module, edits: Sequence[Edit]) -> None:
    """Sets attributes, also within tuples, lists, mappings and plain objects."""
    for name, path, value in edits:
        module: Any = network.get_submodule(name)
        state = _state(module)
        if state is None:
            _set(module, path, value)
        else:
            state = copy.deepcopy(state)
            _set(state, path, value)
            mode = module.training
            module.__setstate__(state)
            module.train(mode)


CandidateId = tuple[str, Path, int, str | None]
"""Module type, path of attributes, index among the possible sizes, and a single module."""


@dataclass(frozen=True)
class Candidate:
    """An attribute of one module type, and its possible new values.

    Args:
        id: identifies it.
        edits: one for each module of the type in which it equals a changed size.
    """

    id: CandidateId
    edits: tuple[Edit, ...]


def candidates(
    network: nn.Module, changed: Mapping[str, Mapping[int, Sequence[int]]]
) -> list[Candidate]:
    """Every integer attribute that equals a size that changed in its module.

    An attribute is assumed to mean the same in all modules of one type. If a size was replaced by
    several sizes in a module, that module also has its own candidates.

    Args:
        network: the full network, or a copy that has its integers.
        changed: module that ran → old size → its new sizes there, most likely first.
    """
    places: dict[tuple[str, Path], list[tuple[str, Sequence[int]]]] = {}
    for name, module in network.named_modules():
        if is_known(module):
            continue
        sizes = _sizes_in(name, changed)
        for path, value in integers(module):
            if value in sizes:
                alike = places.setdefault((type(module).__qualname__, path), [])
                alike.append((name, sizes[value]))
    found = []
    for (kind, path), alike in places.items():
        for choice in range(max(len(some) for _, some in alike)):
            edits = [(name, path, some[min(choice, len(some) - 1)]) for name, some in alike]
            found.append(Candidate((kind, path, choice, None), tuple(edits)))
        for name, some in alike if len(alike) > 1 else ():
            for choice, size in enumerate(some if len(some) > 1 else ()):
                found.append(Candidate((kind, path, choice, name), ((name, path, size),)))
    return found


def _sizes_in(
    name: str, changed: Mapping[str, Mapping[int, Sequence[int]]]
) -> Mapping[int, Sequence[int]]:
    """The sizes of the module itself, or of its parent if it is only a container."""
    while name and name not in changed:
        name = name.rpartition(".")[0]
    return changed.get(name, {})


def integers(module: nn.Module) -> Iterator[tuple[Path, int]]:
    """Path and value of every integer that a module remembers, also in its containers."""
    private = vars(nn.Module()).keys()
    for attribute, value in (_state(module) or vars(module)).items():
        if attribute not in private:
            yield from _inside(value, (attribute,), depth=2)


def _state(module: nn.Module) -> dict[str, Any] | None:
    """The state that a module is copied and pickled by, if it derives its attributes from it.

    An attribute of such a module would be lost in the next copy (einops' layers, for example).
    """
    kinds = (kind for kind in type(module).__mro__ if "__getstate__" in vars(kind))
    kind: Any = next(kinds, nn.Module)  # since Python 3.11 every object has this method
    if kind is nn.Module or "__setstate__" not in vars(kind):
        return None
    state = kind.__getstate__(module)
    return state if isinstance(state, dict) and "_modules" not in state else None


def _inside(value: Any, path: Path, depth: int) -> Iterator[tuple[Path, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield path, value
    elif depth == 0 or isinstance(value, (nn.Module, Tensor, type)) or callable(value):
        return
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from _inside(part, (*path, index), depth - 1)
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, (str, int)):
                yield from _inside(part, (*path, key), depth - 1)
    elif hasattr(value, "__dict__"):
        for name, part in vars(value).items():
            yield from _inside(part, (*path, name), depth - 1)


def _set(holder: Any, path: Path, value: Any) -> None:
    first, *rest = path
    if rest:
        inner = _get(holder, first)
        if isinstance(inner, tuple):
            changed = list(inner)
            _set(changed, tuple(rest), value)
            made = type(inner)(*changed) if hasattr(inner, "_fields") else type(inner)(changed)
            _set(holder, (first,), made)
        else:
            _set(inner, tuple(rest), value)
    elif isinstance(holder, (list, dict)):
        holder[first] = value  # type: ignore[index]  # an index of a list, or a key
    else:
        object.__setattr__(holder, str(first), value)  # also sets attributes of frozen dataclasses


def _get(holder: Any, key: str | int) -> Any:
    if isinstance(holder, (list, tuple, dict)):
        return holder[key]  # type: ignore[index]  # an index of a sequence, or a key
    return getattr(holder, str(key))
