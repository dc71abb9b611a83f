"""data/attempts.py: what the system fails to deliver is tried again and then stops the run; a
damaged file does not."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from pictures import folder, picture
from PIL import Image

from archsmith.data import attempts, load
from archsmith.data.decode import open_picture
from archsmith.data.parts import Streamed
from archsmith.errors import UserError


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES_S", (0.0, 0.0, 0.0))


class Failing:
    """Opens pictures, but raises `error` for those whose name ends so, the first `times` times."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        error: BaseException,
        times: int,
        name: str = "001.png",
    ) -> None:
        self.error, self.left, self.name = error, times, name
        for module in ("folder", "table"):
            monkeypatch.setattr(f"archsmith.data.{module}.open_picture", self)

    def __call__(self, source):
        if str(source).endswith(self.name) and self.left > 0:
            self.left -= 1
            raise self.error
        return open_picture(source)


PASSING = [
    errno.EIO,
    errno.EINTR,
    errno.EMFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EAGAIN,
]


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
def test_an_error_that_passes_leaves_no_image_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    plain = load(tmp_path)
    Failing(monkeypatch, OSError(code, os.strerror(code)), 3)
    data = load(tmp_path)
    assert (
        not data.unreadable and data.split.sha256 == plain.split.sha256 and data.mean == plain.mean
    )


@pytest.mark.parametrize("code", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("memory", [None, 0])
def test_an_error_that_stays_stops_the_run_and_names_the_image(
    tmp_path: Path, monkeypatch, code: int, memory
) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    Failing(monkeypatch, OSError(code, os.strerror(code)), 10**9)
    with pytest.raises(
        UserError,
        match=rf"[ab]/001.png cannot be read: "
        rf".*{errno.errorcode[code]}.*after 4 attempts",
    ):
        load(tmp_path, memory_limit_bytes=memory)


@pytest.mark.parametrize("memory", [None, 0])
def test_memory_that_runs_out_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory
) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    Failing(monkeypatch, MemoryError(), 10**9)
    with pytest.raises(UserError, match="memory ran out while reading [ab]/001.png"):
        load(tmp_path, memory_limit_bytes=memory)


@pytest.mark.parametrize("code", [*PASSING, errno.ENOENT, errno.EACCES], ids=errno.errorcode.get)
def test_while_training_no_other_image_stands_in_for_one_the_system_fails_to_give(
    tmp_path, monkeypatch, code: int
) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    part = load(tmp_path, memory_limit_bytes=0).parts["train"]
    assert isinstance(part, Streamed)
    failing = Failing(monkeypatch, OSError(code, os.strerror(code)), 10**9, part.ids[0])
    with pytest.raises(UserError, match=f"{part.ids[0]} cannot be read"):
        part.images([0])
    failing.left = 2
    assert np.array_equal(
        part.images([0])[0].numpy(),
        np.asarray(Image.open(tmp_path / part.ids[0])).transpose(2, 0, 1),
    )
    assert not part.failed


SPECIAL = {
    "pipe": "a pipe",
    "socket": "a socket",
    "device": "a device",
    "folder": "directory",
    "missing": "No such file",
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_listed_and_never_opened(tmp_path: Path, kind: str) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    path = tmp_path / "special.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path)) if len(str(path)) < 100 else pytest.skip(
                "the path is too long for a socket"
            )
    rows = [f"{name}/{number:03d}.png,{name}" for name in "ab" for number in range(6)]
    (tmp_path / "set.csv").write_text("\n".join(["path,label", f"{path},a", *rows]))
    data = load(tmp_path / "set.csv")
    assert data.facts["images"] == 12
    assert [SPECIAL[kind] in why for _, why in data.unreadable] == [True]


@pytest.mark.parametrize("name", ["set.csv", "set.npz", "set.parquet", "set.tsv"])
def test_a_table_that_is_a_pipe_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="is a pipe, a device or a socket"):
        load(tmp_path / name)


STRANGERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
    "pdf": b"%PDF-1.4\n%%EOF\n",
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "psd": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + bytes(200),
    "text": b"hello",
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_only_formats_of_pictures_are_opened_whatever_the_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.png").write_bytes(STRANGERS[kind])
    with pytest.raises(Image.UnidentifiedImageError):
        open_picture(tmp_path / "x.png")


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "TGA", "PCX", "ICO", "SGI"]
)
def test_every_format_of_pictures_is_opened_whatever_the_name(tmp_path: Path, kind: str) -> None:
    picture(1).save(tmp_path / "x.dat", kind)
    with open_picture(tmp_path / "x.dat") as image:
        image.load()
        assert image.size == (16, 16)
