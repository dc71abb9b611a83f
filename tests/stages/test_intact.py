"""What was shipped and is not there any more is told apart: missing, altered, a folder of that
name."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from made_runs import payloads

from archsmith._internal.progress import Silent
from archsmith.run.request import request_from
from archsmith.run.store import STAGES, Run, altered, lost
from archsmith.run.trust import content_hash
from archsmith.stages.intact import complete, reopened

NAMES = ("model.onnx", "labels.json", "card.md")


@pytest.fixture
def done(tmp_path: Path) -> Run:
    """A finished run whose best/ holds three files."""
    run = Run.create(tmp_path / "run", request_from(data="digits", steps=9))
    best = run.folder / "best"
    best.mkdir()
    left: dict[str, Any] = payloads("digits", ["a1", "b2", "c3", "d4", "e5", "f6"], Random(7))
    for name in NAMES:
        (best / name).write_text(f"the {name}")
    left["ship"]["files"] = [
        {"name": name, "bytes": 9, "sha256": content_hash(best / name)} for name in NAMES
    ]
    with run.locked():
        for stage in STAGES:
            run.finish_stage(stage, left[stage])
        run.update(status="done")
    return run


def test_what_is_as_it_was_is_not_shipped_again(done: Run) -> None:
    assert complete(done) and not list(lost(done.folder, done.shipped))
    reopened(done, Silent())
    assert done.shipped is not None and not (done.folder / "best.kept").exists()


def test_before_anything_is_shipped_nothing_is_lost(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", request_from(data="digits", steps=9))
    assert not list(lost(run.folder, None)) and not altered(run.folder, None) and not complete(run)


def test_all_that_is_not_as_it_was_is_lost_and_what_is_there_of_it_altered(done: Run) -> None:
    best = done.folder / "best"
    (best / "model.onnx").unlink()
    (best / "labels.json").write_text("others")
    (best / "card.md").unlink()
    (best / "card.md").mkdir()
    assert [path.name for path in lost(done.folder, done.shipped)] == list(NAMES)
    assert altered(done.folder, done.shipped) == [best / "labels.json"] and not complete(done)


@pytest.mark.parametrize(
    ("name", "text", "why", "kept"),
    [
        ("model.onnx", None, "model.onnx is missing", []),
        ("labels.json", "others", "labels.json is not the file that was shipped", ["labels.json"]),
    ],
)
def test_what_somebody_wrote_is_set_aside_and_the_stage_opened(
    done: Run, name: str, text: str | None, why: str, kept: list[str]
) -> None:
    file = done.folder / "best" / name
    file.unlink() if text is None else file.write_text(text)
    reopened(done, Silent())
    assert done.shipped is None and why in (done.folder / "events.jsonl").read_text()
    aside = done.folder / "best.kept"
    assert (sorted(path.name for path in aside.iterdir()) if aside.exists() else []) == kept
