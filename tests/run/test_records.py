"""What each stage leaves: written as it was read, and Damaged that names the field where one is
missing or wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from made_runs import SHARED, payloads
from pydantic import ValidationError

from archsmith.errors import Damaged
from archsmith.run.records import (
    RECORDS,
    Finished,
    Looked,
    Screened,
    Searched,
    Shipped,
    Trained,
    Untrained,
    record_of,
)

KEYS = ["a1", "b2", "c3", "d4", "e5", "f6"]
WHOLE = payloads("digits", KEYS, Random(7))
NUMBERS = {  # of other tasks than classification
    "accuracy": -0.1,
    "loss": 1.1,
    "n": 360,
    "interval": [-0.2, 0.0],
    "rmse": {"pixels": 0.3},
    "psnr": 10.4,
    "constant": 0.0,
    "above": False,
}
FURTHER = {**WHOLE["finish"]["networks"]["a1"], "before": 0.97, "after": 0.98, "kept": True}


def with_after(payload: dict[str, Any], place: str, name: str, value: Any) -> dict[str, Any]:
    """The same with one more entry, behind another."""
    found: dict[str, Any] = {}
    for key, entry in payload.items():
        found |= {key: entry, **({name: value} if key == place else {})}
    return found


REFIT = {
    "images": 1258,
    "steps": 90,
    "seconds": 3.5,
    "look": 0.9,
    "seen_accuracy": 0.99,
    "failed": None,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{stage: (stage, payload) for stage, payload in WHOLE.items()},
    "photos": ("look", payloads("photos", KEYS, Random(7))["look"]),
    "shared": ("train", SHARED),
    "unscored": (
        "screen",
        {
            **WHOLE["screen"],
            "proxy": None,
            "best": None,
            "seconds_per_score": None,
            "why": "no time",
        },
    ),
    "instead": (
        "search",
        {**WHOLE["search"], "random": None, "generated": "exact", "instead": "no trust"},
    ),
    "further": (
        "finish",
        {**WHOLE["finish"], "networks": {"a1": FURTHER}, "reference": None, "further": True},
    ),
    "refit": (
        "finish",
        {
            **WHOLE["finish"],
            "plan": {**WHOLE["finish"]["plan"], "refit": 20.5},
            "networks": {
                "a1": with_after(WHOLE["finish"]["networks"]["a1"], "precision", "refit", REFIT)
            },
            "original": {"costs": {"macs": 9}, "val_measure": 0.9},
            "taught": "net.onnx teaches",
        },
    ),
    "shipped refit": ("ship", with_after(WHOLE["ship"], "reference_test", "refit", True)),
    "numbers": (
        "ship",
        {
            **WHOLE["ship"],
            "test": NUMBERS,
            "search": None,
            "reference_test": None,
            "latency_ms": None,
        },
    ),
}
# What is free in form: architectures, settings of the recipe.
FREE = {
    "search.shortlist.*.options",
    "search.shortlist.*.zico",
    "finish.recipe",
    "finish.networks.*.options",
    "ship.architecture.options",
    "ship.search.options",
    "train.distribution.survivor",
    "train.nodes.*.options.*",
}
OPTIONAL = {  # runs of before, or of other methods, do without
    "look": {"preprocessing", "goal", "goal.classes", "goal.mirrors"},
    "profile": {
        "feasible_share.found",
        "latency_table.rough_mape",
        "init",
        "references",
        "references.networks.*.kind",
        "references.networks.*.first",
    },
    "screen": {"why", "best.depth"},
    "train": {"trust.why", "distribution"},
    "search": {"best.depth", "random.best.depth", "generated", "instead"},
    "finish": {
        "further",
        "original",
        "taught",
        "plan.refit",
        *(f"{arm}networks.*.refit" for arm in ("", "reference.")),
        "networks.*.refit.failed",
        *(f"networks.*.{name}" for name in ("above", "precision", "before", "after", "kept")),
        *(f"reference.networks.*.{name}" for name in ("above", "precision")),
    },
    "ship": {
        "network",
        "refit",
        "search",
        "warning",
        "mistakes",
        "measure",
        *(
            f"{test}.{name}"
            for test in ("test", "search.test", "reference_test")
            for name in ("psnr", "constant", "above")
        ),
    },
}
NAMED = {  # by name: these may be missing, but are of one kind
    "profile.metrics.*",
    "finish.networks.*",
    "finish.reference.networks.*",
    "finish.original.costs.*",
    "ship.max_difference.*",
    "ship.test.rmse.*",
    "train.nodes.*.options.*",
    "train.distribution.options.*",
    "train.distribution.stages.*.theta.*",
    "train.distribution.stages.*.alive.*",
    *(
        f"finish.{arm}networks.*.{cost}"
        for arm in ("", "reference.")
        for cost in ("params", "macs", "memory")
    ),
    *(f"finish.{arm}networks.*.curve.*.val_loss" for arm in ("", "reference.")),
}


def fields(payload: Any, stage: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The way to each entry of a payload, and the same as text with * for names and places that
    differ from run to run."""

    def within(
        value: Any, way: tuple[str | int, ...], text: str
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if text in FREE:
            return
        named = f"{text}.*" in NAMED
        for step, entry in (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        ):
            here = f"{text}.{'*' if named or isinstance(step, int) else step}"
            yield (*way, step), here
            yield from within(entry, (*way, step), here)

    return within(payload, (), stage)


def changed(payload: Any, way: tuple[str | int, ...], *, to: Any = None, gone: bool = False) -> Any:
    """A copy with one entry another, or gone."""
    copy = json.loads(json.dumps(payload))
    at = copy
    for step in way[:-1]:
        at = at[step]
    if gone:
        del at[way[-1]]
    else:
        at[way[-1]] = to
    return copy


def kinds(case: str) -> dict[str, tuple[str | int, ...]]:
    """One way for each kind of entry of a payload."""
    stage, payload = CASES[case]
    return {text: way for way, text in reversed(list(fields(payload, stage)))}


@pytest.mark.parametrize("case", CASES)
def test_a_record_is_written_as_it_was_read(case: str) -> None:
    stage, payload = CASES[case]
    record = record_of(stage, payload, "trials.sqlite")
    assert isinstance(record, RECORDS[stage] | Untrained)
    # names, order, whole numbers and what is not there
    assert json.dumps(record.to_json()) == json.dumps(payload)
    assert type(record).from_json(record.to_json(), "") == record


@pytest.mark.parametrize("case", CASES)
def test_a_missing_field_is_named(case: str) -> None:
    stage, payload = CASES[case]
    for text, way in kinds(case).items():
        if (
            isinstance(way[-1], int)
            or text in NAMED
            or text in FREE - {"finish.recipe"}
            and text.endswith(".*")
        ):
            continue
        without, name = changed(payload, way, gone=True), ".".join(map(str, way))
        if text.partition(".")[2] in OPTIONAL[stage] or text == "search.shortlist.*.zico":
            assert record_of(stage, without, "run").to_json() == without, text
        elif text != "train.skipped":
            with pytest.raises(Damaged) as error:
                record_of(stage, without, "run/trials.sqlite")
            assert str(error.value).startswith(
                f"run/trials.sqlite, stage {stage}: {name} is missing; put back"
            ), text


@pytest.mark.parametrize("case", CASES)
def test_a_field_of_another_kind_is_named(case: str) -> None:
    stage, payload = CASES[case]
    for text, way in kinds(case).items():
        if text in FREE and text.endswith("options.*"):
            continue
        was = payload
        for step in way:
            was = was[step]  # type: ignore[index]
        name = ".".join(map(str, way))
        # which is an architecture like any other
        odds = [] if text in FREE and isinstance(was, dict) else [{"a": None}]
        for odd in [*odds, *([] if was is None else [7.5] if isinstance(was, str) else ["true"])]:
            with pytest.raises(Damaged) as error:
                record_of(stage, changed(payload, way, to=odd), "run/trials.sqlite")
            said = str(error.value)
            assert said.startswith(f"run/trials.sqlite, stage {stage}: {name}") and said.endswith(
                "start a new run"
            ), text


def test_true_is_no_number_and_one_no_truth() -> None:
    with pytest.raises(Damaged, match=r"scored is True, not as a run writes it"):
        record_of("screen", {**WHOLE["screen"], "scored": True}, "run")
    with pytest.raises(Damaged, match=r"resident is 1, not as a run writes it"):
        record_of("look", {**WHOLE["look"], "resident": 1}, "run")


@pytest.mark.parametrize("payload", [None, [], "x", 3, [["a", 1]]])
@pytest.mark.parametrize("stage", RECORDS)
def test_what_is_no_object_is_damaged(stage: str, payload: Any) -> None:
    with pytest.raises(Damaged, match=f"run, stage {stage}: it is .*, not as a run writes it"):
        record_of(stage, payload, "run")


def test_a_stage_that_there_is_not() -> None:
    with pytest.raises(
        Damaged, match="run holds the stage 'polish'; there are look, profile, .* ship"
    ):
        record_of("polish", {}, "run")


def test_a_record_cannot_be_changed() -> None:
    record = record_of("look", WHOLE["look"], "run")
    with pytest.raises(ValidationError):
        record.size = 9  # type: ignore[attr-defined]
    assert isinstance(record, Looked) and isinstance(record.counts.train, tuple)


def test_what_runs_of_before_did_not_say_reads_as_it_was_then() -> None:
    old = {
        name: entry
        for name, entry in WHOLE["look"].items()
        if name not in ("goal", "preprocessing")
    }
    look = record_of("look", old, "run")
    assert isinstance(look, Looked) and (look.task, look.measure, look.fit) == (
        "classification",
        "accuracy",
        "crop",
    )
    early = {
        name: entry
        for name, entry in WHOLE["ship"].items()
        if name not in ("network", "search", "warning", "measure")
    }
    early["test"] = {
        name: entry for name, entry in early["test"].items() if name not in ("constant", "above")
    }
    ship = record_of("ship", early, "run")
    assert isinstance(ship, Shipped) and (ship.network, ship.test.above, ship.search) == (
        "search",
        True,
        None,
    )


def test_costs_and_scores_stand_beside_the_other_fields() -> None:
    finish, search = (
        record_of("finish", WHOLE["finish"], "run"),
        record_of("search", WHOLE["search"], "run"),
    )
    assert isinstance(finish, Finished) and isinstance(search, Searched)
    assert finish.best.costs == {"params": 18234, "macs": 684210, "memory": 21504}
    assert finish.best.curve[0].others.keys() == {"val_loss"} and search.shortlist[0].scores == {
        "zico": 79.9
    }
    assert finish.reference is not None and finish.reference.best.text == (
        "3 inverted blocks a stage"
    )


def test_weights_that_were_not_shared_are_a_record_of_their_own() -> None:
    assert record_of("train", WHOLE["train"], "run") == Untrained(
        skipped=True, why=WHOLE["train"]["why"]
    )
    shared = record_of("train", SHARED, "run")
    assert isinstance(shared, Trained) and shared.nodes[1].options == {"kernel": (3, 5)}


def test_a_record_made_in_a_program_is_checked_and_leaves_out_what_was_not_given() -> None:
    made = Screened(proxy="zico", scored=3, best=None, passes=6, seconds_per_score=0.5)
    assert list(made.to_json()) == ["proxy", "scored", "best", "passes", "seconds_per_score"]
    with pytest.raises(ValidationError):
        Screened(proxy="zico", scored="3", best=None, passes=6, seconds_per_score=0.5)  # type: ignore[arg-type]


def test_numbers_that_json_has_no_name_for_and_names_of_odd_bytes_are_kept() -> None:
    payload = changed(WHOLE["ship"], ("budget", 0, "value"), to=math.nan)
    kept = record_of("ship", payload, "run").to_json()
    assert json.dumps(kept) == json.dumps(payload) and math.isnan(kept["budget"][0]["value"])
    odd = changed(WHOLE["look"], ("classes", 0), to="caf\udce9")
    assert record_of("look", odd, "run").to_json() == odd


def test_what_a_later_version_adds_is_kept() -> None:
    later = {**WHOLE["screen"], "device": {"name": "gpu"}}
    assert record_of("screen", later, "run").to_json() == later
