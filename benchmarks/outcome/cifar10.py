"""CIFAR-10 as a folder of class sub-folders: search, hand-made reference and random search at equal
cost, over seeds."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = (
    "cifar10_lossless_train_0.parquet",
    "cifar10_lossless_train_1.parquet",
    "cifar10_lossless_test.parquet",
)


def write_folder(data: Path, folder: Path) -> None:
    """train/CLASS/NAME.webp and test/CLASS/NAME.webp, the bytes as they are in the parquet files;
    skipped where it is there."""
    import pyarrow.parquet

    if (folder / ".complete").exists():
        return
    for name in FILES:
        for batch in pyarrow.parquet.ParquetFile(data / "images" / name).iter_batches():
            for row in batch.to_pylist():
                place = folder / row["split"] / CLASSES[row["label"]]
                place.mkdir(parents=True, exist_ok=True)
                (place / Path(row["file_name"]).with_suffix(".webp").name).write_bytes(row["image"])
    (folder / ".complete").touch()


def one(folder: Path, out: Path, *options: str) -> dict[str, Any]:
    """One search by the command line."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "archsmith",
        "search",
        str(folder),
        *options,
        "--out",
        str(out),
        "--json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{' '.join(command)} failed")
    found = json.loads(done.stdout)
    values = {row["metric"]: row["value"] for row in found["budget"]}
    return {
        "test_accuracy": found["test_accuracy"],
        "reference": found["reference_test_accuracy"],
        "verdict": found["verdict"],
        **values,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Per seed: the search with its reference (each half of the time), then random search with what
    the search's half was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--budget", default="params<=200k, macs<=12M")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/cifar10"))
    asked = parser.parse_args()
    folder = asked.work / "images"
    write_folder(asked.data, folder)
    rows = []
    for seed in asked.seeds:
        common = ("--budget", asked.budget, "--seed", str(seed))
        out = asked.work / f"zico-{seed}"
        search = one(folder, out, *common, "--time", f"{asked.minutes * 60:.0f}s")
        plan = _plan(out)
        random = one(
            folder,
            asked.work / f"random-{seed}",
            *common,
            *"--method random --no-reference --time".split(),
            f"{plan['scoring_s'] + plan['search'] + _fixed(out):.0f}s",
        )
        rows.append({"seed": seed, "search": search, "random": random})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    means = {
        "search": statistics.mean(r["search"]["test_accuracy"] for r in rows),
        "reference": statistics.mean(r["search"]["reference"] for r in rows),
        "random": statistics.mean(r["random"]["test_accuracy"] for r in rows),
    }
    print(json.dumps({"rows": rows, "means": means}, indent=1))


def _plan(out: Path) -> dict[str, float]:
    from archsmith import open_run

    return (open_run(out).stage("finish") or {})["plan"]


def _fixed(out: Path) -> float:
    """What both runs spend outside training and scoring: looking, profiling, shipping."""
    from archsmith import open_run

    run = open_run(out)
    seconds = run.seconds()
    return seconds["look"] + seconds["profile"] + seconds["ship"]


if __name__ == "__main__":
    main()
