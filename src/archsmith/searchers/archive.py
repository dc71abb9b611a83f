"""The record of trials, which only grows, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archsmith.errors import UserError
from archsmith.problem import Trial, rank
from archsmith.problem.pareto import front
from archsmith.space import SearchSpace


class Archive:
    """Trials in memory, in the order they came; it only grows. What `archsmith.run_searcher` gives.

    `trials`: those it begins with. `.best`, `.top(k)` and `.pareto()` ask it, `for trial in
    archive` reads it.

    Where an architecture was measured again (weights moved), queries take its newest trial. Losses
    at different fidelities do not compare, so queries take trials at the highest there is (no
    fidelity: the full one). Trials of different stages have different losses: pass `stage` to a
    query where an archive holds several.

    >>> from archsmith.problem import Candidate, Trial
    >>> small, large = archsmith.Architecture({"width": 16}), archsmith.Architecture({"width": 32})
    >>> archive = archsmith.Archive(
    ...     [Trial(Candidate(small), losses=(2.0,)), Trial(Candidate(large), losses=(1.0,))]
    ... )
    >>> len(archive), archive.best.arch["width"], [trial.losses for trial in archive.top(2)]
    (2, 32, [(1.0,), (2.0,)])
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self._trials = list(trials)
        self._fingerprint: str | None = None

    def bind(self, space: SearchSpace) -> None:
        """Ties the record to a space (and its restrictions); another space is refused from then
        on."""
        self._fingerprint = bound_to(self._fingerprint, space, "this archive")

    def extend(self, trials: Iterable[Trial]) -> None:
        """Adds trials at the end."""
        self._trials.extend(trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def stage(self, name: str) -> list[Trial]:
        """The trials of one stage, in order."""
        return [trial for trial in self if trial.stage == name]

    @property
    def best(self) -> Trial | None:
        """The feasible trial of the smallest first loss, the earliest of equals; None where there
        is none."""
        return next(iter(self.top(1)), None)

    def top(self, k: int, stage: str | None = None) -> list[Trial]:
        """The `k` feasible trials of the smallest first loss, best first."""
        return sorted(self._newest(stage), key=rank)[:k]

    def pareto(self, stage: str | None = None) -> list[Trial]:
        """The feasible trials that no other dominates, by ascending first loss."""
        trials = self._newest(stage)
        if len({len(trial.losses) for trial in trials}) > 1:
            stages = sorted({trial.stage for trial in trials})
            raise UserError(
                f"trials with different numbers of objectives cannot be compared; pass "
                f"stage=, one of {stages}"
            )
        return sorted((trials[i] for i in front([trial.losses for trial in trials])), key=rank)

    def _newest(self, stage: str | None) -> list[Trial]:
        trials = [trial for trial in self if stage is None or trial.stage == stage]
        highest = max(
            (t.candidate.fidelity for t in trials if t.candidate.fidelity is not None), default=None
        )
        newest = {t.arch.key: t for t in trials if t.candidate.fidelity in (None, highest)}
        return [trial for trial in newest.values() if trial.feasible and trial.losses]


def bound_to(fingerprint: str | None, space: SearchSpace, where: str) -> str:
    if fingerprint not in (None, space.fingerprint):
        raise UserError(
            f"{where} holds trials of another search space ({fingerprint}, this one is "
            f"{space.fingerprint}); "
            "go on with the space it was started with, or start a new run"
        )
    return space.fingerprint
