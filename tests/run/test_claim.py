"""Claiming a folder: never over anybody's files, again after a process that died, nothing left of
what was refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archsmith.errors import UserError
from archsmith.run.claim import locked, vacant
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.requests import start

REQUEST = request_from(data="digits", budget="params<=20k", steps=10, time_s=None)


class Killed(BaseException):
    """As if the process had died: nothing is cleared."""


def test_a_lock_that_a_killed_process_left_holds_nobody_off_and_whoever_has_one_is_told(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom archsmith.run.claim import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('mine', flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        with (
            pytest.raises(
                UserError,
                match=rf"another process \(pid {other.pid}\) is working "
                rf"on",
            ),
            locked(tmp_path),
        ):
            pass
        other.kill()
        other.wait()
    with locked(tmp_path):
        assert vacant(tmp_path)
    assert vacant(tmp_path)


def test_a_lock_file_that_was_removed_holds_nobody_off(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / ".lock").unlink()
        with locked(tmp_path):
            pass


def die_while_claiming(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves what a kill before run.json leaves."""
    with monkeypatch.context() as patch:
        patch.setattr("archsmith.run.claim.clear", lambda folder: None)
        with pytest.raises(Killed):
            Run.create(folder, REQUEST, lambda run: (_ for _ in ()).throw(Killed))


def own(folder: Path) -> list[Path]:
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    return [folder / "thesis.txt"]


def own_store(folder: Path) -> list[Path]:
    folder.mkdir()
    (folder / "trials.sqlite").write_text("mine too")
    (folder / "checkpoints").mkdir()
    return [folder / "trials.sqlite"]


def own_file(folder: Path) -> list[Path]:
    folder.write_text("a file")
    return [folder]


@pytest.mark.parametrize("make", [own, own_store, own_file])
def test_a_folder_with_files_of_the_users_is_never_touched(
    tmp_path: Path, make: Callable[[Path], list[Path]]
) -> None:
    folder = tmp_path / "out"
    before = {path: path.read_bytes() for path in make(folder)}
    with pytest.raises(UserError, match="not an empty folder"):
        Run.create(folder, REQUEST)
    assert {path: path.read_bytes() for path in before} == before


def test_files_put_beside_what_a_dead_process_left_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    die_while_claiming(folder, monkeypatch)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        Run.create(folder, REQUEST)
    assert (folder / "notes.txt").exists() and (folder / "trials.sqlite").exists()


def test_after_a_kill_before_there_is_a_run_the_same_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    die_while_claiming(folder, monkeypatch)
    assert (
        (folder / "trials.sqlite").exists()
        and not (folder / "run.json").exists()
        and vacant(folder)
    )
    with pytest.raises(UserError, match="had not begun"):
        Run.open(folder)
    run = Run.create(folder, REQUEST)
    assert Run.open(folder).record == run.record and len(run.archive) == 0
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("trials")) == [
        ".lock",
        "checkpoints",
        "run.json",
    ]


@pytest.mark.parametrize(
    "at",
    [
        "archsmith.run.store.Store.create",
        "archsmith.run.store.Run._save",
        "archsmith.run.store.Run.sign",
    ],
)
def test_what_failed_before_there_is_a_run_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*args: object) -> None:
        raise UserError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(at, full)
        with pytest.raises(UserError, match="no space left"):
            Run.create(tmp_path / "runs" / "a", REQUEST)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "changes",
    [{"data": "nowhere"}, {"val_share": 0.9, "test_share": 0.08}, {"data": __file__}],
    ids=["a typo", "shares", "no images"],
)
def test_what_is_refused_for_its_data_leaves_no_run_so_that_the_corrected_command_works(
    tmp_path: Path, changes: dict
) -> None:
    for folder in (tmp_path / "new", tmp_path / "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(UserError):
            start(REQUEST.model_copy(update=changes), folder)
        assert vacant(folder)
    assert not (tmp_path / "new").exists() and list((tmp_path / "there").iterdir()) == []
