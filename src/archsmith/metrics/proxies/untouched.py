"""A proxy's licence: within `untouched` a network may be run in train mode; afterwards everything
about it is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from archsmith._internal.modes import modes_kept
from archsmith._internal.onednn import sound
from archsmith._internal.seeding import seeded


@contextmanager
def untouched(module: nn.Module, seed: int = 0) -> Iterator[nn.Module]:
    """Train mode, every parameter with requires_grad, global RNG seeded; on exit modes,
    requires_grad, buffers and RNG are back.

    Gradients are to be taken with torch.autograd.grad, which leaves `.grad` alone.
    """
    wanted = {parameter: parameter.requires_grad for parameter in module.parameters()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        with modes_kept(module), seeded(seed, device), sound(module):
            module.train()
            for parameter in wanted:
                parameter.requires_grad_(True)
            yield module
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)
