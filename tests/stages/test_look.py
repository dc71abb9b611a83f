"""stages/look.py: what a run recorded of its data is what it goes on with, or it does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import encoded, folder, picture

from archsmith.errors import UserError
from archsmith.run.records import Looked
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages import look
from archsmith.stages.pipeline import open_work
from archsmith.stages.requests import absolute
from archsmith.tasks import Classification


def begun(root: Path) -> tuple[Run, Looked]:
    folder(root / "set", {"1": 8, "01": 8})
    run = Run.create(
        root / "run", absolute(request_from(data=str(root / "set"), steps=1, threads=1))
    )
    work = open_work(run)
    return run, look.look(work)


def _swap(root: Path) -> None:
    """Two pictures of equal size change places."""
    a, b = root / "set" / "1" / "000.png", root / "set" / "01" / "000.png"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def _other(root: Path) -> None:
    (root / "set" / "1" / "003.png").write_bytes(encoded(picture(900)))


def _longer(root: Path) -> None:
    with (root / "set" / "1" / "003.png").open("ab") as stream:
        stream.write(b"\n")


@pytest.mark.parametrize("change", [_swap, _other, _longer])
def test_other_pictures_under_the_same_names_are_refused_on_resume(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    run, looked = begun(tmp_path)
    change(tmp_path)
    with pytest.raises(UserError, match="not the data this run began with"):
        look.restore(open_work(run), looked)


def _touch(root: Path) -> None:
    for path in (root / "set").rglob("*.png"):
        os.utime(path, (5, 5))


def _copy(root: Path) -> None:
    shutil.copytree(root / "set", root / "other")
    shutil.rmtree(root / "set")
    shutil.move(root / "other", root / "set")


@pytest.mark.parametrize("change", [_touch, _copy, lambda root: None])
def test_the_same_pictures_are_taken_again(change: Callable[[Path], None], tmp_path: Path) -> None:
    run, looked = begun(tmp_path)
    change(tmp_path)
    work = open_work(run)
    look.restore(work, looked)
    assert work.images.classes == looked.classes == work.images.task.names == ("01", "1")


@pytest.mark.parametrize("recorded", [["1", "01"], ["01", "2"], ["01"], ["01", "1", "2"]])
def test_classes_in_another_order_than_recorded_are_refused_on_resume(
    recorded: list[str], tmp_path: Path
) -> None:
    run, looked = begun(tmp_path)
    with pytest.raises(
        UserError,
        match=r"no longer gives the classes this run began with: number "
        r"\d is '?\w+'?, was '?\w+'?;",
    ):
        look.restore(open_work(run), Looked(**{**looked.to_json(), "classes": recorded}))


def test_a_run_of_before_tells_classes_apart(tmp_path: Path) -> None:
    _, looked = begun(tmp_path)
    old = Looked(**{name: entry for name, entry in looked.to_json().items() if name != "goal"})
    assert look.task_of(looked) == Classification(("01", "1"), mirrors=looked.flip.suggested)
    assert look.task_of(old) == Classification(("01", "1"))


def test_remarks_on_the_data_reach_the_terminal(tmp_path: Path) -> None:
    _, looked = begun(tmp_path)
    assert "note: classes '01' and '1' are the same number" in look.line(looked)
    many = Looked(**{**looked.to_json(), "notes": [f"remark {i}" for i in range(20)]})
    assert look.line(many).count("note:") == 13 and "8 more in the report" in look.line(many)
