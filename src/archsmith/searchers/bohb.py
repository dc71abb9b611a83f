"""BOHB: Hyperband whose architectures come from kernel densities of what was good and what was not
(Falkner et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from archsmith.problem import Candidate, Problem, Trial, rank
from archsmith.searchers.hyperband import brackets, ladder, promoted
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import INACTIVE, Architecture, SearchSpace

_NARROWEST = 1e-3  # a bandwidth of zero would never propose an option that no good architecture has


@searcher
def bohb(
    problem: Problem,
    seed: int = 0,
    eta: int = 3,
    random_share: float = 1 / 3,
    good_share: float = 0.15,
    samples: int = 64,
    widening: float = 3.0,
    batch: int = 1,
) -> Proposals:
    """Falkner, Klein and Hutter, "BOHB" (ICML 2018), algorithms 1 and 2.

    Hyperband, but all except `random_share` of the architectures that enter are the best by
    l(x)/g(x) of `samples` drawn from l with its bandwidths times `widening`. The densities are of
    the highest fidelity with N_min + 2 trials, N_min = decisions + 1; l is of the best max(N_min,
    `good_share` of N), g of the other max(N_min, ...), as equation 3. `batch` architectures are
    drawn from one state of the densities (parallel workers in the paper). Deviations: as
    `hyperband`; all options count as unordered; a decision that an architecture lacks counts as one
    more option.
    """
    at_least_one(samples=samples, batch=batch)
    rungs = ladder(problem, eta)
    rng = Random(seed)
    untried = Untried(problem, rng)
    grid = Grid.of(problem.space)
    least = sum(len(options) > 1 for options in grid.allowed) + 1
    seen: dict[float, list[Trial]] = {fidelity: [] for fidelity in rungs}

    def proposal() -> Candidate | None:
        trials = next(
            (seen[fidelity] for fidelity in reversed(rungs) if len(seen[fidelity]) >= least + 2), []
        )
        if trials and rng.random() >= random_share:
            vectors = np.array(
                [problem.space.encode(trial.arch) for trial in sorted(trials, key=rank)]
            )
            size = max(least, int(good_share * len(trials)))
            good = Density.of(vectors[:size], grid)
            rest = Density.of(vectors[-max(least, len(trials) - size) :], grid)
            pool = untried.pool(lambda: grid.architecture(good.draw(rng, widening), rng), samples)
            if pool:
                drawn = np.array([problem.space.encode(arch) for arch in pool])
                best = int(np.argmax(good.log(drawn) - rest.log(drawn)))
                (arch,) = untried.taken([pool[best]])
                return Candidate(arch, origin="model")
        return next((Candidate(arch, origin="random") for arch in untried.draw(1)), None)

    while True:
        for start, count in brackets(len(rungs), eta):
            trials: list[Trial] = []
            while len(trials) < count:
                asked = [proposal() for _ in range(min(batch, count - len(trials)))]
                candidates = [Candidate(c.arch, rungs[start], c.origin) for c in asked if c]
                if not candidates:
                    break
                trials += yield candidates
                seen[rungs[start]] += trials[-len(candidates) :]
            if not trials:
                return
            for trial in (yield from promoted(trials, rungs[start + 1 :], eta)):
                seen[trial.candidate.fidelity or rungs[-1]].append(trial)


@dataclass(frozen=True)
class Grid:
    """The option indices that each decision of a space may take in a vector, INACTIVE among them
    where it may not exist."""

    space: SearchSpace
    allowed: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(space: SearchSpace) -> Grid:
        """That of a space."""
        allowed = []
        for name, everything in space.universe.items():
            own = [everything.index(option) for option in space.options[name]]
            allowed.append(tuple([INACTIVE, *own] if name in space.conditions else own))
        return Grid(space, tuple(allowed))

    def architecture(self, vector: Sequence[int], rng: Random) -> Architecture:
        """That of a vector; what it needs and the vector has as inactive is uniform."""
        full = [
            index if index != INACTIVE else rng.choice([own for own in options if own != INACTIVE])
            for index, options in zip(vector, self.allowed, strict=True)
        ]
        return self.space.decode(full)


@dataclass(frozen=True)
class Density:
    """A kernel density over vectors of unordered options: the product of Aitchison and Aitken's
    (1976) kernel over decisions.

    The kernel of a decision with c options is 1 - width at the point's own option and width / (c -
    1) at every other. Widths by the normal reference rule, 1.06 sigma n^(-1 / (4 + d)), of the
    indices, as the paper's implementation has them.
    """

    points: np.ndarray
    widths: np.ndarray
    grid: Grid

    @staticmethod
    def of(points: np.ndarray, grid: Grid) -> Density:
        """That of vectors (n, decisions)."""
        count, size = points.shape
        most = np.array([(len(options) - 1) / len(options) for options in grid.allowed])
        widths = 1.06 * points.std(axis=0) * count ** (-1 / (4 + size))
        return Density(points, np.minimum(np.maximum(widths, _NARROWEST), most), grid)

    def log(self, vectors: np.ndarray) -> np.ndarray:
        """The logarithm at each of the vectors (m, decisions)."""
        others = np.array([max(1, len(options) - 1) for options in self.grid.allowed])
        # a decision with one option has width 0 and no other options
        with np.errstate(divide="ignore"):
            same, other = np.log1p(-self.widths), np.log(self.widths / others)
        equal = vectors[:, None, :] == self.points[None]
        return np.logaddexp.reduce(np.where(equal, same, other).sum(axis=2), axis=1) - math.log(
            len(self.points)
        )

    def draw(self, rng: Random, widening: float = 1.0) -> list[int]:
        """One vector: a point, each decision of which takes another option with the probability
        that its width, widened, is."""
        vector = []
        for index, width, options in zip(
            rng.choice(self.points), self.widths, self.grid.allowed, strict=True
        ):
            moved = len(options) > 1 and rng.random() < min(widening * width, 1 - 1 / len(options))
            vector.append(
                rng.choice([own for own in options if own != index]) if moved else int(index)
            )
        return vector
