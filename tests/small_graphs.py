"""Small graphs: layers by name with a forward that is given, and which channels are free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic.channels import Channels
from archsmith.elastic.following import followed
from archsmith.elastic.tracing import traced

IMAGES = torch.rand(2, 3, 8, 8)


class Net(nn.Module):
    """Layers by name, and a forward that is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.does = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def conv(inputs: int, outputs: int, kernel: int = 1, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **more)


def channels(
    forward: Callable[[Any, Tensor], Tensor], x: Tensor = IMAGES, **layers: Any
) -> Channels:
    model = Net(forward, **layers)
    return followed(model, traced(model, x))


def free(found: Channels) -> dict[str, int]:
    """Name -> size of the widths that nothing keeps."""
    groups = found.groups
    return {groups.name(g): groups.size(g) for g in groups.roots if groups.reason(g) is None}


def read(found: Channels, path: str) -> list[tuple[str, int]]:
    """What a layer reads: (name, repeat) of each part."""
    taken = found.ends[path][0] or ()
    return [(found.groups.name(p.group), p.repeat) for p in found.groups.opened(taken)]
