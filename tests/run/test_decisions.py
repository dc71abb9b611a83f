"""Decisions that a run makes once: each has one name and one type, and what is not of it is
Damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archsmith.errors import Damaged
from archsmith.run import decisions
from archsmith.run.decisions import (
    FINALISTS,
    MACS,
    ORIGINAL,
    PLAN,
    REFERENCES,
    REFITTING,
    TAUGHT,
    TRAINING_PLAN,
    Decision,
    Refitting,
    Taught,
    TimePlan,
    budget_of,
)
from archsmith.run.records.finish import Original, TrainingPlan
from archsmith.run.records.profile import HandMade
from archsmith.run.records.ship import BudgetRow
from archsmith.run.request import request_from
from archsmith.run.store import Run

ALL = [one for one in vars(decisions).values() if isinstance(one, Decision)]
BY_HAND = HandMade(name="depth 2", classes=3, channels=1, size=8, depth=2, width=0.5, head=64)
KEPT = BudgetRow(metric="params", op="<=", limit=20, unit="", text="params<=20", value=18, met=True)
VALUES: list[tuple[Decision[Any], Any]] = [
    (FINALISTS, 4),
    (MACS, 1e6),
    (
        PLAN,
        TimePlan(search=30.0, reference=30.0, sharing=0.0, scoring=2.5, training=20, finalists=2),
    ),
    (TRAINING_PLAN, TrainingPlan(unit="steps", search=90, reference=90, scoring_s=None)),
    (REFERENCES, [BY_HAND]),
    (budget_of("depth 2"), [KEPT]),
    (ORIGINAL, []),
    (ORIGINAL, [Original(costs={"macs": 5}, val_measure=0.9)]),
    (TAUGHT, Taught(by="file", path="/net.onnx", sha256="ab", said="net.onnx teaches")),
    (REFITTING, Refitting(arm="search", name="a1", unit="steps", length=90.0, look=0.5)),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", request_from(data="digits", steps=10, time_s=None))


def test_no_two_decisions_have_one_name() -> None:
    names = [one.name for one in ALL]
    assert len(ALL) >= 15 and len(set(names)) == len(names)


@pytest.mark.parametrize(("decision", "value"), VALUES)
def test_what_was_decided_is_read_back_as_what_it_was(
    run: Run, decision: Decision[Any], value: Any
) -> None:
    assert run.decided(decision) is None
    assert run.decide(decision, lambda: value) == value
    assert (
        run.decide(decision, lambda: pytest.fail("made twice"))
        == Run.open(run.folder).decided(decision)
        == value
    )
    assert type(run.decided(decision)) is type(value)


@pytest.mark.parametrize(
    ("decision", "odd", "said"),
    [
        (FINALISTS, "4", "it is '4'"),
        (FINALISTS, 4.5, "it is 4.5"),
        (MACS, None, "it is None"),
        (TAUGHT, {"by": "nobody"}, "by is 'nobody'"),
        (PLAN, {"search": 3}, "reference is missing"),
        (
            TRAINING_PLAN,
            {"unit": "days", "search": 1, "reference": 1, "scoring_s": None},
            "unit is 'days'",
        ),
        (REFERENCES, [{"name": 3}], "0.name is 3"),
        (budget_of("a"), [{**KEPT.to_json(), "met": 1}], "0.met is 1"),
    ],
)
def test_what_is_not_of_its_type_is_damaged_and_named(
    run: Run, decision: Decision[Any], odd: Any, said: str
) -> None:
    run.decide(decision.name, lambda: odd)  # as by another program
    with pytest.raises(Damaged) as error:
        run.decided(decision)
    assert f"trials.sqlite, decision '{decision.name}': {said}" in str(error.value) and (
        "put back"
    ) in str(error.value)


def test_what_is_not_of_its_type_is_not_decided(run: Run) -> None:
    with pytest.raises(Damaged):
        run.decide(FINALISTS, lambda: "four")  # type: ignore[arg-type, return-value]
    assert run.decided(FINALISTS) is None and run.decide(FINALISTS, lambda: 4) == 4


def test_names_of_decisions_stand_in_one_file() -> None:
    source = Path(decisions.__file__).parents[1]
    methods = source / "methods"  # which have names of their own
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path != Path(decisions.__file__) and methods not in path.parents:
            twice = [
                one.name
                for one in ALL
                if f'decide("{one.name}"' in text or f'decided("{one.name}"' in text
            ]
            assert not twice, (path, twice)
