"""The publishers' own files of NAS-Bench-101 and EC-NAS (.tfrecord) as columns; facts about their
layout live here."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from archsmith.errors import UserError
from archsmith.recorded.publishers import Table
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    cell_class,
    live_nodes,
    nasbench1shot1_canonical,
    nasbench1shot1_cell,
)

# A file is a sequence of: length (8 bytes, little-endian), its checksum (4), that many bytes, their
# checksum (4). Each record is the JSON list [hash, epochs, matrix as 0s and 1s, operations with
# commas, base64 of a protocol-buffer message]: metrics {1: evaluation (before, half-way, at the end
# of the training), 2: parameters}, evaluation {1: epoch, 2: seconds, 3: train, 4: validation, 5:
# test accuracy, 6: energy in kWh in EC-NAS, the path of a checkpoint in NAS-Bench-101}.

_MAX_RECORD = 1 << 24
_DOUBLE, _BYTES = 1, 2  # wire types
_EPOCHS = 108
_REPEATS = (1, 2, 3)


@dataclass(frozen=True)
class Training:
    """One training of one cell: fractions, seconds, kWh (NaN in NAS-Bench-101)."""

    cell: str
    epochs: int
    matrix: list[list[int]]
    operations: list[str]
    params: int
    train: float
    valid: float
    test: float
    seconds: float
    energy: float


def trainings(path: Path) -> Iterator[Training]:
    """Those in a file, one after the other; checksums are not checked. UserError where it is torn
    or something else."""
    with path.open("rb") as file:
        for number, record in enumerate(_records(file, path), start=1):
            try:
                yield _training(record)
            except (ValueError, TypeError, IndexError, KeyError, struct.error) as error:
                raise UserError(
                    f"{path}, record {number} is none of NAS-Bench-101: "
                    f"{type(error).__name__}: {error}"
                ) from error


def _records(file: IO[bytes], path: Path) -> Iterator[bytes]:
    while head := file.read(12):
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else _MAX_RECORD + 1
        record = file.read(length + 4) if length <= _MAX_RECORD else b""
        if len(record) != length + 4:
            raise UserError(f"{path} is torn or no .tfrecord file; download it again")
        yield record[:-4]


def _training(record: bytes) -> Training:
    cell, epochs, bits, names, encoded = json.loads(record)
    operations = names.split(",")
    size = len(operations)
    if len(bits) != size * size or not set(bits) <= {"0", "1"}:
        raise ValueError(f"a matrix of {len(bits)} entries for {size} operations")
    matrix = [[int(bit) for bit in bits[size * row : size * (row + 1)]] for row in range(size)]
    metrics = list(_fields(base64.b64decode(encoded)))
    evaluations = [value for field, value in metrics if field == 1 and isinstance(value, bytes)]
    params = next((value for field, value in metrics if field == 2 and isinstance(value, int)), 0)
    last = {field: value for field, value in _fields(evaluations[-1]) if isinstance(value, float)}
    train, valid, test = (last[field] for field in (3, 4, 5))
    return Training(
        cell,
        int(epochs),
        matrix,
        operations=operations,
        params=params,
        train=train,
        valid=valid,
        test=test,
        seconds=last.get(2, math.nan),
        energy=last.get(6, math.nan),
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of each field of a protocol-buffer message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield field, value
        elif wire == _DOUBLE:
            yield field, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif wire == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a message shorter than it says")
            yield field, message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


# -- tables --------------------------------------------------------------------------------------


def ecnas_columns(path: Path) -> Table:
    """One row per training. The benchmark (4V9E, 5V9E, 4V9E_rtx3090, ...) is read from the name of
    the file."""
    match = re.search(r"[4-7]V9E(?:_[a-z0-9]+)?", path.stem)
    if not match:
        raise UserError(
            f"{path}: the name of an EC-NAS file says which benchmark it is; keep it as published: "
            f"energy_4V9E.tfrecord"
        )
    table: Table = {}
    repeats: dict[tuple[str, int], int] = {}
    for run in trainings(path):
        repeat = repeats.get((run.cell, run.epochs), 0)
        repeats[run.cell, run.epochs] = repeat + 1
        row = {
            "benchmark": match[0],
            "module_hash": run.cell,
            "repeat": repeat,
            "epochs": run.epochs,
            "module_adjacency": json.dumps(run.matrix),
            "module_operations": json.dumps(run.operations),
            "params": run.params,
            "final_train_acc": run.train,
            "final_valid_acc": run.valid,
            "final_test_acc": run.test,
            "train_time_s": run.seconds,
            "energy_kwh": run.energy,
        }
        for name, value in row.items():
            table.setdefault(name, []).append(value)
    return table


def nasbench1shot1_columns(path: Path) -> Table:
    """One row per isomorphism class of search spaces 1 and 2 that NAS-Bench-101 trained for 108
    epochs, up to three times."""
    classes: dict[str, str] = {}
    runs: dict[str, list[Training]] = {}
    for run in trainings(path):
        if run.epochs == _EPOCHS and len(run.operations) <= 6:
            if run.cell not in classes:
                classes[run.cell] = cell_class(run.matrix, run.operations)
            runs.setdefault(classes[run.cell], []).append(run)
    table: Table = {}
    for which, space in NASBENCH1SHOT1.items() if runs else ():
        seen = set()
        for arch in space.architectures():
            matrix, operations = nasbench1shot1_cell(nasbench1shot1_canonical(arch))
            key = cell_class(matrix, operations)
            if key in seen or key not in runs:
                continue
            seen.add(key)
            for name, value in _oneshot_row(which, matrix, operations, runs[key]).items():
                table.setdefault(name, []).append(value)
    if not table:
        raise UserError(
            f"{path} holds no cell of the spaces trained for {_EPOCHS} epochs; pass "
            f"nasbench_only108.tfrecord"
        )
    return table


def _oneshot_row(
    which: int, matrix: list[list[int]], operations: list[str], runs: list[Training]
) -> dict[str, str | float]:
    live = live_nodes(matrix)
    seven = [[0] * 7 for _ in range(7)]
    for a in live:
        for b in live:
            seven[a][6 if b == 5 else b] = matrix[a][b]
    texts = {
        "module_adjacency": [[matrix[a][b] for b in live] for a in live],
        "module_operations": [operations[node] for node in live],
        "adjacency_7x7": seven,
        "operations_7": [*operations[:5], "conv1x1-bn-relu", operations[5]],
    }
    row: dict[str, str | float] = {
        "search_space": which,
        **{name: json.dumps(value) for name, value in texts.items()},
    }
    for repeat in _REPEATS:
        run = runs[repeat - 1] if repeat <= len(runs) else None
        row[f"valid_acc_{repeat}"] = 100 * run.valid if run else math.nan
        row[f"test_acc_{repeat}"] = 100 * run.test if run else math.nan
        row[f"train_time_s_{repeat}"] = run.seconds if run else math.nan
    return row
