"""Is what comes out better than by hand? The search, its hand-made reference and plain scripts, at
equal wall time.

`python benchmarks/outcome/outcome.py --seconds 600 --seeds 0 1 2` runs jobs of one thread, two at a
time (`--beside`), so that all have the same machine: per set and seed the search (its reference
included), the search `alone` (no reference: all of the time is its own, as it is a script's), and
each plain script of `plain_cnn.py`. Finished jobs are kept and not repeated. Prints a table:
accuracy on the test images, each looked at once, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import plain_cnn
from image_sets import GROUPS, SETS, source

BUDGET = "params<=300k, macs<=20M"
SEARCHES = {"search": (), "alone": ("--no-reference",)}  # job -> options
SEVEN = ("clothes", "cells", "cifar", "cifar-500", "cifar-100", "digits", "mnist")


def main() -> None:
    """Every set and seed; a line a job, then the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SEVEN), choices=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument(
        "--jobs",
        nargs="+",
        default=[*SEARCHES, *plain_cnn.KINDS],
        choices=[*SEARCHES, *plain_cnn.KINDS],
    )
    parser.add_argument("--beside", type=int, default=2, help="jobs at a time, of one thread each")
    parser.add_argument("--options", default="", help="more of `archsmith search`, as one string")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/outcome"))
    asked = parser.parse_args()
    for name in asked.sets:
        source(name, asked.data, asked.work)  # written before anything runs beside
    todo = [(name, seed, job) for seed in asked.seeds for name in asked.sets for job in asked.jobs]
    with ThreadPoolExecutor(asked.beside) as pool:
        rows = list(pool.map(lambda which: _done(asked, *which), todo))
    _print(rows)


def _done(asked: argparse.Namespace, name: str, seed: int, job: str) -> dict[str, Any]:
    """One job, in a process of its own."""
    folder = asked.work / f"{name}-{job}-{asked.seconds:.0f}-{seed}"
    kept = folder.with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text())
    if job in SEARCHES:
        command = [
            *(
                "-m",
                "archsmith",
                "search",
                source(name, asked.data, asked.work),
                "--budget",
                BUDGET,
                "--threads",
                "1",
            ),
            *(
                "--time",
                f"{asked.seconds:.0f}s",
                "--seed",
                str(seed),
                "--out",
                str(folder),
                "--json",
            ),
            *(("--group", GROUPS[name]) if name in GROUPS else ()),
            *SEARCHES[job],
            *asked.options.split(),
        ]
    else:
        command = [
            *(plain_cnn.__file__, name, "--kind", job, "--seconds", str(asked.seconds)),
            *("--seed", str(seed), "--data", str(asked.data), "--work", str(asked.work)),
        ]
    began = time.monotonic()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    row = {
        "set": name,
        "seed": seed,
        "job": job,
        "wall": round(time.monotonic() - began, 1),
        "rc": done.returncode,
    }
    if done.returncode not in (0, 3):
        print(json.dumps({**row, "error": done.stderr[-2000:]}), file=sys.stderr, flush=True)
        return row
    row |= _found(folder) if job in SEARCHES else json.loads(done.stdout)
    kept.write_text(json.dumps(row))
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _found(folder: Path) -> dict[str, Any]:
    from archsmith import open_run

    run = open_run(folder)
    look, search, finish, ship = (
        run.stage(stage) or {} for stage in ("look", "search", "finish", "ship")
    )
    own = finish["networks"][ship["search"]["key"]]
    reference = finish["reference"]
    images = sum(look["counts"]["train"])
    return {
        "test": round(ship["test"]["accuracy"], 4),
        "ships": ship["network"],
        "search": round(ship["search"]["test"]["accuracy"], 4),
        "val": own["val_measure"],
        "origin": own["origin"],
        "finalists": len(finish["networks"]),
        "passes": round(own["steps"] * finish["recipe"]["batch_size"] / images, 1),
        "precision": own["precision"],
        "reference": round(ship["reference_test"]["accuracy"], 4)
        if ship["reference_test"]
        else None,
        "hand_made": reference["chosen"] if reference else None,
        "size": look["size"],
        "searcher": search["searcher"],
        "params": own["params"],
        "macs": own["macs"],
        "seconds": {k: round(v, 1) for k, v in run.seconds().items()},
        "trained": round(own["seconds"], 1),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    by = {(row["set"], row["seed"], row["job"]): row for row in rows if row["rc"] in (0, 3)}
    sets, seeds = (
        list(dict.fromkeys(row["set"] for row in rows)),
        sorted({row["seed"] for row in rows}),
    )
    shown = (
        "search",
        "reference",
        "ships",
        "alone",
        *plain_cnn.KINDS,
        "search - reference",
        "ships - plain",
        "alone - plain",
    )
    print("| set | " + " | ".join(shown) + " |")
    print("|---" * (len(shown) + 1) + "|")
    for name in sets:
        columns: dict[str, list[float]] = {}
        for seed in seeds:
            for column, value in _values(
                {job: by[name, seed, job] for _, _, job in by if (name, seed, job) in by}
            ).items():
                columns.setdefault(column, []).append(value)
        print(
            f"| {name} | " + " | ".join(_mean(columns.get(column, [])) for column in shown) + " |"
        )


def _values(jobs: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Column -> what it says of one set and seed; "plain": the script that is better on validation,
    as one would choose."""
    found = {kind: jobs[kind]["test"] for kind in plain_cnn.KINDS if kind in jobs}
    plain = max(
        (jobs[kind] for kind in plain_cnn.KINDS if kind in jobs),
        key=lambda row: row["val"],
        default=None,
    )
    if "search" in jobs:
        found |= {"search": jobs["search"]["search"], "ships": jobs["search"]["test"]}
        if jobs["search"]["reference"] is not None:
            found |= {"reference": jobs["search"]["reference"]}
            found |= {"search - reference": found["search"] - found["reference"]}
    if "alone" in jobs:
        found |= {"alone": jobs["alone"]["test"]}
    if plain is not None:
        found |= {
            f"{what} - plain": found[what] - plain["test"]
            for what in ("ships", "alone")
            if what in found
        }
    return found


def _mean(values: list[float]) -> str:
    """In percent, with the smallest and the largest."""
    if not values:
        return "-"
    mean = f"{100 * statistics.mean(values):.1f}"
    return (
        mean
        if len(values) == 1
        else (f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})")
    )


if __name__ == "__main__":
    main()
