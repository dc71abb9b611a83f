"""The loop that asks a searcher, measures, records and tells; resume is replay of the record."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from archsmith.errors import Damaged
from archsmith.problem import Candidate, Problem, Trial
from archsmith.searchers.archive import Archive
from archsmith.searchers.sqlite import Record

# so much measuring at most is lost when a run is killed, where trials are short
_PIECE_SECONDS = 0.5


class Searcher(Protocol):
    """Proposes candidates and hears what became of them, in the order it asked."""

    def ask(self) -> Sequence[Candidate]:
        """The next batch; empty: there is nothing left to try."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """One trial per candidate of the last batch, in its order."""
        ...


Proposals = Generator[Sequence[Candidate], list[Trial], None]


class GeneratorSearcher:
    """A searcher from a generator that yields lists of candidates and receives lists of trials."""

    def __init__(self, proposals: Proposals) -> None:
        self._proposals = proposals
        self._trials: list[Trial] | None = None
        self._batch: Sequence[Candidate] | None = None

    def ask(self) -> Sequence[Candidate]:
        """The batch that waits for its trials, or the next one; [] where the generator has
        ended."""
        if self._batch is None:
            try:
                self._batch = list(
                    next(self._proposals)
                    if self._trials is None
                    else self._proposals.send(self._trials)
                )
            except StopIteration:
                self._batch = []
        return self._batch

    def tell(self, trials: Sequence[Trial]) -> None:
        """The trials of the batch that was asked last."""
        assert self._batch is not None, "tell before ask"
        candidates = [trial.candidate for trial in trials]
        assert candidates == list(self._batch), (
            f"{len(candidates)} trials told that are not the {len(self._batch)} asked, in order"
        )
        self._trials, self._batch = list(trials), None


def searcher(function: Callable[..., Proposals]) -> Callable[..., GeneratorSearcher]:
    """Makes a searcher factory of a generator function `(problem, seed=0, **settings)`, so that it
    reads like pseudo-code.

    `trials = yield candidates` measures; `return` ends the search.
    """

    @functools.wraps(function)
    def make(problem: Problem, seed: int = 0, **settings: Any) -> GeneratorSearcher:
        return GeneratorSearcher(function(problem, seed, **settings))

    return make


def run_searcher(
    problem: Problem,
    searcher: Searcher,
    *,
    trials: int,
    archive: Record | None = None,
    evaluate: Callable[[Sequence[Candidate], str], list[Trial]] | None = None,
    at_once: int | None = None,
    stage: str = "",
    stop: Callable[[], bool] | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> Record:
    """Measures what `searcher` proposes until there are `trials` trials, it proposes no more, or
    `stop()` is true.

    `problem`: what is measured. `searcher`: one from `archsmith.searchers.make(name)(problem,
    seed=0)`, or one's own: `ask()` gives candidates, `tell(trials)` hears what became of them.
    `archive`: the record to go on with, default: a new one. What it holds of this `stage` is
    replayed, not measured again: the searcher must be the one that made it, with the same seed and
    settings, else Damaged is raised. New trials are recorded in small pieces as they are measured;
    `on_trial` sees those. `evaluate(candidates, stage)` takes the place of `problem.evaluate`.
    `at_once`: so many candidates of a batch are measured and recorded together, whatever time they
    take.

    Returns the archive. Raises OutOfSpace for a candidate that the space does not hold, NothingFits
    from searchers that find none.

    >>> from archsmith.searchers import make
    >>> space = archsmith.SearchSpace({"width": (16, 24, 32), "kernel": (3, 5, 7)})
    >>> score = archsmith.maximize(lambda arch: arch["width"] - arch["kernel"], name="score")
    >>> problem = archsmith.Problem(space, [score])
    >>> archive = archsmith.run_searcher(problem, make("random")(problem, seed=0), trials=9)
    >>> dict(archive.best.arch)
    {'width': 32, 'kernel': 3}
    """
    archive = Archive() if archive is None else archive
    archive.bind(problem.space)
    recorded = deque(archive.stage(stage))
    done = 0
    while done < trials:
        batch = searcher.ask()
        if not batch:
            if recorded:
                raise Damaged(
                    f"the record holds {len(recorded)} more trials of stage '{stage}' than this "
                    f"search proposes{_ADVICE}"
                )
            break
        known = _replayed(recorded, batch, stage)
        untried = list(batch[len(known) : trials - done])
        for candidate in untried:
            problem.space.check(candidate.arch)
        for piece in _pieces(untried, stop, at_once):
            measured = (evaluate or problem.evaluate)(piece, stage)
            archive.extend(measured)
            known.extend(measured)
            for trial in measured if on_trial else ():
                on_trial(trial)  # type: ignore[misc]
        done += len(known)
        if len(known) < len(batch):
            break
        searcher.tell(known)
    return archive


_ADVICE = "; resume with the settings and the seed it was started with, or start a new run"


def _replayed(recorded: deque[Trial], batch: Sequence[Candidate], stage: str) -> list[Trial]:
    """Takes from the record the trials of this batch, as far as it goes."""
    known: list[Trial] = []
    while recorded and len(known) < len(batch):
        trial, asked = recorded.popleft(), batch[len(known)]
        if trial.candidate != asked:
            raise Damaged(
                f"stage '{stage}' holds {trial.arch.key} where this search proposes "
                f"{asked.arch.key}{_ADVICE}"
            )
        # what was asked: a record has decisions in an order of its own, which draws would follow
        known.append(replace(trial, candidate=asked))
    return known


def _pieces(
    candidates: Sequence[Candidate], stop: Callable[[], bool] | None, at_once: int | None
) -> Iterator[Sequence[Candidate]]:
    """So many at a time; else one first, then as many as take about half a second together. Until
    `stop()`."""
    start, size = 0, at_once or 1
    while start < len(candidates) and not (stop and stop()):
        begun = time.monotonic()
        yield candidates[start : start + size]
        start += size
        seconds = max(time.monotonic() - begun, 1e-6)
        size = at_once or max(1, min(4 * size, 256, int(size * _PIECE_SECONDS / seconds)))
