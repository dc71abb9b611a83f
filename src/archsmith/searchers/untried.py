"""What was not proposed before: draws, children and pools that fit the cheap constraints and are
new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from archsmith.errors import UserError
from archsmith.feasibility.sampler import FeasibleSampler
from archsmith.problem import Problem, Trial
from archsmith.space import Architecture

_RARE = 8  # where fewer than one in so many children fits, those that do not are repaired


class Untried:
    """Architectures that fit the cheap constraints, each given out once."""

    def __init__(self, problem: Problem, rng: Random) -> None:
        self._problem = problem
        self._sampler = FeasibleSampler(problem.space, problem.cheap, rng)
        self._given: set[Architecture] = set()

    def draw(self, count: int) -> list[Architecture]:
        """Uniform over what fits and is new; fewer at the end of a small set. Raises NothingFits
        where nothing is found."""
        drawn: list[Architecture] = []
        while len(drawn) < count and (archs := self._sampler.draw(1)):
            drawn += self.taken(archs)
        return drawn

    def taken(self, archs: Iterable[Architecture]) -> list[Architecture]:
        """Those that are new, each once, which they are no longer."""
        new = [arch for arch in dict.fromkeys(archs) if arch not in self._given]
        self._given.update(new)
        return new

    def is_new(self, arch: Architecture) -> bool:
        """Whether it was not given out."""
        return arch not in self._given

    def fits(self, arch: Architecture) -> bool:
        """Whether it keeps the cheap constraints."""
        return not self._problem.cheap or self._sampler.gauge.violation(arch) <= 0

    def repaired(self, arch: Architecture) -> Architecture:
        """The architecture itself where it fits, else one near it that does."""
        return self._sampler.repaired(arch)

    def pool(self, make: Callable[[], Architecture], count: int) -> list[Architecture]:
        """Up to `count` different new ones that fit, of at most four times as many made; they
        remain free to be given out."""
        archs: dict[Architecture, None] = {}
        for tries in range(4 * count):
            if len(archs) == count:
                break
            arch = make()
            if arch in self._given or arch in archs:
                continue
            if not self.fits(arch):
                if len(archs) * _RARE > tries:
                    continue
                arch = self.repaired(arch)
                if arch in self._given or not self.fits(arch):
                    continue
            archs[arch] = None
        return list(archs)


def first_losses(trials: Sequence[Trial]) -> list[float]:
    """The first loss of each; that of the worst where one was infeasible or failed (0 where nothing
    was measured)."""
    measured = [trial.losses[0] for trial in trials if trial.losses]
    worst = max(measured, default=0.0)
    return [trial.losses[0] if trial.losses else worst for trial in trials]


def at_least_one(**settings: float) -> None:
    """UserError for a setting that is less."""
    for name, value in settings.items():
        if value < 1:
            raise UserError(f"{name}={value}; give at least 1")
