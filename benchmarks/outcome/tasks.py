"""Tasks besides telling classes apart, from data to a shipped network: what the search found
against the hand-made reference.

The images are the digits that come with scikit-learn: regression of the number that an image shows,
reconstruction of the image from a few numbers. Each run has the same steps; the share of the
variance explained on test images, per seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

TASKS = ("regression", "reconstruction")


def main() -> None:
    """Prints one JSON object; runs that are done are not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--method", default="auto")
    parser.add_argument("--budget", default="params<=30k")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/tasks"))
    asked = parser.parse_args()
    began = time.monotonic()
    rows = {task: [one(asked, task, seed) for seed in asked.seeds] for task in asked.tasks}
    print(
        json.dumps(
            {
                "rows": rows,
                "summary": {t: told(r) for t, r in rows.items()},
                "seconds": round(time.monotonic() - began),
            }
        )
    )


def one(asked: argparse.Namespace, task: str, seed: int) -> dict[str, Any]:
    """The share of the variance that the shipped network and the reference explain, the budget
    kept, the files."""
    import archsmith
    from archsmith.run.store import Run

    out = asked.work / f"{task}-{seed}"
    if (out / "best" / "model.onnx").exists():
        run = Run.open(out)
    else:
        run = archsmith.search(
            asked.data,
            task=task,
            method=asked.method,
            budget=asked.budget,
            steps=asked.steps,
            trials=asked.trials,
            seed=seed,
            out=out,
        )
    shipped = run.stage("ship") or {}
    return {
        "seed": seed,
        "explained": shipped["test"]["accuracy"],
        "interval": shipped["test"].get("interval"),
        "reference": shipped["reference_test"]["accuracy"],
        "within": all(row["met"] for row in shipped["budget"]),
        "onnx_differs_by": shipped["max_difference"],
        "files": len(shipped["files"]),
    }


def told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and the paired difference over seeds."""
    differences = [row["explained"] - row["reference"] for row in rows]
    return {
        "explained": statistics.mean(row["explained"] for row in rows),
        "reference": statistics.mean(row["reference"] for row in rows),
        "difference": statistics.mean(differences),
        "sd": statistics.stdev(differences) if len(differences) > 1 else None,
    }


if __name__ == "__main__":
    main()
