"""An image and its mirror image: networks that answer by the mean of both, as a decision of the
space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archsmith.elastic.blocks import OneOf
from archsmith.space import Architecture, Choice

if TYPE_CHECKING:
    from archsmith.elastic.structure import Structure

NAME = "views"  # the decision: how often an image is looked at, 1 or 2


class Mirrored(nn.Module):
    """Images (B, C, H, W) and, after them, their mirror images: (2 B, C, H, W). In training the
    images alone."""

    def forward(self, x: Tensor) -> Tensor:
        """What is to be looked at."""
        return x if self.training else torch.cat([x, torch.flip(x, [3])])


class Averaged(nn.Module):
    """Outputs (2 B, K) of images and mirror images -> their means (B, K). In training they are what
    they are."""

    def forward(self, y: Tensor) -> Tensor:
        """One answer an image."""
        return y if self.training else y.unflatten(0, (2, -1)).mean(0)


def with_views(model: nn.Sequential) -> nn.Sequential:
    """The model with one more decision, `views`: 2 is the mean of what it makes of an image and of
    its mirror image.

    That costs twice the MACs and gains most where networks learned from both (test-time
    augmentation, which here is part of what is counted and shipped). For images whose mirror image
    means the same.
    """
    choice = Choice(1, 2, name=NAME)
    supernet = nn.Sequential()
    supernet.add_module(NAME, OneOf(_either(Mirrored()), choice=choice))
    for name, child in model.named_children():
        supernet.add_module(name, child)
    supernet.add_module("mean", OneOf(_either(Averaged()), choice=choice))
    return supernet


def _either(twice: nn.Module) -> Mapping[Any, nn.Module]:
    return {1: nn.Identity(), 2: twice}


def looks_twice(network: nn.Module) -> bool:
    """Whether a plain network answers by the mean of an image and its mirror image."""
    return any(isinstance(module, Mirrored) for module in network.modules())


def decisions(reading: Structure) -> tuple[str, ...]:
    """The decisions of a model by which everything in it is computed twice: one, or none."""
    gates = (
        gate
        for place in reading.places
        if isinstance(place.module, Mirrored)
        for gate in reading.along[place.path] or ()
    )
    return tuple(dict.fromkeys(name for gate in gates for name in gate.names))


def once(arch: Architecture, names: tuple[str, ...]) -> Architecture:
    """The architecture that looks at each image once; `names`: its `decisions`."""
    if all(arch[name] == 1 for name in names):
        return arch
    return Architecture({**arch, **dict.fromkeys(names, 1)})
