"""The identity of a study: a store can only be resumed by the study that wrote it."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from proxyhpo._engine.parts import Parts
from proxyhpo._plugins import public_path

__all__ = ["identity_of", "source_hash"]


def identity_of(
    parts: Parts, strategies: Mapping[str, object], settings: Mapping[str, object]
) -> dict[str, Any]:
    """What a store and a study must agree on before the study can be resumed; nested JSON.

    The number of trials and the number of finalists may change between runs, so they are not
    included.

    Args:
        parts: of the study.
        strategies: argument name → the strategy used for it.
        settings: argument name → value, of further arguments that affect trainings.
    """
    config = parts.networks.config_to_measure(parts.space)
    return {
        "space": parts.space.to_json(),
        "ladder": [
            {"density": rung.density, "cost": rung.cost, "by": rung.by, "budget": rung.budget}
            for rung in parts.ladder
        ],
        "direction": parts.direction,
        "seed": parts.seed,
        "strategies": {name: _describe(strategy) for name, strategy in strategies.items()},
        "network": {name: list(shape) for name, shape in parts.networks.shapes(config).items()},
        **settings,
    }


def source_hash(function: object) -> str | None:
    """A digest of a function's source, or None if the source is not available."""
    try:
        source = inspect.getsource(function)  # type: ignore[arg-type]  # TypeError says no
    except (TypeError, OSError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def _describe(strategy: object) -> dict[str, Any]:
    """Describes a strategy by its class and its public attributes that JSON can store."""
    settings = {
        name: value
        for name, value in vars(strategy).items()
        if not name.startswith("_") and _is_json(value)
    }
    return {"class": public_path(type(strategy)), "settings": settings}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
