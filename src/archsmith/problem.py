"""What is asked for: metrics, objectives, constraints; candidates that are measured and the trials that come of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.space import Architecture, SearchSpace

# A metric is any callable `arch -> float` or `arch -> {part: float}`. Optional attributes, read where present:
#   name: str            what it is called where nothing else is said
#   batch(archs)         the values of many at once, in order
#   cost: {entry: x}     what one evaluation adds to the ledger besides seconds (images, macs, proxy_passes, ...), or a
#                        function (arch, fidelity) that gives this; fidelity is None where none was asked for
#   fidelities: tuple    those it can be measured at, ascending, the full one last; then
#   at(arch, fidelity)   measures at one of them, and the plain call at the full one
#   terms: sequence      of Term that add up to it, or None; what is such a sum can be bounded exactly (searchers.generation)
#   cheap: bool          False where a value costs so much that samplers must not ask for it freely (default True)
Metric = Callable[[Architecture], "float | Mapping[str, float]"]


@dataclass(frozen=True)
class Term:
    """One part of an additive metric: `value(arch)` gives {part: number} and reads only the decisions `names`."""

    names: tuple[str, ...]
    value: Callable[[Architecture], Mapping[str, float]]


@dataclass(frozen=True)
class Objective:
    """A value to make small (sign +1) or large (sign -1)."""

    name: str
    metric: Metric
    sign: int = 1


def excess(value: float, low: float, high: float) -> float:
    """How far outside [low, high] the value lies, relative to the limit it breaks (absolute for a limit of 0); 0 inside.

    The one rule of violation: by it networks are drawn, ranked, shipped and reported. A value that is not finite keeps nothing.
    """
    if not math.isfinite(value):
        return math.inf
    if value > high:
        return (value - high) / (abs(high) or 1.0)
    if value < low:
        return (low - value) / (abs(low) or 1.0)
    return 0.0


@dataclass(frozen=True)
class Constraint:
    """A value to keep within [low, high]."""

    name: str
    metric: Metric
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise UserError(
                f"no value of '{self.name}' lies between {self.low} and {self.high}; give a low end below the high one"
            )

    @property
    def cheap(self) -> bool:
        """Whether samplers may ask for the value freely."""
        return bool(getattr(self.metric, "cheap", True))

    def excess(self, value: float) -> float:
        """How far outside the value lies, relative to the limit it breaks (absolute for a limit of 0); 0 inside."""
        return excess(value, self.low, self.high)

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"{self.name}<={figure(self.high)}"
        if self.high == math.inf:
            return f"{self.name}>={figure(self.low)}"
        return f"{figure(self.low)}<={self.name}<={figure(self.high)}"


def figure(value: float) -> str:
    """A number for a message: whole and large ones as integers, others with six significant digits."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return f"{value:.6g}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1e5 else f"{value:.6g}"


def name_of(metric: Metric, name: str | None = None) -> str:
    """The given name, else the metric's own, else that of its function or class."""
    return name or getattr(metric, "name", None) or getattr(metric, "__name__", None) or type(metric).__name__.lower()


def minimize(metric: Metric, name: str | None = None) -> Objective:
    """The smaller the better; where the metric returns parts, `name` picks one."""
    return Objective(name_of(metric, name), metric, 1)


def maximize(metric: Metric, name: str | None = None) -> Objective:
    """The larger the better; where the metric returns parts, `name` picks one."""
    return Objective(name_of(metric, name), metric, -1)


def at_most(metric: Metric, limit: float, name: str | None = None) -> Constraint:
    """At most `limit`; where the metric returns parts, `name` picks one: `at_most(costs, 3e6, name="params")`."""
    return Constraint(name_of(metric, name), metric, high=limit)


def at_least(metric: Metric, limit: float, name: str | None = None) -> Constraint:
    """At least `limit`."""
    return Constraint(name_of(metric, name), metric, low=limit)


def between(metric: Metric, low: float, high: float, name: str | None = None) -> Constraint:
    """From `low` to `high`, both included."""
    return Constraint(name_of(metric, name), metric, low, high)


@dataclass(frozen=True)
class Candidate:
    """An architecture to be measured, at a fidelity where the measurement knows several; `origin` says where it came from."""

    arch: Architecture
    fidelity: float | None = None
    origin: str = ""


@dataclass(frozen=True)
class Trial:
    """A measured candidate. `losses` (the smaller the better, one per objective) are () where it was infeasible or failed.

    `cost`: ledger entries (seconds, evaluations, images, macs, proxy_passes, ...). `measured`: False for predicted values.
    """

    candidate: Candidate
    metrics: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    violation: float = 0.0
    cost: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    measured: bool = True
    reason: str | None = None

    @property
    def arch(self) -> Architecture:
        """The architecture."""
        return self.candidate.arch

    @property
    def failed(self) -> bool:
        """Whether it could not be measured; `reason` says why."""
        return self.reason is not None

    @property
    def feasible(self) -> bool:
        """Whether it was measured and meets every constraint."""
        return self.reason is None and self.violation <= 0


def rank(trial: Trial) -> tuple[bool, float, float]:
    """A key to sort by, best first: failed last, then the smaller violation, then the smaller first loss."""
    return trial.failed, trial.violation, trial.losses[0] if trial.losses else math.inf


def total_cost(trials: Iterable[Trial]) -> dict[str, float]:
    """The ledger: what these trials cost together, entry by entry."""
    total: dict[str, float] = {}
    for trial in trials:
        for entry, amount in trial.cost.items():
            total[entry] = total.get(entry, 0.0) + amount
    return total


@dataclass(frozen=True)
class Problem:
    """A space, what to make small or large in it, and what to keep within limits.

    Objectives and constraints that hold the same metric object share one call of it per architecture.
    """

    space: SearchSpace
    objectives: Sequence[Objective] = ()
    constraints: Sequence[Constraint] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", _checked(self.objectives, Objective, "minimize(metric) or maximize(metric)"))
        object.__setattr__(self, "constraints", _checked(self.constraints, Constraint, "at_most, at_least or between"))
        parts: list[Objective | Constraint] = [*self.objectives, *self.constraints]
        owner: dict[str, Metric] = {}
        for part in parts:
            if owner.setdefault(part.name, part.metric) != part.metric:
                raise UserError(f"two metrics are called '{part.name}'; give one of them another name=")

    @property
    def fidelities(self) -> tuple[float, ...]:
        """Those of the first objective's metric, ascending, the full one last; () where it has none."""
        return tuple(getattr(self.objectives[0].metric, "fidelities", ())) if self.objectives else ()

    @property
    def cheap(self) -> tuple[Constraint, ...]:
        """The constraints that samplers may ask about freely, so that they propose nothing that breaks them."""
        return tuple(constraint for constraint in self.constraints if constraint.cheap)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """The sum of relative excesses over the limits, 0 where all are kept. A value that is missing is an error."""
        for constraint in self.constraints:
            if constraint.name not in metrics:
                raise UserError(
                    f"no value of '{constraint.name}' to hold against its limit{did_you_mean(constraint.name, metrics)}"
                )
        return sum((c.excess(metrics[c.name]) for c in self.constraints), 0.0)

    def losses(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """One loss per objective, the smaller the better."""
        return tuple(o.sign * metrics[o.name] for o in self.objectives)

    def evaluate(self, candidates: Sequence[Candidate], stage: str = "") -> list[Trial]:
        """Measures each: constraints first, and only what meets them pays for the objectives.

        A metric that raises or gives a value that is not finite makes a failed trial with the reason.
        """
        drafts = [_Draft(candidate) for candidate in candidates]
        _measure(self.constraints, drafts)
        for draft in drafts:
            if draft.reason is None:
                draft.violation = self.violation(draft.metrics)
        _measure(self.objectives, [d for d in drafts if d.reason is None and d.violation <= 0])
        return [self._trial(draft, stage) for draft in drafts]

    def _trial(self, draft: _Draft, stage: str) -> Trial:
        complete = draft.reason is None and draft.violation <= 0
        losses = self.losses(draft.metrics) if complete else ()
        return Trial(draft.candidate, draft.everything(), losses, draft.violation, draft.cost, stage, reason=draft.reason)


def _checked(given: Any, kind: type, makers: str) -> tuple[Any, ...]:
    parts = (given,) if isinstance(given, kind) else tuple(given)
    for part in parts:
        if not isinstance(part, kind):
            raise UserError(f"{part!r} is no {kind.__name__.lower()}; make one with {makers}")
    return parts


@dataclass
class _Draft:
    """A trial in the making: what each metric answered, and the values read from the answers."""

    candidate: Candidate
    answers: list[tuple[Metric, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    violation: float = 0.0
    cost: dict[str, float] = field(default_factory=lambda: {"evaluations": 1.0, "seconds": 0.0})
    reason: str | None = None

    def answer(self, metric: Metric) -> Any:
        return next((answer for asked, answer in self.answers if asked == metric), None)

    def everything(self) -> dict[str, float]:
        """The values that were asked for, then the parts that came along with them."""
        values = dict(self.metrics)
        for _, answer in self.answers:
            for name, value in answer.items() if isinstance(answer, Mapping) else ():
                try:
                    number = float(value)
                except (TypeError, ValueError):
                    continue
                if math.isfinite(number):
                    values.setdefault(str(name), number)
        return values


def distinct(parts: Iterable[Objective | Constraint]) -> list[Metric]:
    """The metrics they hold, each once."""
    metrics: list[Metric] = []
    for part in parts:
        if part.metric not in metrics:
            metrics.append(part.metric)
    return metrics


def read(answer: float | Mapping[str, float], name: str, metric: Metric) -> float:
    """The value called `name` in what a metric answered; UserError where it has no such part, else float's own errors."""
    if not isinstance(answer, Mapping):
        return float(answer)
    if name not in answer:
        raise UserError(f"{name_of(metric)} gives {', '.join(answer)}, but no '{name}'{did_you_mean(name, answer)}")
    return float(answer[name])


def _measure(parts: Sequence[Objective | Constraint], drafts: Sequence[_Draft]) -> None:
    """Fills in the values that the objectives or constraints read; each metric is asked once per draft."""
    for metric in distinct(parts):
        waiting = [d for d in drafts if d.reason is None and d.answer(metric) is None]
        for draft, answer in zip(waiting, _ask(metric, waiting), strict=True):
            if isinstance(answer, Exception):
                draft.reason = reason_of(answer)
                continue
            draft.answers.append((metric, answer))
            cost = getattr(metric, "cost", {})
            charged = cost(draft.candidate.arch, draft.candidate.fidelity) if callable(cost) else cost
            for entry, amount in charged.items():
                draft.cost[entry] = draft.cost.get(entry, 0.0) + amount
        for draft in (d for d in drafts if d.reason is None):
            for name in dict.fromkeys(part.name for part in parts if part.metric == metric):
                _note(draft, metric, name)


def _note(draft: _Draft, metric: Metric, name: str) -> None:
    answer = draft.answer(metric)
    try:
        value = read(answer, name, metric)
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        draft.reason = draft.reason or f"{name} is {answer!r:.100}, which is no number"
        return
    if math.isfinite(value):
        draft.metrics[name] = value
    else:
        draft.reason = draft.reason or f"{name} is {value}"


def _ask(metric: Metric, drafts: Sequence[_Draft]) -> list[Any]:
    """The answer for each draft, or the exception it raised; charges the time."""
    archs = [draft.candidate.arch for draft in drafts]
    graded = hasattr(metric, "at") and any(draft.candidate.fidelity is not None for draft in drafts)
    if hasattr(metric, "batch") and len(archs) > 1 and not graded:
        begun = time.perf_counter()
        try:
            answers = list(metric.batch(archs))
            if len(answers) != len(archs):
                raise EvaluationFailed(f"{name_of(metric)}.batch gave {len(answers)} values for {len(archs)} architectures")
        except Exception:  # one by one below, to find out whose fault it is
            pass
        else:
            for draft in drafts:
                draft.cost["seconds"] += (time.perf_counter() - begun) / len(drafts)
            return answers
    answers = []
    for draft in drafts:
        begun = time.perf_counter()
        try:
            answers.append(_answer(metric, draft.candidate))
        except Exception as error:  # what a metric raises is a fact about the architecture; Ctrl-C is no Exception
            answers.append(error)
        draft.cost["seconds"] += time.perf_counter() - begun
    return answers


def _answer(metric: Metric, candidate: Candidate) -> float | Mapping[str, float]:
    """At the candidate's fidelity, where it has one and the metric knows several."""
    if candidate.fidelity is not None and hasattr(metric, "at"):
        return metric.at(candidate.arch, candidate.fidelity)
    return metric(candidate.arch)


def reason_of(error: BaseException) -> str:
    """An exception as the reason of a failed trial: one line, at most 500 characters."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, EvaluationFailed) and text else f"{type(error).__name__}: {text}".rstrip(": "))[:500]
