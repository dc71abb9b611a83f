"""How far off the stage times were that runs had said beforehand: finished run folders, made on a
quiet machine.

`python benchmarks/clock/predicted.py runs/outcome/*-search-600-*/` prints a row a stage: runs, what
was said and taken (medians), and how many were within 30 %. Stages that took less than two seconds
are left out: nobody waits for them.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from archsmith import open_run

LEAST_S, WITHIN = 2.0, 0.3


def main() -> None:
    """All runs that are done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    pairs: dict[str, list[tuple[float, float]]] = {}
    for folder in parser.parse_args().runs:
        run = open_run(folder)
        taken = run.seconds()
        for stage, said in (run.record.get("predicted_s") or {}).items():
            if max(said, taken.get(stage, 0.0)) >= LEAST_S and run.stage(stage) is not None:
                pairs.setdefault(stage, []).append((said, taken[stage]))
    print("| stage | runs | said, s | taken, s | off, median | within 30 % |\n" + "|---" * 6 + "|")
    for stage, found in pairs.items():
        off = [abs(taken - said) / max(said, 1e-9) for said, taken in found]
        said, taken = (statistics.median(pair[i] for pair in found) for i in (0, 1))
        within = sum(one <= WITHIN for one in off)
        print(
            f"| {stage} | {len(found)} | {said:.1f} | {taken:.1f} | {statistics.median(off):.0%} "
            f"| {within} of {len(off)} |"
        )


if __name__ == "__main__":
    main()
