"""Digits (8 x 8, stratified 30 % test): `archsmith search digits` over seeds; prints one JSON
object with mean and spread."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def one(seed: int, limit: str, budget: str, folder: Path) -> dict[str, Any]:
    """One search by the command line."""
    out = folder / f"digits-{seed}"
    command = [
        sys.executable,
        *"-m archsmith search digits --budget".split(),
        budget,
        "--time",
        limit,
        "--seed",
        str(seed),
    ]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--out", str(out), "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    limits = {row["metric"]: row["value"] for row in found["budget"]}
    return {
        "seed": seed,
        "test_accuracy": found["test_accuracy"],
        "reference": found["reference_test_accuracy"],
        "params": limits.get("params"),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Over the seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--time", default="3m")
    parser.add_argument("--budget", default="params<=20k")
    parser.add_argument("--out", type=Path, default=None, help="keep the runs here")
    asked = parser.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp(prefix="archsmith-digits-"))
    rows = [one(seed, asked.time, asked.budget, folder) for seed in range(asked.seeds)]
    own, other = [r["test_accuracy"] for r in rows], [r["reference"] for r in rows]
    summary = {
        "mean": statistics.mean(own),
        "worst": min(own),
        "best": max(own),
        "stdev": statistics.stdev(own) if len(own) > 1 else 0.0,
        "reference_mean": statistics.mean(other),
    }
    print(json.dumps({"rows": rows, **summary}, indent=1))


if __name__ == "__main__":
    main()
