"""Damaged, hostile and random input to every reader: whatever is wrong must come as an error of
archsmith's own, and soon.

`python benchmarks/robustness/fuzz.py --reader csv --minutes 10` changes valid files (bytes, values,
types, structure) by hypothesis; without --reader all take turns. A table of what came out; exit
code 1 where anything but an archsmith.errors.* got through.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import logging
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from archsmith.errors import ArchsmithError

LIMIT_S = 20  # longer for one small input is a fault as well
MEMORY = 12 * 2**30
TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "a" * 5000,
    "nan",
    "1e999",
    "-1",
    "../../x",
    "<b>",
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
    "\u0660",
    "1_0",
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**70,
    -(2**70),
    0.5,
    -0.0,
    float("nan"),
    float("inf"),
    1e308,
    *TEXTS,
    [],
    {},
    [None],
    {"a": 1},
    [[1]],
    {"": {}},
    [1e400],
    ["x"] * 50,
]


class TooLong(Exception):
    """A reader that does not come back."""


@dataclass
class Outcome:
    """What a reader made of what it was given."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[int, str, Any]] = field(
        default_factory=dict
    )  # where -> how often, the first: message, input


@dataclass(frozen=True)
class Reader:
    """`inputs`: what to try; `read(folder, input)`: reads it, `folder` is empty or what the last
    call left."""

    inputs: st.SearchStrategy[Any]
    read: Callable[[Path, Any], None]


# -- how a valid file is changed -------------------------------------------------------------------

_KINDS = st.sampled_from(["flip", "cut", "insert", "drop", "repeat", "zero"])
EDITS = st.lists(
    st.tuples(_KINDS, st.floats(0, 1), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6
)


def changed(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """Bytes after some edits, each at a share of the length."""
    for kind, where, piece in edits:
        at, count = int(where * max(len(data) - 1, 0)), len(piece)
        if kind == "flip":
            data = (
                data[:at]
                + bytes(a ^ b for a, b in zip(data[at : at + count], piece, strict=False))
                + data[at + count :]
            )
        elif kind == "cut":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "drop":
            data = data[:at] + data[at + count :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + 64] * (count + 1) + data[at + 64 :]
        else:
            data = data[:at] + b"\0" * count + data[at + count :]
    return data


def damaged(*valid: bytes) -> st.SearchStrategy[bytes]:
    """A valid file changed, or bytes of no sense."""
    return st.one_of(st.builds(changed, st.sampled_from(valid), EDITS), st.binary(max_size=300))


_PATHS = st.lists(st.integers(0, 40), max_size=5)
_NEW = st.one_of(st.sampled_from(VALUES), st.text(max_size=8), st.integers(), st.floats())
MOVES = st.lists(
    st.tuples(_PATHS, st.sampled_from(["set", "drop", "nest"]), _NEW), min_size=1, max_size=4
)


def moved(value: Any, moves: list[tuple[list[int], str, Any]]) -> Any:
    """A JSON value with some of its members replaced, dropped or wrapped."""
    value = json.loads(json.dumps(value))
    for path, kind, drawn in moves:
        new = copy.deepcopy(drawn)  # or what hypothesis draws from would change
        here, steps = value, list(path)
        while steps and isinstance(here, dict | list) and here:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key: Any = keys[steps.pop(0) % len(keys)]
            below = here[key]
            if not steps or not isinstance(below, dict | list) or not below:
                if kind == "drop":
                    del here[key]
                else:
                    here[key] = [below] if kind == "nest" else new
                break
            here = below
        if not path:
            value = new
    return value


def document(valid: Any) -> st.SearchStrategy[bytes]:
    """JSON of another content, or bytes."""
    structured = st.builds(lambda m: json.dumps(moved(valid, m)).encode(), MOVES)
    hostile = (b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe{}", b"")
    deep = st.integers(0, len(hostile) - 1).map(hostile.__getitem__)
    return st.one_of(structured, damaged(json.dumps(valid).encode()), deep)


# -- the readers -----------------------------------------------------------------------------------


def budget() -> Reader:
    from archsmith.problem.budget import parse
    from archsmith.problem.times import parse_seconds

    signs = st.sampled_from(
        [
            "params",
            "macs",
            "latency",
            "memory",
            "FLOPs",
            "<=",
            ">=",
            "<",
            "≤",
            "=",
            "..",
            "60",
            "1.5",
            ".5",
            "1_000",
            "1,000",
            "3e6",
            "1e999",
            "nan",
            "-",
            "M",
            "k",
            "GMACs",
            "ms",
            "µs",
            "KiB",
            "MB",
            " ",
            ",",
            "45m",
            "1h",
            "min",
            "٣",
            "\0",
            "and",
            "%",
        ]
    )
    text = st.one_of(
        st.text(max_size=40),
        st.lists(signs, max_size=9).map("".join),
        st.lists(signs, max_size=9).map(" ".join),
    )

    def read(_: Path, value: str) -> None:
        for reader in (parse, parse_seconds):
            with contextlib.suppress(ArchsmithError):
                reader(value)
        parse(value)

    return Reader(text, read)


def architecture() -> Reader:
    from random import Random

    from archsmith.space import Architecture
    from archsmith.spaces.catalog.nasbench201 import NASBENCH201
    from archsmith.spaces.catalog.ofa import OFA

    valid = dict(OFA.sample(Random(0)))

    def read(_: Path, value: bytes) -> None:
        arch = Architecture.from_json(value)
        with contextlib.suppress(ArchsmithError):
            NASBENCH201.check(arch)
        _ = arch.key
        OFA.check(arch)

    return Reader(document(valid), read)


def _pictures(folder: Path, count: int = 12) -> list[bytes]:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8) // 2 + 100 * (i % 2)).save(
            buffer, "png"
        )
        found.append(buffer.getvalue())
        (folder / f"{i}.png").write_bytes(found[-1])
    return found


def _loaded(path: Path) -> None:
    from archsmith.data import load

    load(path, threads=1)


def csv() -> Reader:
    rows = [
        f"{i}.png,{'cat' if i % 2 else 'dog'},{'train' if i < 8 else 'test'}" for i in range(12)
    ]
    plain = "\n".join(["path,label,split", *rows]).encode()
    other = "\r\n".join(["image;class", *(f'"{i}.png";{i % 2}' for i in range(12))]).encode(
        "utf-16"
    )
    cells = st.sampled_from(
        [
            "0.png",
            "1.png",
            "path",
            "label",
            "split",
            "train",
            "",
            '"',
            "'",
            ",",
            ";",
            "\n",
            "\0",
            "1.0",
            "1",
            "nan",
            "..",
            ".",
            "/dev/null",
            "/dev/zero",
            "a" * 300,
            "é",
            "\ufeff",
            "[1, 2]",
        ]
    )
    lines = st.lists(st.lists(cells, max_size=4).map(",".join), max_size=14)
    table = lines.map(lambda found: "\n".join(["path,label", *found]).encode())

    def read(folder: Path, value: bytes) -> None:
        if not (folder / "0.png").exists():
            _pictures(folder)
        (folder / "list.csv").write_bytes(value)
        _loaded(folder / "list.csv")

    return Reader(st.one_of(damaged(plain, other), table), read)


def parquet() -> Reader:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as name:
        blobs = _pictures(Path(name))

    def packed(
        labels: Any, images: Any = None, names: tuple[str, str] = ("image", "label")
    ) -> bytes:
        buffer = io.BytesIO()
        images = [{"bytes": blob, "path": None} for blob in blobs] if images is None else images
        pq.write_table(pa.table({names[0]: images, names[1]: labels}), buffer)
        return buffer.getvalue()

    plain, texts = packed([i % 2 for i in range(12)]), packed(["cat", "dog"] * 6)
    texts_held = st.sampled_from(TEXTS[:2] + TEXTS[5:])
    kinds = [
        st.integers(-3, 3),
        st.none(),
        texts_held,
        st.floats(),
        st.booleans(),
        st.binary(max_size=3),
    ]
    columns = st.one_of([st.lists(kind, min_size=12, max_size=12) for kind in kinds])
    pictures = st.lists(st.sampled_from([*blobs, b"", b"x", None]), min_size=12, max_size=12)
    made = st.tuples(
        columns,
        pictures,
        st.sampled_from([("image", "label"), ("img", "fine_label"), ("a", "b")]),
        st.booleans(),
    )

    def build(parts: Any) -> bytes:
        labels, images, names, structs = parts
        try:
            return packed(
                labels, [{"bytes": i, "path": None} for i in images] if structs else images, names
            )
        except (pa.ArrowException, OverflowError):
            return b"PAR1"

    def read(folder: Path, value: bytes) -> None:
        (folder / "x.parquet").write_bytes(value)
        _loaded(folder / "x.parquet")

    return Reader(st.one_of(damaged(plain, texts), made.map(build)), read)


def npz() -> Reader:
    import numpy as np

    def packed(**arrays: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (12, 8, 8), dtype=np.uint8), np.arange(12) % 2
    plain = packed(x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    shapes = [
        (12, 8, 8),
        (12, 8, 8, 3),
        (12, 3, 8, 8),
        (12,),
        (),
        (0,),
        (12, 0, 8),
        (12, 1),
        (1, 12, 8, 8, 3),
        (3, 8, 8),
    ]
    forms = st.sampled_from(shapes)
    types = st.sampled_from(
        ["u1", "i8", "f4", "f8", "f2", "c8", "?", "U3", "S2", "M8[s]", "O", "V4", ">i2", "i1"]
    )
    fill = st.sampled_from(
        [0, 1, -1, 255, 1.0000001, float("nan"), float("inf"), "a\0b", "\ud800", None]
    )
    keys = st.sampled_from(
        [
            "x",
            "y",
            "x_train",
            "y_train",
            "x_test",
            "y_test",
            "images",
            "labels",
            "data",
            "arr_0",
            "",
            "x/y",
        ]
    )

    def array(parts: Any) -> Any:
        form, kind, value = parts
        found = np.zeros(form, kind)
        with contextlib.suppress(ValueError, TypeError, OverflowError, UnicodeError):
            found[...] = value
        return found

    arrays = st.dictionaries(keys, st.tuples(forms, types, fill).map(array), max_size=4)

    def build(found: dict[str, Any]) -> bytes:
        try:
            return packed(**{k or "k": v for k, v in found.items()})
        except (UnicodeError, ValueError, TypeError):
            return b"PK"

    def read(folder: Path, value: bytes) -> None:
        (folder / "x.npz").write_bytes(value)
        _loaded(folder / "x.npz")

    return Reader(st.one_of(damaged(plain), arrays.map(build)), read)


def _template() -> Path:
    """A finished run of a few steps; made once."""
    from archsmith.run.request import request_from
    from archsmith.run.store import Run
    from archsmith.stages.pipeline import carry_on

    folder = Path(tempfile.mkdtemp(prefix="archsmith-fuzz-run-")) / "run"
    request = request_from(
        data="digits",
        steps=40,
        time_s=None,
        trials=8,
        threads=1,
        reference=False,
        budget="params<=30k",
        method="random",
    )

    class Quiet:
        def begin(self, stage: str, predicted_s: float | None) -> None: ...

        def tick(self, text: str, share: float | None) -> None: ...

        def end(self, stage: str, text: str, seconds: float) -> None: ...

    carry_on(Run.create(folder, request), Quiet())
    return folder


def _look_at(folder: Path) -> None:
    """What `report`, `again`, `resume` and `export` read before they do anything."""
    from archsmith import report
    from archsmith.api import Result
    from archsmith.run.store import Run

    run = Run.open(folder)
    Result(run).summary()
    run.seconds()
    for name in ("look", "finish", "ship"):
        run.stage(name)
    list(run.archive)
    report.write(folder)


def run() -> Reader:
    template = _template()
    valid = json.loads((template / "run.json").read_text())

    def read(folder: Path, value: bytes) -> None:
        _fresh(template, folder)
        (folder / "run.json").write_bytes(value)
        _look_at(folder)

    return Reader(document(valid), read)


def _fresh(template: Path, folder: Path) -> None:
    for name in (
        "run.json",
        "trials.sqlite",
        "trials.sqlite-wal",
        "trials.sqlite-shm",
        "report.html",
    ):
        (folder / name).unlink(missing_ok=True)
        if (template / name).exists():
            shutil.copy(template / name, folder / name)


def sqlite() -> Reader:
    template = _template()
    with contextlib.closing(sqlite3.connect(template / "trials.sqlite")) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        tables = {"stages": ("name", "payload"), "decisions": ("name", "payload")}
        rows = {
            t: connection.execute(f"select {key}, {value} from {t}").fetchall()
            for t, (key, value) in tables.items()
        }
        columns = [
            row[1] for row in connection.execute("pragma table_info(trials)") if row[1] != "id"
        ]
    whole = (template / "trials.sqlite").read_bytes()
    payloads = [(t, name, text) for t, found in rows.items() for name, text in found]

    def another(picked: tuple[str, str, str], moves: Any) -> tuple[str, str, str]:
        table, name, text = picked
        return table, name, json.dumps(moved(json.loads(text), moves))

    payload = st.builds(another, st.sampled_from(payloads), MOVES)
    names = st.sampled_from([name for _, name, _ in payloads])
    rough = st.one_of(st.text(max_size=9), st.none(), st.binary(max_size=9))
    raw = st.tuples(st.sampled_from(["stages", "decisions"]), names, rough)
    entries = st.sampled_from([None, 0, -1, 1e999, "", "{}", "[]", "null", b"\xff", "{", '"x"'])
    cell = st.tuples(
        st.just("trials"), st.sampled_from(columns), st.one_of(entries, st.text(max_size=5))
    )

    def read(folder: Path, value: Any) -> None:
        _fresh(template, folder)
        if isinstance(value, bytes):
            (folder / "trials.sqlite").write_bytes(value)
        else:
            table, name, new = value
            connection = sqlite3.connect(folder / "trials.sqlite")
            with contextlib.closing(connection), contextlib.suppress(sqlite3.Error, UnicodeError):
                if table == "trials":
                    connection.execute(
                        f"update trials set {name} = ? where id = (select min(id) from trials)",
                        (new,),
                    )
                else:
                    connection.execute(
                        f"update {table} set payload = ? where name = ?", (new, name)
                    )
                connection.commit()
        _look_at(folder)

    return Reader(st.one_of(payload, raw, cell, damaged(whole)), read)


def checkpoint() -> Reader:
    import torch
    from torch import nn

    from archsmith.training.checkpoint import load, pack, save, unpack
    from archsmith.training.recipe import Recipe
    from archsmith.training.state import start

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.ckpt"
        save(start(network(), Recipe(batch_size=2)), path)
        whole = path.read_bytes()
        tensors, about = unpack(whole, path)
    kinds = {
        "f": torch.zeros(2),
        "i": torch.zeros(3, dtype=torch.int64),
        "0": torch.zeros(()),
        "e": torch.zeros(0, 4),
        "b": torch.ones(4, 3).bfloat16(),
    }

    def repacked(moves: Any, swapped: dict[str, str]) -> bytes:
        held = moved(about, moves)
        found = {n: kinds[swapped[n]] if n in swapped else t for n, t in tensors.items()}
        return pack(found, held if isinstance(held, dict) else {"state": held})

    swaps = st.dictionaries(
        st.sampled_from(sorted(tensors)), st.sampled_from(sorted(kinds)), max_size=2
    )
    known = st.builds(repacked, MOVES, swaps)

    def read(folder: Path, value: bytes) -> None:
        (folder / "x.ckpt").write_bytes(value)
        load(folder / "x.ckpt", network())

    return Reader(st.one_of(damaged(whole), known), read)


READERS: dict[str, Callable[[], Reader]] = {
    "budget": budget,
    "csv": csv,
    "parquet": parquet,
    "npz": npz,
    "architecture": architecture,
    "run": run,
    "sqlite": sqlite,
    "checkpoint": checkpoint,
}


# -- trying ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """TooLong in what takes longer."""

    def stop(*_: Any) -> None:
        raise TooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(reader: Reader, minutes: float, first: int = 0) -> Outcome:
    """Inputs, one after the other, until the time is over."""
    outcome, until, rounds = Outcome(), time.monotonic() + 60 * minutes, 0
    with tempfile.TemporaryDirectory(prefix="archsmith-fuzz-") as name:
        folder = Path(name)

        def one(value: Any) -> None:
            if time.monotonic() > until:
                return
            try:
                with (
                    within(LIMIT_S),
                    warnings.catch_warnings(),
                    contextlib.redirect_stderr(io.StringIO()),
                ):
                    warnings.simplefilter("ignore")
                    reader.read(folder, value)
                outcome.read += 1
            except ArchsmithError as error:
                outcome.refused[type(error).__name__] += 1
            except (Exception, SystemExit) as error:
                frames = [
                    f
                    for f in traceback.extract_tb(error.__traceback__)
                    if "/archsmith/" in f.filename
                ]
                last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
                where = (
                    f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno} "
                    f"{last.name}"
                )
                count, message, kept = outcome.faults.get(
                    where, (0, str(error).strip().splitlines()[:1], value)
                )
                outcome.faults[where] = count + 1, str(message), kept

        while time.monotonic() < until:
            rounds += 1
            body = settings(
                max_examples=200,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(given(reader.inputs)(one))
            seed(first + rounds)(body)()
    return outcome


def main() -> None:
    """Exit code 1 where anything but an error of ours got through."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reader", choices=sorted(READERS), action="append", help="one or more; default: all"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    wrong = False
    print(f"{'reader':<14}{'inputs':>9}{'read':>9}{'refused':>9}{'faults':>9}", flush=True)
    for name in asked.reader or READERS:
        outcome = tried(READERS[name](), asked.minutes, asked.seed)
        faults = sum(count for count, _, _ in outcome.faults.values())
        refused = sum(outcome.refused.values())
        print(
            f"{name:<14}{outcome.read + refused + faults:>9}{outcome.read:>9}"
            f"{refused:>9}{faults:>9}",
            flush=True,
        )
        for where, (count, message, value) in sorted(
            outcome.faults.items(), key=lambda item: -item[1][0]
        ):
            print(
                f"    {count} x {where}: {message[:160]}\n        of {repr(value)[:200]}",
                flush=True,
            )
        wrong = wrong or bool(faults)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
