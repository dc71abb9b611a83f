"""Checkpoints: exact, atomic, verified; a full disk or a torn file costs nothing that was there."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from safetensors import safe_open
from tiny_training import network, stream

from archsmith._internal.files import replace_file, write_chunks
from archsmith.errors import Damaged, UserError
from archsmith.training import Recipe, advance, load, save, start
from archsmith.training.checkpoint import pack, read, resumed, resumed_or_started, unpack


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    state = advance(start(network(), Recipe(lr=0.1)), stream(), total_steps=3)
    state.history.append({"step": 3, "val_measure": 0.1 + 0.2})
    path = tmp_path / "deep" / "state.safetensors"
    save(state, path)
    return path


def test_everything_comes_back(saved: Path) -> None:
    state = load(saved, network(seed=4))
    assert state.step == 3 and state.recipe == Recipe(lr=0.1)
    assert state.history == [{"step": 3, "val_measure": 0.1 + 0.2}]
    assert next(state.module.parameters()).is_contiguous(memory_format=torch.channels_last)
    save(state, saved.with_name("again"))
    assert saved.with_name("again").read_bytes() == saved.read_bytes()
    assert [p.name for p in saved.parent.iterdir() if "partial" in p.name] == []


def test_any_safetensors_reader_opens_it(saved: Path) -> None:
    with safe_open(saved, "pt") as file:
        assert "module.0.weight" in file.keys()  # noqa: SIM118  not a dict
        assert json.loads(file.metadata()["state"])["step"] == 3


def test_every_torn_length_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1]:
        saved.write_bytes(data[:length])
        with pytest.raises(Damaged, match=r"state\.safetensors"):
            load(saved, network())
    saved.write_bytes(data + b"\0")
    with pytest.raises(Damaged):
        load(saved, network())


def test_every_changed_byte_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    rng = random.Random(0)
    header = int.from_bytes(data[:8], "little")
    places = [
        *range(8),
        *rng.sample(range(8, 8 + header), 60),
        *rng.sample(range(8 + header, len(data)), 60),
    ]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        try:
            again = unpack(bytes(changed), saved)
        except Damaged:
            continue
        # white space of the header may change without changing anything
        original = unpack(data, saved)
        assert again[1] == original[1] and all(
            torch.equal(again[0][k], original[0][k]) for k in original[0]
        )


def test_an_edited_counter_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    changed = data.replace(b'\\"step\\": 3', b'\\"step\\": 4')
    assert changed != data
    saved.write_bytes(changed)
    with pytest.raises(Damaged, match="checksum"):
        load(saved, network())


def test_other_files_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (
        b"",
        b"hello",
        b"{" * 5000,
        os.urandom(2000),
        (4).to_bytes(8, "little") + b"null",
        b"\x02" + b"\0" * 7 + b"{}",
    ):
        path.write_bytes(content)
        with pytest.raises(Damaged):
            read(path)
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path / "missing")
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(Damaged):
        read(path)


def test_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(UserError, match="another network"):
        load(saved, network(classes=5))
    with pytest.raises(UserError, match="only the checkpoint has"):
        load(saved, network()[:-1])


def _full(file: BinaryIO, data: bytes) -> None:
    file.write(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("named", [None, {}, {"loss": "mine.py:other"}, {"run": "a"}])
def test_a_loss_that_only_the_file_names_is_not_run(
    tmp_path: Path, named: dict[str, str] | None
) -> None:
    (tmp_path / "evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n\n\ndef f(o, y):\n    return o.sum()\n"
    )
    own = Recipe(own_loss=f"{tmp_path / 'evil.py'}:f")
    of = dict(named or {})
    save(start(network(), own, of=of), tmp_path / "state")
    with pytest.raises(Damaged, match="no file decides what is run"):
        load(tmp_path / "state", network(), of=named)
    assert not (tmp_path / "ran").exists()
    of = {"loss": own.own_loss}
    save(start(network(), own, of=of), tmp_path / "state")
    assert load(tmp_path / "state", network(), of=of).recipe == own


def test_a_full_disk_keeps_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    state = load(saved, network())
    advance(state, stream(3), total_steps=5)
    with pytest.raises(UserError, match=r"state\.safetensors.*No space left.*intact"):
        save(state, saved, write=_full)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_a_really_full_device() -> None:
    def to_full(file: BinaryIO, data: bytes) -> None:
        with open("/dev/full", "wb") as full:
            write_chunks(full, data)

    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"archsmith-full-{os.getpid()}"
    with pytest.raises(UserError, match="No space left"):
        replace_file(path, b"x" * 100, to_full)
    assert not path.exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        replace_file(tmp_path / "file" / "x", b"data")


_CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from tiny_training import network, stream
from archsmith.training import advance, load, save

def write(file, data):
    file.write(data[: {share} * len(data) // 4])
    file.flush()
    if {share} < 4:
        os.kill(os.getpid(), signal.SIGKILL)

state = load({path!r}, network())
save(advance(state, stream(3), total_steps=6), {path!r}, write=write)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("share", [0, 2])
def test_killed_while_writing(saved: Path, share: int) -> None:
    before = saved.read_bytes()
    code = _CHILD.format(tests=str(Path(__file__).parents[1]), path=str(saved), share=share)
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert saved.read_bytes() == before
    state = load(saved, network())
    assert state.step == 3
    save(state, saved)  # the left-over part is no obstacle
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_pack_is_deterministic_and_handles_odd_tensors(tmp_path: Path) -> None:
    tensors: dict[str, torch.Tensor] = {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "counter": torch.tensor(7),
        "last": torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(
            memory_format=torch.channels_last
        ),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    about: dict[str, Any] = {"text": 'quote " and \\ and é', "nan": None, "number": 1e-300}
    data = pack(tensors, about)
    assert data == pack(tensors, about)
    again, told = unpack(data, tmp_path)
    assert told == about
    for name, tensor in tensors.items():
        assert torch.equal(again[name], tensor) and again[name].dtype == tensor.dtype


OF = {"run": "a", "data": "d", "seed": 0, "arm": "search", "network": "n"}


@pytest.mark.parametrize(
    "other", [{"run": "b"}, {"data": "e"}, {"seed": 1}, {"arm": "reference"}, {"network": "m"}]
)
def test_the_checkpoint_of_another_training_is_put_aside_and_told(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    path = tmp_path / "state.safetensors"
    save(start(network(), Recipe(), of=OF), path)
    told: list[str] = []
    state = resumed(path, network(), of=OF, tell=told.append)
    assert state is not None and state.of == OF and not told
    assert resumed(path, network(), of={**OF, **other}, tell=told.append) is None
    assert not path.exists() and path.with_suffix(".damaged").exists()
    assert f"another training (another {next(iter(other))})" in told[0]


@pytest.mark.parametrize("spoil", ["torn", "flipped", "of another network", "empty"])
def test_a_checkpoint_that_is_of_no_use_is_put_aside_not_a_dead_end(
    tmp_path: Path, spoil: str
) -> None:
    path = tmp_path / "state.safetensors"
    save(
        start(network(classes=5) if spoil == "of another network" else network(), Recipe(), of=OF),
        path,
    )
    data = path.read_bytes()
    spoiled = {
        "torn": data[:-9],
        "flipped": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
        "empty": b"",
    }
    path.write_bytes(spoiled.get(spoil, data))
    assert resumed(path, network(), of=OF) is None
    assert not path.exists() and path.with_suffix(".damaged").exists()


def test_a_training_goes_on_where_there_is_a_checkpoint_and_begins_where_there_is_none_of_use(
    saved: Path,
) -> None:
    told: list[str] = []
    begun = lambda: start(network(), Recipe(), seed=77)  # noqa: E731
    never = lambda: pytest.fail("not asked for")  # noqa: E731
    assert (
        resumed_or_started(saved, network, never, tell=told.append).step
        == load(saved, network()).step
        > 0
    )
    for nowhere in (None, saved.with_name("other.safetensors")):
        assert resumed_or_started(nowhere, never, begun, tell=told.append).seed == 77
    assert told == []
    saved.write_bytes(b"torn")
    assert resumed_or_started(saved, network, begun, tell=told.append).seed == 77 and len(told) == 1
