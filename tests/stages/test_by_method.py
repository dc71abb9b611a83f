"""What the method's stages leave is said in a line, and estimates that are not to be followed are
not."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from made_runs import SHARED

from archsmith.methods import listing
from archsmith.methods.one_shot import OneShot
from archsmith.methods.protocol import NOTHING_SCORED, FinishPlan
from archsmith.methods.shrink import Shrink
from archsmith.run.decisions import SECTION
from archsmith.run.records import Part, Screened, Trained, Untrained
from archsmith.run.records.search import Best, RandomSearch
from archsmith.run.records.section import Section
from archsmith.space import Architecture
from archsmith.stages import by_method
from archsmith.stages.by_method import ByMethod, screened_line, searched_line, trained_line

BEST = Best(key="a1", score=79.94, depth=7)
LISTED = listing.shortlist("nsga2", [listing.entry(Architecture({"width": 8}), "search")])
SKIPPED = Untrained(skipped=True, why="too little time")
GIVEN = Trained(**SHARED)


def working(patch: pytest.MonkeyPatch, work: Any, method: Any) -> ByMethod:
    """The method at work, whatever was asked for."""
    patch.setattr(by_method, "method_of", lambda request, space: method)
    return ByMethod(work)


def trusted(kendall: float, **changes: Any) -> Trained:
    trust = GIVEN.trust.model_copy(update={"kendall": kendall, "why": None, **changes})
    return GIVEN.model_copy(update={"trust": trust})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (NOTHING_SCORED, "nothing to score"),
        (NOTHING_SCORED.model_copy(update={"why": "no time"}), "no time"),
        (
            Screened(proxy="zico", scored=9, best=BEST, passes=18, seconds_per_score=0.1),
            "9 networks scored by zico, best 79.9",
        ),
    ],
)
def test_the_line_of_screen(record: Screened, said: str) -> None:
    assert screened_line(record) == said


def test_the_line_of_train() -> None:
    assert trained_line(SKIPPED) == "too little time"
    whole = trained_line(trusted(0.5, p=0.04))
    assert whole.startswith(f"{len(GIVEN.nodes)} supernets trained on {GIVEN.images:,} images; on ")
    assert whole.endswith("rank with Kendall 0.50 (p 0.04)")
    one = trusted(0.0, why="nothing was checked").model_copy(update={"nodes": GIVEN.nodes[:1]})
    assert (
        trained_line(one) == f"1 supernet trained on {GIVEN.images:,} images; nothing was checked"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, " by the nsga2, without scores"),
        ({"searcher": "by hand"}, " by hand, without scores"),
        ({"searcher": "random"}, ""),
        ({"instead": "no trust"}, " without shared weights: no trust"),
        (
            {"trials": 9, "best": BEST, "random": RandomSearch(trials=8, best=BEST)},
            "; best score 79.9 after 9 trials, random search 79.9 after 8",
        ),
        ({"trials": 9, "best": BEST, "random": RandomSearch(trials=8, best=None)}, ""),
    ],
)
def test_the_line_of_search(changes: dict[str, Any], said: str) -> None:
    assert searched_line(LISTED.model_copy(update=changes)) == f"1 network short-listed{said}"


@pytest.mark.parametrize(
    ("trained", "follow", "shares", "told"),
    [
        (trusted(0.19), "checked", True, "Kendall 0.19, below 0.2"),
        (trusted(0.0, why="too few"), "checked", True, "too few"),
        (trusted(0.2), "checked", True, None),
        (trusted(0.0), "always", True, None),
        (SKIPPED, "always", True, "too little time"),
        (SKIPPED, "checked", False, None),
        (None, "checked", True, None),
    ],
)
def test_what_is_not_trusted_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
    trained: Part | None,
    follow: str,
    shares: bool,
    told: str | None,
) -> None:
    run = SimpleNamespace(trained=trained, request=SimpleNamespace(follow=follow))
    work: Any = SimpleNamespace(run=run, shares=shares, space_name="convnet")
    own = working(monkeypatch, work, OneShot())
    doubt = own.doubt()
    assert (doubt is None) if told is None else (told in (doubt or ""))
    if told is not None:  # its networks are trained from nothing then
        assert own.start() is None and own.plan() == FinishPlan()


@pytest.mark.parametrize("found", [trusted(0.0), trusted(0.0, why="not checked"), SKIPPED])
def test_a_method_that_is_not_checked_is_followed_where_it_trained(
    monkeypatch: pytest.MonkeyPatch, found: Part
) -> None:
    run = SimpleNamespace(trained=found, request=SimpleNamespace(follow="checked"))
    work: Any = SimpleNamespace(run=run, shares=True, space_name="convnet")
    doubt = working(monkeypatch, work, Shrink()).doubt()
    assert doubt == (SKIPPED.why if found is SKIPPED else None)


@dataclass(frozen=True)
class Draws:
    """Adds what it was made with to the report."""

    made: Any

    def search(self, job: Any, trained: Any = None) -> Any:
        return LISTED

    def drawing(self, searched: Any, trained: Any) -> Any:
        assert searched is LISTED and (trained is None or isinstance(trained, Trained))
        return self.made()


def broken() -> Any:
    raise ValueError("no picture")


@pytest.mark.parametrize(
    ("made", "kept", "said"),
    [
        (lambda: Section(title="Mine"), {"title": "Mine"}, None),
        (lambda: {"title": "Mine", "text": "so"}, {"title": "Mine", "text": "so"}, None),
        (lambda: None, None, None),
        (broken, None, "left out: no picture"),
        (lambda: {"text": "no title"}, None, "Draws: what drawing gives is no Section"),
        (lambda: {"title": "Mine", "table": {"a": [1], "b": []}}, None, "not of one length"),
        (lambda: {"title": "Mine", "figure": {"layout": {}}}, None, "no `data`"),
    ],
)
@pytest.mark.parametrize("trained", [GIVEN, SKIPPED])
def test_what_a_method_draws_is_kept_and_costs_no_run(
    monkeypatch: pytest.MonkeyPatch, made: Any, kept: Any, said: str | None, trained: Any
) -> None:
    decided: dict[Any, Any] = {}
    notes: list[str] = []
    run = SimpleNamespace(
        request=None, trained=trained, decide=lambda what, make: decided.update({what.name: make()})
    )
    work: Any = SimpleNamespace(run=run, note=notes.append, space_name="convnet")
    working(monkeypatch, work, Draws(made))._draw(LISTED)
    assert decided.get(SECTION.name) == kept
    assert len(notes) == (said is not None) and (said is None or said in notes[0])
