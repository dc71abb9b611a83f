"""An architecture's network as it is before training: weights newly drawn, by torch's default or as
a score asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from archsmith.elastic.supernet import extract
from archsmith.metrics.proxies.reading import Init
from archsmith.space import Architecture

_DRAWS: dict[str, Callable[..., Any]] = {
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_normal_,
    "gaussian": nn.init.normal_,
}


def initialized_network(model: nn.Module, arch: Architecture, init: Init, seed: int) -> nn.Module:
    """The extracted network with newly drawn weights; for all but "default" the biases of Conv2d
    and Linear are 0."""
    generator = torch.Generator().manual_seed(seed)
    network = extract(model, arch, weights="fresh", generator=generator, device="cpu")
    if init == "default":
        return network
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw = _DRAWS[init]
            draw(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
