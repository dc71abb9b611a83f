"""Whether --time is kept and training comes first: small photo sets, short times, any method, alone
and beside busy processes.

One row a search: wall seconds of the whole command against --time, the share of the search's side
that trained the network which ships, test accuracy beside a constant answer's, the exit code (3:
the tool says itself that this is no result). A row is bad where the end is more than a tenth off,
or where chance is called a result. Rows are kept, so it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUDGET = "params<=300k, macs<=20M"
# name -> parquet file, images at most
SETS = {"clothes": ("clothing", 1000), "cells": ("blood_cells", 600)}
# not longer than this program
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def main() -> None:
    """Prints a line a search and a table; exit code 1 where a row is bad."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, nargs="+", default=[60, 180, 300], help="seconds")
    parser.add_argument("--methods", nargs="+", default=["auto"])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2], help="processes beside it")
    parser.add_argument("--space", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default=BUDGET)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/time_kept"))
    asked = parser.parse_args()
    rows = [
        searched(asked, name, method, seconds, busy)
        for seconds in asked.times
        for name in asked.sets
        for busy in asked.busy
        for method in asked.methods
    ]
    columns = (
        "set",
        "method",
        "time",
        "busy",
        "wall",
        "off",
        "trained",
        "passes",
        "size",
        "test",
        "reference",
        "constant",
        "rc",
    )
    print("| " + " | ".join(columns) + " | |\n" + "|---" * (len(columns) + 1) + "|")
    for row in rows:
        print(
            "| " + " | ".join(str(row[column]) for column in columns) + f" | {row['bad'] or 'ok'} |"
        )
    sys.exit(any(row["bad"] for row in rows))


def searched(
    asked: argparse.Namespace, name: str, method: str, seconds: int, busy: int
) -> dict[str, Any]:
    """One search, in a process of its own."""
    folder = asked.work / f"{name}-{method}-{seconds}-{busy}-{asked.seed}"
    folder = folder if asked.space == "auto" else folder.with_name(f"{folder.name}-{asked.space}")
    kept = folder.with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text())
    images = write_folder(asked.data, asked.work / "images" / name, *SETS[name])
    command = [
        *(
            sys.executable,
            "-m",
            "archsmith",
            "search",
            str(images),
            "--time",
            f"{seconds}s",
            "--threads",
            "1",
        ),
        *(
            "--budget",
            asked.budget,
            "--method",
            method,
            "--seed",
            str(asked.seed),
            "--space",
            asked.space,
        ),
        *("--out", str(folder)),
    ]
    with _beside(busy):
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        wall = time.monotonic() - began
    row = {
        "set": name,
        "method": method,
        "time": seconds,
        "busy": busy,
        "wall": round(wall, 1),
        "rc": done.returncode,
    }
    row["off"] = f"{wall / seconds - 1:+.1%}"
    row |= _found(folder, seconds) if done.returncode in (0, 3) else {"error": done.stderr[-500:]}
    row = {
        **dict.fromkeys(("trained", "passes", "size", "test", "reference", "constant"), "-"),
        **row,
    }
    row["bad"] = _bad(row, wall / seconds)
    print(json.dumps(row), file=sys.stderr, flush=True)
    kept.write_text(json.dumps(row))
    return row


def _bad(row: dict[str, Any], ratio: float) -> str:
    if row["rc"] not in (0, 3):
        return f"exit code {row['rc']}"
    if not 0.9 <= ratio <= 1.1:
        return "time"
    return "chance called a result" if row["rc"] == 0 and not row["above"] else ""


def _found(folder: Path, seconds: int) -> dict[str, Any]:
    from archsmith import open_run

    run = open_run(folder)
    look, finish, ship = (run.stage(stage) or {} for stage in ("look", "finish", "ship"))
    own = finish["networks"][ship["search"]["key"]]
    reference = finish["reference"] or {"networks": {}, "seconds": 0.0}
    side = seconds - finish["plan"]["reference"]
    images = own["steps"] * finish["recipe"]["batch_size"]
    test, other = ship["search"]["test"]["accuracy"], ship["reference_test"]
    return {
        "trained": round(own["seconds"] / side, 2),
        "passes": round(images / sum(look["counts"]["train"]), 1),
        "size": look["size"],
        "test": round(test, 3),
        "above": ship["test"]["above"],
        "constant": round(ship["test"]["constant"], 3),
        "reference": round(other["accuracy"], 3) if other else "-",
        "ships": ship["network"],
        "searcher": (run.stage("search") or {})["searcher"],
        "seconds": {k: round(v, 1) for k, v in run.seconds().items()},
        "waited": round(sum(run.waits().values()), 1),
        "finalists": len(finish["networks"]),
        "hand_made": len(reference["networks"]),
    }


@contextlib.contextmanager
def _beside(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def write_folder(data: Path, folder: Path, file: str, most: int) -> Path:
    """Up to so many images, the same share of each class, as files in a folder for each class."""
    import pyarrow.parquet as parquet

    if (folder / ".done").exists():
        return folder
    table = parquet.read_table(data / "photos" / f"{file}.parquet", columns=["image", "label"])
    each = max(1, len(table) // most)
    for number, row in enumerate(table.slice(0).to_pylist()):
        if number % each:
            continue
        image = row["image"]["bytes"] if isinstance(row["image"], dict) else row["image"]
        path = folder / str(row["label"]) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    (folder / ".done").touch()
    return folder


if __name__ == "__main__":
    main()
