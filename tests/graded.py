"""A metric with fidelities, and losses by formula, that the tests of searchers share: no torch."""

from __future__ import annotations

from collections.abc import Callable

from archsmith.space import Architecture

FIDELITIES = (1, 3, 9, 27)


class Graded:
    """Larger is better; at lower fidelities less, by an amount that looks random and differs
    between architectures."""

    fidelities = FIDELITIES

    def __init__(
        self, full: Callable[[Architecture], float], name: str = "quality", noise: float = 2.0
    ) -> None:
        self.full, self.name, self.noise = full, name, noise

    def __call__(self, arch: Architecture) -> float:
        return self.full(arch)

    def at(self, arch: Architecture, fidelity: float) -> float:
        missing = (27 / fidelity - 1) / 26
        return self.full(arch) - self.noise * missing * (1 + int(arch.key[:8], 16) / 2**32)

    def cost(self, arch: Architecture, fidelity: float | None) -> dict[str, float]:
        return {"epochs": fidelity or 27}
