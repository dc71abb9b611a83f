"""Methods on CIFAR-10 side by side: started at once, one thread and the same time each, no
reference; over seeds."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cifar10 import one, write_folder  # beside this file


def main() -> None:
    """Runs that are done are not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["zico", "ensemble"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--budget", default="params<=200k, macs<=12M")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--images", type=Path, default=Path("runs/cifar10/images"))
    parser.add_argument("--work", type=Path, default=Path("runs/methods"))
    asked = parser.parse_args()
    write_folder(asked.data, asked.images)
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    for seed in asked.seeds:
        row: dict[str, Any] = {"seed": seed}
        with ThreadPoolExecutor(len(asked.methods)) as pool:
            runs = {method: pool.submit(result, asked, method, seed) for method in asked.methods}
            row |= {method: run.result() for method, run in runs.items()}
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    first, *others = asked.methods
    summary: dict[str, Any] = {
        m: round(statistics.mean(r[m]["test_accuracy"] for r in rows), 4) for m in asked.methods
    }
    for method in others:
        differences = [r[method]["test_accuracy"] - r[first]["test_accuracy"] for r in rows]
        spread = statistics.stdev(differences) if len(differences) > 1 else None
        summary[f"{method} - {first}"] = {
            "differences": differences,
            "mean": statistics.mean(differences),
            "stdev": spread,
        }
    print(
        json.dumps(
            {"rows": rows, "summary": summary, "seconds": round(time.monotonic() - began)}, indent=1
        )
    )


def result(asked: argparse.Namespace, method: str, seed: int) -> dict[str, Any]:
    """Of one search, kept beside its run."""
    out = asked.work / f"{method}-{seed}"
    kept = asked.work / f"{method}-{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    options = (
        "--method",
        method,
        "--seed",
        str(seed),
        "--budget",
        asked.budget,
        "--time",
        f"{60 * asked.minutes:.0f}s",
    )
    found = one(asked.images, out, *options, "--threads", "1", "--no-reference")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
