"""The one training loop, its recipe, its checkpoints, and where it runs."""

from archsmith.training.checkpoint import load, save
from archsmith.training.device import pick_device, set_threads
from archsmith.training.loop import advance
from archsmith.training.recipe import Recipe, default_recipe
from archsmith.training.state import TrainState, start

__all__ = ["Recipe", "TrainState", "advance", "default_recipe", "load", "pick_device", "save", "set_threads", "start"]
