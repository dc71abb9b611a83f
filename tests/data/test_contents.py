"""data/contents.py: the data hash rests on contents, not on names, sizes or places."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, folder, picture

from archsmith.data import load


def hashed(source: Path, limit: int | None = None) -> str:
    return str(load(source, memory_limit_bytes=limit).facts["data_hash"])


def _folder(root: Path) -> Path:
    return folder(root / "set", {"a": 6, "b": 6}, mode="L")


def _csv(root: Path) -> Path:
    folder(root, {"p": 12}, mode="L")
    (root / "x.csv").write_text(
        "path,label\n" + "\n".join(f"p/{i:03d}.png,{'ab'[i % 2]}" for i in range(12))
    )
    return root / "x.csv"


def _npz(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    pictures = np.stack([np.asarray(picture(i, 16, "L")) for i in range(12)])
    np.savez(root / "x.npz", images=pictures, labels=np.arange(12) % 2)
    return root / "x.npz"


def _same_size(source: Path) -> None:
    """Two pictures change places with others of the same number of bytes."""
    if source.suffix == ".npz":
        held = dict(np.load(source))
        held["images"][3] = 255 - held["images"][3]
        np.savez(source, **held)
        return
    path = next((source if source.is_dir() else source.parent).rglob("003.png"))
    size = path.stat().st_size
    path.write_bytes(_of_size(size))


def _of_size(size: int) -> bytes:
    data = encoded(picture(500, 16, "L"))
    return (
        data + bytes(size - len(data))
        if len(data) <= size
        else encoded(picture(1, 8, "L")).ljust(size, b"\0")
    )


@pytest.mark.parametrize("limit", [None, 0])
@pytest.mark.parametrize("made", [_folder, _csv, _npz])
def test_contents_changed_at_equal_size_are_other_data(
    made: Callable[[Path], Path], limit: int | None, tmp_path: Path
) -> None:
    source = made(tmp_path)
    before, size = hashed(source, limit), source.stat().st_size
    _same_size(source)
    assert source.stat().st_size == size
    assert hashed(source, limit) != before


@pytest.mark.parametrize("made", [_folder, _csv, _npz])
def test_touched_moved_and_streamed_data_is_the_same(
    made: Callable[[Path], Path], tmp_path: Path
) -> None:
    source = made(tmp_path / "here")
    before = hashed(source)
    assert hashed(source, 0) == before
    for path in (tmp_path / "here").rglob("*"):
        os.utime(path, (1, 1))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert hashed(tmp_path / "there" / source.relative_to(tmp_path / "here")) == before


@pytest.mark.parametrize(
    ("row", "other"),
    [("p/003.png,b", "p/003.png,a"), ("path,label\n", "label,path\n"), ("p/003.png,b\n", "")],
)
def test_another_row_of_a_table_is_other_data(row: str, other: str, tmp_path: Path) -> None:
    source = _csv(tmp_path)
    before, text = hashed(source), source.read_text()
    if other.startswith("label"):  # the order of columns and rows does not matter
        head, *rows = text.splitlines()
        source.write_text(
            "\n".join([other.strip(), *(",".join(reversed(r.split(","))) for r in reversed(rows))])
        )
        assert hashed(source) == before
        return
    source.write_text(text.replace(row, other))
    assert hashed(source) != before
