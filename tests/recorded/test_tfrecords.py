"""NAS-Bench-101 and EC-NAS files, written here byte by byte from the description of their
layout."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.recorded import load
from archsmith.recorded.convert import convert
from archsmith.recorded.tfrecords import trainings
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    live_nodes,
    nasbench1shot1_canonical,
    nasbench1shot1_cell,
    nasbench1shot1_class,
)

CONV, POOL = "conv3x3-bn-relu", "maxpool3x3"


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the high bit set on all but the last."""
    parts = []
    while value > 127:
        parts.append(value % 128 + 128)
        value //= 128
    return bytes([*parts, value])


def message(fields: list[tuple[int, int | float | bytes]]) -> bytes:
    """Protocol-buffer fields: a whole number, a double or bytes each."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            out += varint(number << 3) + varint(value)
    return out


def record(
    cell: str,
    epochs: int,
    matrix,
    operations,
    last: list[tuple[int, float | bytes]],
    params: int = 300,
) -> bytes:
    """One training in the file's framing; checksums are zero."""
    before = message([(1, 0.0), (2, 0.0), (3, 0.1), (4, 0.1), (5, 0.1)])
    metrics = message([(1, before), (1, before), (1, message(last)), (2, params), (3, 999.0)])
    bits = "".join(str(bit) for row in matrix for bit in row)
    content = json.dumps(
        [cell, epochs, bits, ",".join(operations), base64.b64encode(metrics).decode()]
    ).encode()
    return struct.pack("<Q", len(content)) + b"\0\0\0\0" + content + b"\0\0\0\0"


def evaluation(
    epochs: int, seconds: float, valid: float, test: float
) -> list[tuple[int, float | bytes]]:
    return [(1, float(epochs)), (2, seconds), (3, 0.99), (4, valid), (5, test)]


def test_one_shot_cells_come_out_of_nasbench101(tmp_path: Path) -> None:
    """A cell listed under any order of its nodes serves every architecture that computes it; other
    sizes and epochs do not."""
    arch = NASBENCH1SHOT1[2].sample(Random(1))
    matrix, operations = nasbench1shot1_cell(nasbench1shot1_canonical(arch))
    live = live_nodes(matrix)
    small = [[matrix[a][b] for b in live] for a in live]
    names = [operations[node] for node in live]
    content = b""
    for repeat in range(3):
        last = evaluation(108, 1000.0 + repeat, 0.9 + repeat / 100, 0.8 + repeat / 100)
        content += record("aa", 108, small, names, [*last, (6, b"/path/model.ckpt-1")])
        content += record("aa", 36, small, names, evaluation(36, 1.0, 0.1, 0.1))
    seven = [[int(b == a + 1) for b in range(7)] for a in range(7)]
    content += record(
        "bb", 108, seven, ["input", *[CONV] * 5, "output"], evaluation(108, 1.0, 0.1, 0.1)
    )
    (tmp_path / "nasbench.tfrecord").write_bytes(content)
    written = convert("nasbench1shot1", tmp_path / "nasbench.tfrecord", tmp_path / "n.npz")
    recorded = load("nasbench1shot1:2", tmp_path / "n.npz")
    assert written["rows"] in (1, 2)  # the cell may lie in both spaces
    assert len(recorded.archs()) == 1 and recorded.space.contains(arch)
    assert [run(arch) for run in recorded.repeats] == pytest.approx([90.0, 91.0, 92.0])
    assert recorded.truth(arch) == pytest.approx(81.0)
    assert recorded.repeats[2].cost(arch) == {"simulated_seconds": 1002.0}
    assert nasbench1shot1_class(recorded.archs()[0]) == nasbench1shot1_class(arch)


def test_ecnas_with_its_energy(tmp_path: Path) -> None:
    content = b""
    modules = {
        "aa": ([[0, 1], [0, 0]], ["input", "output"]),
        "bb": ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", POOL, "output"]),
    }
    for cell, (matrix, operations) in modules.items():
        for repeat in range(2):
            for epochs in (4, 12):
                last = evaluation(epochs, 10.0 * epochs, 0.5 + repeat / 10, 0.4)
                content += record(
                    cell, epochs, matrix, operations, [*last, (6, epochs / 100)], params=70000
                )
    (tmp_path / "energy_4V9E.tfrecord").write_bytes(content)
    convert("ecnas", tmp_path / "energy_4V9E.tfrecord", tmp_path / "ecnas.npz")
    recorded = load("ecnas", tmp_path)
    arch = recorded.archs()[1]
    assert recorded.score.fidelities == (4.0, 12.0) and len(recorded.repeats) == 2
    assert recorded.repeats[1].at(arch, 4) == pytest.approx(60.0) and recorded.truth(
        arch
    ) == pytest.approx(40.0)
    assert recorded.score.cost(arch, 4) == {"simulated_seconds": 40.0, "energy_kwh": 0.04}
    assert recorded.records["params"](arch) == 70000
    (tmp_path / "other.tfrecord").write_bytes(content)
    with pytest.raises(UserError, match="name of an EC-NAS file"):
        convert("ecnas", tmp_path / "other.tfrecord", tmp_path / "o.npz")


def test_torn_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    whole = record("aa", 108, [[0, 1], [0, 0]], ["input", "output"], evaluation(108, 1.0, 0.5, 0.5))
    for content in (whole[:-1], whole[:5], b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(UserError, match="torn"):
            list(trainings(path))
    for content in (
        b"[]",
        b"{",
        b'["a", 4, "01", "input,output", ""]',
        b'["a", 4, "0100", "input,output", "CgX/"]',
    ):
        path.write_bytes(struct.pack("<Q", len(content)) + b"\0\0\0\0" + content + b"\0\0\0\0")
        with pytest.raises(UserError, match="record 1 is none of NAS-Bench-101"):
            list(trainings(path))
    path.write_bytes(whole)
    with pytest.raises(UserError, match="do not come as .tfrecord"):
        convert("transnas", path, tmp_path / "a.npz")
    path.write_bytes(whole.replace(b" 108,", b" 109,"))
    with pytest.raises(UserError, match="holds no cell"):
        convert("nasbench1shot1", path, tmp_path / "a.npz")
