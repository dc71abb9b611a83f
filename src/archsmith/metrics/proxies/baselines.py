"""The trivial proxies every other one has to beat: parameters, MACs, depth, and a random number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from archsmith.seeding import mix
from archsmith.space import Architecture
from archsmith.supernet import extract


@dataclass(frozen=True)
class Params:
    """Number of parameters, read from `costs`."""

    costs: Callable[[Architecture], Mapping[str, float]]
    name: str = "params"

    def __call__(self, arch: Architecture) -> float:
        """arch -> parameters."""
        return float(self.costs(arch)["params"])


@dataclass(frozen=True)
class MACs:
    """Multiply-accumulates of one image, read from `costs`."""

    costs: Callable[[Architecture], Mapping[str, float]]
    name: str = "macs"

    def __call__(self, arch: Architecture) -> float:
        """arch -> MACs."""
        return float(self.costs(arch)["macs"])


@dataclass(frozen=True)
class Depth:
    """Number of Conv2d and Linear layers of the extracted network."""

    model: nn.Module
    name: str = "depth"

    def __call__(self, arch: Architecture) -> float:
        """arch -> layers."""
        plain = extract(self.model, arch, weights="fresh", device="meta")
        return float(sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in plain.modules()))


@dataclass(frozen=True)
class Random:
    """A number in [0, 1) that depends on the seed and the architecture only."""

    seed: int = 0
    name: str = "random"

    def __call__(self, arch: Architecture) -> float:
        """arch -> the number."""
        return mix(self.seed, "random proxy", arch.key) / 2**63
