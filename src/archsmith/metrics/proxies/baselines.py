"""The trivial proxies every other one has to beat: parameters, MACs, depth, and a random number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from archsmith._internal.seeding import mix
from archsmith.space import Architecture

COUNTED = ("params", "macs", "depth")  # what `costs` must give


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
    """Number of Conv2d and Linear layers, read from `costs`."""

    costs: Callable[[Architecture], Mapping[str, float]]
    name: str = "depth"

    def __call__(self, arch: Architecture) -> float:
        """arch -> layers."""
        return float(self.costs(arch)["depth"])


@dataclass(frozen=True)
class Random:
    """A number in [0, 1) that depends on the seed and the architecture only."""

    seed: int = 0
    name: str = "random"

    def __call__(self, arch: Architecture) -> float:
        """arch -> the number."""
        return mix(self.seed, "random proxy", arch.key) / 2**63
