"""The one training loop, its recipe, its checkpoints, and where it runs; each name is imported when
it is first used."""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING
from typing import Any as _Any

if TYPE_CHECKING:
    from archsmith.training.checkpoint import load, save
    from archsmith.training.device import pick_device, set_threads
    from archsmith.training.loop import advance
    from archsmith.training.recipe import Recipe, default_recipe
    from archsmith.training.state import TrainState, start

_WHERE = {
    "load": "checkpoint",
    "save": "checkpoint",
    "pick_device": "device",
    "set_threads": "device",
    "advance": "loop",
    "Recipe": "recipe",
    "default_recipe": "recipe",
    "TrainState": "state",
    "start": "state",
}
__all__ = [
    "Recipe",
    "TrainState",
    "advance",
    "default_recipe",
    "load",
    "pick_device",
    "save",
    "set_threads",
    "start",
]


def __getattr__(name: str) -> _Any:
    if name in _WHERE:
        return getattr(_importlib.import_module(f"archsmith.training.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'archsmith.training' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
