"""Run folders: created once, read back, locked, and honest about damage."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from made_runs import payloads

from archsmith._internal.files import write_text
from archsmith.errors import Damaged, UserError
from archsmith.run.records import record_of
from archsmith.run.request import request_from
from archsmith.run.stopwatch import Stopwatch
from archsmith.run.store import Run


def make(folder: Path) -> Run:
    return Run.create(
        folder, request_from(data="digits", budget="params<=20k", steps=10, time_s=None)
    )


def test_what_was_asked_is_read_back(tmp_path: Path) -> None:
    made = make(tmp_path / "a")
    found = Run.open(tmp_path / "a")
    assert found.request == made.request
    assert found.record["status"] == "running"
    assert {"python", "torch", "numpy"} <= set(found.record["versions"])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(UserError, match="archsmith resume"):
        make(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        make(tmp_path / "b")
    assert (tmp_path / "b" / "thesis.txt").read_text() == "mine"


def test_a_stage_is_committed_once(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    assert run.stage("look") is None
    run.clock("look", 1.5)
    run.finish_stage("look", {"classes": ["a"]})
    assert Run.open(tmp_path / "a").stage("look") == {"classes": ["a"]}
    assert run.seconds() == {"look": 1.5}
    with pytest.raises(UserError):
        run.finish_stage("look", {"classes": []})


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    assert run.decide("x", lambda: {"a": (1, 2)}) == {"a": [1, 2]}
    assert run.decide("x", lambda: pytest.fail("made twice")) == {"a": [1, 2]}


LEFT = {
    "looked": "look",
    "profiled": "profile",
    "screened": "screen",
    "trained": "train",
    "searched": "search",
    "finished": "finish",
    "shipped": "ship",
}


@pytest.mark.parametrize("left", LEFT)
def test_what_a_stage_left_is_a_record_or_none(tmp_path: Path, left: str) -> None:
    run, stage = make(tmp_path / "a"), LEFT[left]
    assert getattr(run, left) is None
    payload = payloads("photos", ["a1", "b2", "c3", "d4", "e5", "f6"], Random(0))[stage]
    run.finish_stage(stage, record_of(stage, payload, "made up"))
    assert run.stage(stage) == payload and getattr(run, left) == record_of(
        stage, payload, "made up"
    )


def test_a_record_with_a_field_that_is_not_as_it_is_written_is_damaged_and_the_file_named(
    tmp_path: Path,
) -> None:
    run = make(tmp_path / "a")
    run.finish_stage("look", {"classes": ["a"]})
    with pytest.raises(Damaged, match=r"trials\.sqlite, stage look: name is missing; put back"):
        run.looked  # noqa: B018


def test_the_clock_goes_on_where_it_was(tmp_path: Path) -> None:
    run, now = make(tmp_path / "a"), [100.0]
    first = Stopwatch(run, lambda: now[0])
    first.start("finish")
    now[0] += 7.0
    first.save()
    now[0] += 50.0  # lost: the process was killed
    second = Stopwatch(run, lambda: now[0])
    second.start("finish")
    now[0] += 3.0
    assert second.seconds == 10.0 and second.spent == {"finish": 10.0}


def test_what_lies_between_two_stages_belongs_to_the_later_one(tmp_path: Path) -> None:
    run, now = make(tmp_path / "a"), [100.0]
    watch = Stopwatch(run, lambda: now[0])
    assert (watch.stage, watch.seconds, watch.waited, watch.spent) == (None, 0.0, 0.0, {})
    watch.save()  # nothing runs: nothing is written
    assert run.seconds() == {}
    watch.start("look", since=98.0)
    now[0] += 5.0
    watch.save()
    since = now[0]
    assert watch.stop() == 7.0 and watch.stage is None and watch.seconds == 0.0
    now[0] += 1.0  # drawing the report, say
    watch.start("profile", since=since)
    now[0] += 2.0
    assert watch.seconds == 3.0 and watch.spent == {"look": 7.0, "profile": 3.0}
    assert watch.waits.keys() <= {"look", "profile"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "3",
        '{"request": {"data": 3}}',
        '{"format": 2, "request": {"data": "x", "evil": 1}}',
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "run.json").write_text(text)
    with pytest.raises(Damaged, match="run.json"):
        Run.open(tmp_path / "a")


def variants(value: object) -> list[object]:
    """Of another type, and out of range."""
    return (
        [None, [1], -1, 1e300, "other", {}]
        if not isinstance(value, dict)
        else [None, [], "x", {}, {**value, "more": 1}]
    )


def test_each_field_of_the_record_missing_changed_or_of_another_type_is_damaged(
    tmp_path: Path,
) -> None:
    make(tmp_path / "a")
    path = tmp_path / "a" / "run.json"
    whole = json.loads(path.read_text())
    changed = [{k: v for k, v in whole.items() if k != name} for name in whole]
    changed += [
        {**whole, name: value}
        for name in whole
        for value in variants(whole[name])
        if value != whole[name]
    ]
    for name, value in whole["request"].items():
        rest = {k: v for k, v in whole["request"].items() if k != name}
        changed += [{**whole, "request": rest}]
        changed += [
            {**whole, "request": {**rest, name: other}}
            for other in variants(value)
            if other != value
        ]
    assert len(changed) > 150
    for record in changed:
        path.write_text(json.dumps(record))
        with pytest.raises(Damaged, match=r"run\.json.*(put back|start a new run)"):
            Run.open(tmp_path / "a")
    # white space and order mean nothing
    path.write_text(json.dumps(whole, indent=4, sort_keys=True))
    Run.open(tmp_path / "a")


@pytest.mark.parametrize(
    "text", ['{"format": 1, "request": {}}', '{"format": 7}', '{"format": 0, "id": "x"}']
)
def test_the_record_of_another_version_is_told_so(tmp_path: Path, text: str) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "run.json").write_text(text)
    with pytest.raises(UserError, match="of another version.*reads format 2"):
        Run.open(tmp_path / "a")


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    for name in ("trials.sqlite-wal", "trials.sqlite-shm"):
        (tmp_path / "a" / name).unlink(missing_ok=True)
    (tmp_path / "a" / "trials.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged, match="trials.sqlite"):
        run.stage("look")


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        Run.open(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    code = (
        "import sys\nfrom archsmith.run.store import Run\nfrom archsmith.errors import UserError\n"
        "try:\n    with Run.open(sys.argv[1]).locked():\n        print('got it')\n"
        "except UserError as error:\n    print(error)\n"
    )

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(run.folder)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    with run.locked():
        assert "another process" in other()
    assert other() == "got it\n"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"time_s": -1.0}, "time_s"),
        ({"steps": 0}, "steps"),
        ({"seed": -4}, "seed"),
        ({"val_share": 0.6, "test_share": 0.5}, "leave nothing to train on"),
        ({"budget": "params=3"}, "<= or >="),
        ({"time_s": None}, "time or a number"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_request_is_named(values: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        request_from(**{"data": "digits", **values})


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    run.event("stage", name="look")
    run.event("stopped")
    lines = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["stage", "stopped"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", None),
        ("status", "half"),
        ("versions", "x"),
        ("space_file", "x"),
        ("threads", -1),
        ("notes", {}),
        ("id", ""),
    ],
)
def test_a_record_of_other_kinds_than_a_run_writes_is_damaged_whoever_sealed_it(
    tmp_path: Path, field: str, value: object
) -> None:
    from archsmith.run.record import digest

    run = Run.create(tmp_path / "r", request_from(data="digits"))
    record = {**run.record, field: value}
    record["sha256"] = digest(record)
    (tmp_path / "r" / "run.json").write_text(json.dumps(record))
    with pytest.raises(Damaged, match=f"run.json: {field} is not as a run writes it"):
        Run.open(tmp_path / "r")


def test_block_times_are_found_where_a_run_of_before_left_them(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    assert run.block_times.name == "latency.jsonl"
    (run.folder / "latency.json").write_text("{}")
    assert run.block_times.name == "latency.json"
