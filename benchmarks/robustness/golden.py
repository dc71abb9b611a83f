"""Do the methods give what they gave? A small run of each by two checkouts, compared: short-list,
accuracies, what ships.

`python benchmarks/robustness/golden.py --old ../before` (another commit: `git worktree add
../before COMMIT`) runs every method for a few steps on narrow cells and prints a line each: equal,
or what differs. Steps, not seconds, so that one source gives the same to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
FEW_SHOT = {"splits": 1, "split_on": "edge0to3", "leaves": 2}


def main() -> None:
    """Both checkouts, a method at a time; exit code 1 where one differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", type=Path, default=HERE, help="the root of the other checkout")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(found(asked.run)))
        return
    from archsmith.methods import METHODS

    equal = 0
    names = asked.methods or list(METHODS)
    for name in names:
        old, new = (_by(root, name) for root in (asked.old.resolve(), HERE))
        equal += old == new
        print(f"{name:<12} {'equal' if old == new else f'differs: {old} | {new}'}", flush=True)
    print(f"{equal} of {len(names)} equal")
    sys.exit(equal < len(names))


def _by(root: Path, name: str) -> Any:
    """What a checkout makes of a method, in a process of its own."""
    paths = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(root / "src"), str(root / "tests"))),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, __file__, "--run", name]
    done = subprocess.run(command, capture_output=True, text=True, env=paths, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr[-500:]


def found(name: str) -> dict[str, Any]:
    """Keys of the short-list, accuracy of each network, what ships and its accuracy on the test
    images."""
    from short_runs import CELLS, FAST

    try:
        from archsmith.run.request import request_from
        from archsmith.stages.requests import start
    except ImportError:  # before the rooms were laid anew
        from archsmith.pipeline import start  # type: ignore[import-not-found, no-redef]

        from archsmith.run import request_from  # type: ignore[attr-defined, no-redef]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cells.py").write_text(CELLS)
        space = "convnet" if name == "hand-made" else f"{Path(folder) / 'cells.py'}:Net"
        more: dict[str, Any] = {"budget": "params<=20k"} if name == "hand-made" else {}
        more |= {"settings": FEW_SHOT} if name == "few-shot" else {}
        run = start(
            request_from(**{**FAST, "method": name, "space": space, **more}), Path(folder) / "run"
        )
        search, finish, ship = (run.stage(stage) or {} for stage in ("search", "finish", "ship"))
        return {
            "short-list": [entry["key"] for entry in search["shortlist"]],
            "accuracy": {
                # earlier checkouts called it val_accuracy
                key: network["val_measure" if "val_measure" in network else "val_accuracy"]
                for key, network in finish["networks"].items()
            },
            "ships": ship["key"],
            "test": ship["test"]["accuracy"],
        }


if __name__ == "__main__":
    main()
