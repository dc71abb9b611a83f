"""methods/protocol.py: settings are fields, hooks are optional, what a method may leave out is
looked at in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command_line import call
from made_runs import SHARED
from pydantic import BaseModel, ValidationError
from short_runs import SIZES

from archsmith.errors import UserError
from archsmith.methods import METHODS, listing, method, named, settings_of
from archsmith.methods import protocol as page
from archsmith.methods.protocol import (
    FinishPlan,
    Method,
    SharedWeights,
    Shares,
    finish,
    has,
    made,
    setting,
    shares_of,
)
from archsmith.run.records import Trained
from archsmith.run.store import Run
from archsmith.space import Architecture
from archsmith.training.recipe import default_recipe


@dataclass(frozen=True)
class Bare:
    count: int = setting(3, "how many")
    rate: float = setting(0.5, "how fast")
    loud: bool = setting(False, "whether it is told")
    rule: str = setting("half", "how it moves")
    hidden: str = field(default="x", metadata={"fixed": True})

    def search(self, job: Any, trained: Any = None) -> Any:
        return {}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_frozen_dataclass_with_a_search_and_settings_that_are_told(
    name: str,
) -> None:
    found = method(name, {})
    assert (
        isinstance(found, Method)
        and found == method(name, {})
        and hash(found) == hash(method(name, {}))
    )
    assert all(one.text and one.kind for one in settings_of(name).values())
    assert shares_of(found).sharing is has(found, "train")
    assert all(
        hook in page.HOOKS
        for hook in vars(type(found))
        if callable(getattr(found, hook)) and hook in page.HOOKS
    )
    assert has(found, "start") <= has(found, "train")
    kind = named(name)
    assert made(kind, name, {}) == found


def test_settings_are_the_fields_but_those_that_are_fixed() -> None:
    known = page.settings_of(Bare)
    assert list(known) == ["count", "rate", "loud", "rule"] and known["count"].text == "how many"
    assert made(Bare, "bare", {"count": 5, "rate": 1}) == Bare(count=5, rate=1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cuont": 1}, "has no setting 'cuont'; did you mean 'count'|did you mean 'count'"),
        ({"count": 1.5}, "give a whole number"),
        ({"count": True}, "give a whole number"),
        ({"rate": "fast"}, "give a number"),
        ({"loud": 1}, "give true or false"),
        ({"rule": 3}, "give a word"),
        ({"hidden": "y"}, "has no setting 'hidden'"),
    ],
)
def test_a_setting_of_another_kind_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        made(Bare, "bare", settings)


def test_what_is_left_out_has_a_default() -> None:
    bare = Bare()
    assert not any(has(bare, hook) for hook in page.HOOKS)
    assert shares_of(bare) == Shares(scoring=False, sharing=False) and finish(bare) == FinishPlan()
    assert page.screen(bare, None) == page.NOTHING_SCORED  # type: ignore[arg-type]
    assert page.start(bare, None, None) is None  # type: ignore[arg-type]
    page.check(bare, "any", "any")


NOTHING = {"searcher": "none", "trials": 0, "best": None, "random": None, "shortlist": []}
SMALL = Architecture({"width": 8})


@dataclass(frozen=True)
class Given(Bare):
    """Leaves what it is handed, by each hook."""

    def search(self, job: Any, trained: Any = None) -> Any:
        return job()

    def screen(self, job: Any) -> Any:
        return job()


@pytest.mark.parametrize("kind", ["record", "mapping"])
def test_what_a_hook_leaves_is_a_record_or_the_fields_of_one(kind: str) -> None:
    made = listing.shortlist("mine", [listing.entry(SMALL, "small", zico=3.0)])
    left = made if kind == "record" else made.to_json()
    found = page.search(Given(), lambda: left, None)  # type: ignore[arg-type]
    assert found == made and found.shortlist[0].scores == {"zico": 3.0}
    weights = SharedWeights(None, lambda: SHARED if kind == "mapping" else Trained(**SHARED))  # type: ignore[arg-type, return-value]
    assert page.recorded(Given(), weights).to_json() == SHARED


@pytest.mark.parametrize(
    ("hook", "left", "told"),
    [
        ("search", lambda: {**NOTHING, "trials": "3"}, "no Searched: trials is '3'"),
        ("search", lambda: {"searcher": "none"}, "no Searched: trials is missing"),
        (
            "search",
            lambda: {**NOTHING, "shortlist": [{"key": "a", "options": {}, "origin": 3}]},
            r"shortlist\.0\.origin is 3",
        ),
        ("search", lambda: None, "no Searched: it is None"),
        ("search", lambda: [NOTHING], "no Searched: it is "),
        ("search", lambda: listing.entry(SMALL, "small", mine="9"), r"Listed\.scores is '9'"),
        ("screen", lambda: {"proxy": "mine"}, "no Screened: scored is missing"),
        ("screen", lambda: listing.shortlist("mine", ()), "no Screened: it is "),
    ],
)
def test_what_is_wrong_in_it_is_said_with_the_method_and_the_field(
    hook: str, left: Any, told: str
) -> None:
    asked = {
        "search": lambda: page.search(Given(), left, None),
        "screen": lambda: page.screen(Given(), left),
    }
    with pytest.raises(UserError, match=rf"^method Given: what {hook} gives is .*{told}") as error:
        asked[hook]()
    assert "archsmith.methods.listing" in str(error.value)


def test_mistakes_in_what_else_a_method_uses_stay_what_they_are() -> None:
    class Own(BaseModel):
        size: int

    with pytest.raises(ValidationError, match="Own"):
        page.search(Given(), lambda: Own(size="large"), None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Quiet(Bare):
    shares: ClassVar[Shares] = Shares(scoring=True)

    def finish(self, default: FinishPlan) -> FinishPlan:
        return FinishPlan("fine-tune", 0.1)


def test_what_it_says_goes_before_what_its_hooks_need() -> None:
    assert shares_of(Quiet()) == Shares(scoring=True) and finish(Quiet()).rate == 0.1


@pytest.mark.parametrize("rate", [0.0, -1.0, 11.0])
def test_a_rate_out_of_bounds_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        FinishPlan("fine-tune", rate)


SERVED = """
import torch
from dataclasses import dataclass

from archsmith.elastic.supernet import extract
from archsmith.methods.listing import entry, shortlist
from archsmith.methods.protocol import FinishPlan, SharedWeights, setting


@dataclass(frozen=True)
class Served:
    how: str = setting("calibrate", "calibrate or fine-tune")

    def train(self, job):
        sharing = job.data.sharing()
        trust = {"kendall": 1.0, "networks": [], "p": 0.0, "spearman": 1.0}
        record = {"nodes": [], "images": 0, "macs": 0.0, "trust": trust}
        return SharedWeights(sharing.make(None), lambda: record)

    def search(self, job, trained):
        large, small = job.space.decisions.extreme(-1), job.space.decisions.extreme(0)
        return shortlist("largest", [entry(large, "large"), entry(small, "small")])

    def start(self, job, trained, arch):
        return extract(trained.weights, arch, device="cpu")

    def finish(self, default):
        return FinishPlan(self.how, 0.1)
"""


@pytest.mark.parametrize("how", ["calibrate", "fine-tune"])
def test_networks_are_served_as_they_are_or_fine_tuned(
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SIZES)
    (tmp_path / "served.py").write_text(SERVED)
    words = (
        *"search digits --space net.py:Net --steps 24 --threads 1 --no-reference --out run".split(),
    )
    code, _, err = call(
        capsys, monkeypatch, *words, "--method", "served.py:Served", "--set", f"how={how}"
    )
    assert code in (0, 3), err
    run = Run.open("run")
    finished, shipped = run.stage("finish") or {}, run.stage("ship") or {}
    steps = {net["steps"] for net in finished["networks"].values()}
    assert (steps == {0}) is (how == "calibrate")
    assert len(finished["networks"]) == 2 and shipped["key"] in finished["networks"]
    whole = default_recipe(sum((run.stage("look") or {})["counts"]["train"])).lr
    assert finished["recipe"]["lr"] == pytest.approx(
        whole if how == "calibrate" else 0.1 * whole, rel=1e-3
    )
    (tmp_path / "run" / "best" / "model.safetensors").unlink()  # shipped again from what was kept
    code, _, err = call(capsys, monkeypatch, "resume", "run")
    assert code in (0, 3), err
    assert (Run.open("run").stage("ship") or {})["test"] == shipped["test"]
