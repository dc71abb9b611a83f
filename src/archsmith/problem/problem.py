"""What is asked for: a space, objectives and constraints; and the measuring of candidates."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.problem.metric import Constraint, Metric, Objective, distinct, name_of, read
from archsmith.problem.trial import Candidate, Trial
from archsmith.space import SearchSpace


@dataclass(frozen=True)
class Problem:
    """A search, stated: a space, what to make small or large in it, and what to keep within limits.

    `space`: a SearchSpace. `objectives`: made by `minimize` and `maximize`, one or several.
    `constraints`: made by `at_most`, `at_least` and `between`. Those that hold the same metric
    object share one call of it per architecture. Constraints come first: an infeasible candidate
    never pays for an objective. Raises UserError where two metrics are called the same.

    >>> space = archsmith.SearchSpace({"width": (16, 24, 32), "depth": (1, 2, 3)})
    >>> def costs(arch):
    ...     return {"params": arch["depth"] * arch["width"] ** 2, "reach": arch["depth"]}
    >>> problem = archsmith.Problem(
    ...     space,
    ...     [archsmith.maximize(costs, name="reach")],
    ...     [archsmith.at_most(costs, 1500, name="params")],
    ... )
    >>> problem.violation({"params": 3000}), problem.losses({"reach": 3})
    (1.0, (-3,))
    """

    space: SearchSpace
    objectives: Sequence[Objective] = ()
    constraints: Sequence[Constraint] = ()

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "objectives",
            _checked(self.objectives, Objective, "minimize(metric) or maximize(metric)"),
        )
        object.__setattr__(
            self,
            "constraints",
            _checked(self.constraints, Constraint, "at_most, at_least or between"),
        )
        parts: list[Objective | Constraint] = [*self.objectives, *self.constraints]
        owner: dict[str, Metric] = {}
        for part in parts:
            if owner.setdefault(part.name, part.metric) != part.metric:
                raise UserError(
                    f"two metrics are called '{part.name}'; give one of them another name="
                )

    @property
    def fidelities(self) -> tuple[float, ...]:
        """Those of the first objective's metric, ascending, the full one last; () where it has
        none."""
        return (
            tuple(getattr(self.objectives[0].metric, "fidelities", ())) if self.objectives else ()
        )

    @property
    def cheap(self) -> tuple[Constraint, ...]:
        """The constraints that samplers may ask about freely, so that they propose nothing that
        breaks them."""
        return tuple(constraint for constraint in self.constraints if constraint.cheap)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """The sum of relative excesses over the limits, 0 where all are kept. A value that is
        missing is an error."""
        for constraint in self.constraints:
            if constraint.name not in metrics:
                raise UserError(
                    f"no value of '{constraint.name}' to hold against its "
                    f"limit{did_you_mean(constraint.name, metrics)}"
                )
        return sum((c.excess(metrics[c.name]) for c in self.constraints), 0.0)

    def losses(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """One loss per objective, the smaller the better."""
        return tuple(o.sign * metrics[o.name] for o in self.objectives)

    def evaluate(self, candidates: Sequence[Candidate], stage: str = "") -> list[Trial]:
        """Measures each: constraints first, and only what meets them pays for the objectives.

        A metric that raises or gives a value that is not finite makes a failed trial with the
        reason.
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
        return Trial(
            draft.candidate,
            draft.everything(),
            losses,
            violation=draft.violation,
            cost=draft.cost,
            stage=stage,
            reason=draft.reason,
        )


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


def _measure(parts: Sequence[Objective | Constraint], drafts: Sequence[_Draft]) -> None:
    """Fills in the values that the objectives or constraints read; each metric is asked once per
    draft."""
    for metric in distinct(parts):
        waiting = [d for d in drafts if d.reason is None and d.answer(metric) is None]
        for draft, answer in zip(waiting, _ask(metric, waiting), strict=True):
            if isinstance(answer, Exception):
                draft.reason = reason_of(answer)
                continue
            draft.answers.append((metric, answer))
            cost = getattr(metric, "cost", {})
            charged = (
                cost(draft.candidate.arch, draft.candidate.fidelity) if callable(cost) else cost
            )
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
                raise EvaluationFailed(
                    f"{name_of(metric)}.batch gave {len(answers)} values for "
                    f"{len(archs)} architectures"
                )
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
        # what a metric raises is a fact about the architecture; Ctrl-C is no Exception
        except Exception as error:
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
    return (
        text
        if isinstance(error, EvaluationFailed) and text
        else f"{type(error).__name__}: {text}".rstrip(": ")
    )[:500]
