"""What was recorded of a search space: metrics that look up instead of measuring, and the benchmark
they make up."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from archsmith.errors import EvaluationFailed, UserError
from archsmith.problem import Metric, figure
from archsmith.space import Architecture, SearchSpace

SIMULATED = "simulated_seconds"  # the ledger entry of what an evaluation took when it was recorded


@dataclass(frozen=True, eq=False)
class Rows:
    """Which row of the recorded columns belongs to an architecture.

    `key(arch)` is what the row is found by, `keys` are those of the rows; architectures that
    compute the same may share one. `read(text)` is the architecture of a row's text in `texts`.
    """

    what: str
    keys: Sequence[Hashable]
    key: Callable[[Architecture], Hashable]
    texts: Sequence[Any]
    read: Callable[[Any], Architecture]

    def __post_init__(self) -> None:
        if len(self._row) != len(self.keys):
            twice = next(key for row, key in enumerate(self.keys) if self._row[key] != row)
            raise UserError(f"{self.what} holds two rows of {twice}; keep one")

    @cached_property
    def _row(self) -> dict[Hashable, int]:
        return {key: row for row, key in enumerate(self.keys)}

    def of(self, arch: Architecture) -> int:
        """The row of an architecture; EvaluationFailed where it was not recorded."""
        row = self._row.get(self.key(arch))
        if row is None:
            raise EvaluationFailed(f"{self.what} holds no record of {dict(arch)}")
        return row

    def __contains__(self, arch: Architecture) -> bool:
        return self.key(arch) in self._row

    @cached_property
    def archs(self) -> tuple[Architecture, ...]:
        """The architecture of each row, in the order of the rows."""
        return tuple(map(self.read, self.texts))


@dataclass(frozen=True, eq=False)
class Lookup:
    """A metric that reads one recorded column: arch -> float. EvaluationFailed where there is no
    value."""

    name: str
    rows: Rows
    values: np.ndarray

    def __call__(self, arch: Architecture) -> float:
        value = float(self.values[self.rows.of(arch)])
        if math.isnan(value):
            raise EvaluationFailed(f"{self.rows.what} holds no {self.name} of {dict(arch)}")
        return value

    def batch(self, archs: Sequence[Architecture]) -> list[float]:
        """The values of many, in order."""
        return [self(arch) for arch in archs]


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric recorded at several fidelities, with what each evaluation took.

    `values[fidelity]` and `costs[fidelity][ledger entry]` are columns. A call gives the value at
    the full fidelity.
    """

    name: str
    rows: Rows
    values: Mapping[float, np.ndarray]
    costs: Mapping[float, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def fidelities(self) -> tuple[float, ...]:
        """Those recorded, ascending; the last is the full one."""
        return tuple(sorted(self.values))

    def at(self, arch: Architecture, fidelity: float) -> float:
        """The value at one of the fidelities; UserError at another."""
        return Lookup(self.name, self.rows, self.values[self._known(fidelity)])(arch)

    def __call__(self, arch: Architecture) -> float:
        return self.at(arch, self.fidelities[-1])

    def batch(self, archs: Sequence[Architecture]) -> list[float]:
        """The values of many at the full fidelity, in order."""
        return [self(arch) for arch in archs]

    def cost(self, arch: Architecture, fidelity: float | None = None) -> dict[str, float]:
        """What one evaluation adds to the ledger; None is the full fidelity."""
        known = self._known(self.fidelities[-1] if fidelity is None else fidelity)
        row = self.rows.of(arch)
        return {entry: float(column[row]) for entry, column in self.costs.get(known, {}).items()}

    def _known(self, fidelity: float) -> float:
        if fidelity not in self.values:
            known = ", ".join(map(figure, self.fidelities))
            raise UserError(
                f"{self.rows.what} records {self.name} at {known}, not at "
                f"{figure(fidelity)}; ask for one of those"
            )
        return fidelity


@dataclass(frozen=True)
class Recorded:
    """A search space with recorded results.

    `score` is what a search may look at; `truth` is for judging what it found. Both are metrics
    called "accuracy", larger is better. `repeats`: the score as each recorded training run gives it
    (the first is `score`), so that searches with different seeds can see different noise.
    `records`: further recorded columns as metrics (parameters, latencies, ...). `facts`, for
    reports, always with
      title, source, licence, file, sha256          where it comes from score, truth, unit
      what the two metrics are optimum, best                                 the best truth and its
      architecture as text (None: unknown) noise                                         standard
      deviations of single runs by name, or None surrogate                                     None,
      or what is predicted instead of measured simulated_seconds                             what
      the cost is, or None complete, count                               whether all of the space
      has records; how many rows there are truth_fidelity                                the
      fidelity of the truth (epochs), or None
    """

    name: str
    space: SearchSpace
    score: Metric
    truth: Metric
    facts: Mapping[str, Any]
    rows: Rows
    repeats: tuple[Metric, ...] = ()
    records: Mapping[str, Lookup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "repeats", self.repeats or (self.score,))

    def archs(self) -> tuple[Architecture, ...]:
        """All recorded architectures, one per row, in the order of the file."""
        return self.rows.archs


def tabulated(
    name: str,
    space: SearchSpace,
    values: Mapping[Architecture, float] | Mapping[float, Mapping[Architecture, float]],
    *,
    seconds: Mapping[Architecture, float]
    | Mapping[float, Mapping[Architecture, float]]
    | None = None,
    truth: Mapping[Architecture, float] | None = None,
    **facts: Any,
) -> Recorded:
    """A benchmark from a table: architecture -> accuracy, larger is better, or fidelity -> such a
    table, the full one last.

    `seconds`: what each took, in the same form; `truth`: what searches are judged by, where that is
    another table than what they see. `facts`: of `Recorded.facts`, those that you want to say
    (title, source, licence, unit, ...). Raises UserError for an empty table, architectures that the
    space does not hold, or tables of different architectures.

    Example: tabulated("mine", space, {arch: accuracy for arch, accuracy in rows})
    """
    tables = _by_fidelity(values)
    archs = list(tables[max(tables)])
    if not archs:
        raise UserError(f"benchmark '{name}': the table is empty; give {{architecture: accuracy}}")
    for arch in archs:
        space.check(arch)
    texts = [arch.to_json() for arch in archs]
    rows = Rows(name, [a.key for a in archs], _key_of, texts=texts, read=Architecture.from_json)
    columns = {fidelity: _column(name, table, archs) for fidelity, table in tables.items()}
    took = (
        {}
        if seconds is None
        else {f: {SIMULATED: _column(name, t, archs)} for f, t in _by_fidelity(seconds).items()}
    )
    score = (
        Curve("accuracy", rows, columns, took)
        if len(columns) > 1 or took
        else Lookup("accuracy", rows, columns[max(columns)])
    )
    judged = columns[max(columns)] if truth is None else _column(name, truth, archs)
    known = {
        "title": name,
        "source": "a table",
        "licence": None,
        "file": None,
        "sha256": None,
        "score": "the table",
        "unit": "",
        "truth": "the table itself: searches see what they are judged by"
        if truth is None
        else "a table of its own",
        **optimum(judged, rows),
        "noise": None,
        "surrogate": None,
        "simulated_seconds": "as given" if took else None,
        "complete": space.size == len(archs),
        "count": len(archs),
        "truth_fidelity": None,
    }
    return Recorded(
        name,
        space,
        score,
        truth=Lookup("accuracy", rows, judged),
        facts={**known, **facts},
        rows=rows,
    )


def _key_of(arch: Architecture) -> str:
    return arch.key


def _by_fidelity(table: Mapping[Any, Any]) -> dict[float, Mapping[Architecture, float]]:
    """As it is, or a plain table as that of the only fidelity."""
    plain = all(isinstance(key, Architecture) for key in table)
    return (
        {1.0: table} if plain else {float(fidelity): table[fidelity] for fidelity in sorted(table)}
    )


def _column(
    name: str, table: Mapping[Architecture, float], archs: Sequence[Architecture]
) -> np.ndarray:
    if missing := [arch for arch in archs if arch not in table]:
        raise UserError(
            f"benchmark '{name}': a table has no value of {dict(missing[0])}, which another one "
            f"has; give it in all"
        )
    return np.array([float(table[arch]) for arch in archs])


def faithful(recorded: Recorded) -> Curve:
    """The truth as if a search could pay for it, with the score's fidelities below it: to test a
    searcher by itself.

    What is found this way has seen the test accuracy: no result of a method. Where the truth was
    trained longer than the score, its cost is that of the score times the ratio of their epochs.
    """
    score, truth, full = recorded.score, recorded.truth, recorded.facts["truth_fidelity"]
    if not isinstance(score, Curve) or not isinstance(truth, Lookup) or full is None:
        raise UserError(
            f"{recorded.name} records no fidelities; use its truth itself where a search may see it"
        )
    last = score.fidelities[-1]
    costs = {entry: column * (full / last) for entry, column in score.costs.get(last, {}).items()}
    return Curve(
        score.name, score.rows, {**score.values, full: truth.values}, {**score.costs, full: costs}
    )


def spread(runs: Sequence[np.ndarray], among: np.ndarray | None = None) -> float | None:
    """The standard deviation of a single run: pooled over the rows with at least two runs; None
    where there are none."""
    table = np.stack(runs, axis=1)[slice(None) if among is None else among]
    counts = np.sum(~np.isnan(table), axis=1)
    table, counts = table[counts > 1], counts[counts > 1]
    if not len(table):
        return None
    squares = np.nansum((table - np.nanmean(table, axis=1, keepdims=True)) ** 2)
    return float(np.sqrt(squares / np.sum(counts - 1)))


def optimum(values: np.ndarray, rows: Rows) -> dict[str, Any]:
    """The facts `optimum` and `best` of a column."""
    row = int(np.nanargmax(values))
    return {"optimum": float(values[row]), "best": str(rows.texts[row])}
