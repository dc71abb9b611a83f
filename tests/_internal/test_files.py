"""Files that are whole or not there, whoever writes beside, and whatever died before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archsmith._internal.files import (
    append_line,
    beside,
    clear_partials,
    exchange_folder,
    put_aside,
    replace_file,
)
from archsmith.errors import UserError


def dead() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_every_write_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = {beside(tmp_path / "report.html").name for _ in range(50)}
    assert len(names) == 50 and all(str(os.getpid()) in name for name in names)


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x"

    def other_meanwhile(file: object, data: bytes) -> None:
        replace_file(path, b"other")
        file.write(data)  # type: ignore[attr-defined]

    replace_file(path, b"first", other_meanwhile)
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["run.json", "report.html", "search-00ff.safetensors"])
def test_what_dead_processes_left_is_cleared_and_what_living_ones_write_stays(
    tmp_path: Path, name: str
) -> None:
    left = tmp_path / f"{name}.{dead()}-0123abcd.partial"
    living, mine = beside(tmp_path / name), tmp_path / f"{name}.partial"
    for path in (left, living, mine):
        path.write_text("half")
    clear_partials(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living, mine])
    left.write_text("half")
    replace_file(tmp_path / name, b"new")
    assert not left.exists() and living.exists()


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(UserError, match="no regular file"):
            replace_file(path, b"x")
    assert not Path("/dev/null").is_file()


def test_a_torn_line_is_ended_and_one_that_does_not_fit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    append_line(path, "one")
    path.write_bytes(path.read_bytes() + b'{"torn')
    append_line(path, "two")
    assert path.read_text() == 'one\n{"torn\ntwo\n'

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        append_line(path, "three")
    assert path.read_text() == 'one\n{"torn\ntwo\n'


def test_nothing_put_aside_is_lost(tmp_path: Path) -> None:
    for text in ("a", "b", "c"):
        (tmp_path / "x.safetensors").write_text(text)
        put_aside(tmp_path / "x.safetensors")
    assert sorted(p.read_text() for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_names_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync

    def seen(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    monkeypatch.setattr("os.fsync", seen)
    for name in ("new", "best"):
        (tmp_path / name).mkdir()
    exchange_folder(tmp_path / "new", tmp_path / "best", tmp_path / "best.old")
    assert synced[-1] == str(tmp_path)
    append_line(tmp_path / "log", "x")
    assert synced[-2:] == [str(tmp_path / "log"), str(tmp_path)]
    (tmp_path / "c").write_text("x")
    synced.clear()
    put_aside(tmp_path / "c")
    assert synced == [str(tmp_path)]
