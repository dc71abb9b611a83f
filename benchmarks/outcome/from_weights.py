"""Searches that begin with published weights, under shrinking budgets: beside the whole network,
the network thinned by hand, and a search that begins from nothing.

`python benchmarks/outcome/from_weights.py --sets clothes cells --seeds 0 1 2 --seconds 600` runs,
for each set and seed,

- `search`: `archsmith search --pretrained` under each budget; the whole network made narrower by
  one share to the same budget is its own reference, trained beside it at equal cost (where there
  is none, its row says why: at 25 % not even the narrowest is small enough);
- `alone` (asked for by `--jobs`): the same without that reference, so all of the time is its own;
- `whole`: EfficientNet-Lite0 whole, fine-tuned for all of the time: no upper limit, and as many
  parameters as it has as a lower one, for without it the race takes shorter versions in;
- `nothing`: `archsmith search --no-pretrained` under each budget.

Budgets are shares of the whole network's MACs at the side `--size`; with `--size auto` at the side
`--counted-at`, and each run chooses its own. Every run has `--seconds` in all. A row that is there
is not made again. Prints a table, and whether the targets hold: within 1 point of the whole network
at 50 %, at least 5 points above a search from nothing, above the thinned network under every
budget.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kept import Row, answered, kept, ran

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from image_sets import GROUPS, SETS, source

SPACE = "efficientnet-lite0"
# what `auto` is with published weights, by name: so it is not refused where no part of the network
# keeps the budget in its whole width
_BEGUN = ("--pretrained", "--space", SPACE)
JOBS = {  # job -> options
    "search": _BEGUN,
    "alone": (*_BEGUN, "--no-reference"),
    "whole": (*_BEGUN, "--no-reference"),
    "nothing": ("--no-pretrained",),
}
NEAR, ABOVE, HALF = 0.01, 0.05, 50  # of the targets
SHOWN: dict[str, Callable[[Mapping[str, Row]], float | None]] = {
    "ships": lambda jobs: _of(jobs, "search", "test"),
    "own": lambda jobs: _of(jobs, "search", "own"),
    "thinned": lambda jobs: _of(jobs, "search", "reference"),
    "alone": lambda jobs: _of(jobs, "alone", "test"),
    "whole": lambda jobs: _of(jobs, "whole", "test"),
    "nothing": lambda jobs: _of(jobs, "nothing", "test"),
    "ships - whole": lambda jobs: _less(jobs, "ships", "whole"),
    "alone - whole": lambda jobs: _less(jobs, "alone", "whole"),
    "ships - nothing": lambda jobs: _less(jobs, "ships", "nothing"),
    "own - thinned": lambda jobs: _less(jobs, "own", "thinned"),
}


@dataclass(frozen=True)
class Job:
    """A run. `percent`: its budget, of the whole network's MACs; None for the whole network."""

    set: str
    seed: int
    kind: str
    percent: float | None


def main() -> None:
    """Every set and seed; a line a job, then the table and the targets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["clothes", "cells"], choices=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budgets", type=float, nargs="+", default=[100, 50, 25], help="percent")
    parser.add_argument("--size", type=_side, default=128, help="pixels, or auto")
    parser.add_argument("--counted-at", type=int, default=128, help="side where --size is auto")
    parser.add_argument("--seconds", type=float, default=600.0, help="of each run, in all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--jobs", nargs="+", default=["search", "whole", "nothing"], choices=list(JOBS)
    )
    parser.add_argument("--beside", type=int, default=1, help="runs at a time")
    parser.add_argument("--options", default="", help="more of `archsmith search`, as one string")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/from_weights"))
    asked = parser.parse_args()
    wholes = {name: _whole(asked, name) for name in asked.sets}  # before anything runs beside
    with ThreadPoolExecutor(asked.beside) as pool:
        rows = list(pool.map(lambda job: _done(asked, wholes[job.set], job), _todo(asked)))
    print("\n".join(table(rows)))
    print("\n".join(["", *targets(rows)]))


def _side(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _todo(asked: argparse.Namespace) -> Iterator[Job]:
    for seed in asked.seeds:
        for name in asked.sets:
            for kind in asked.jobs:
                budgets = [None] if kind == "whole" else asked.budgets
                yield from (Job(name, seed, kind, percent) for percent in budgets)


def _whole(asked: argparse.Namespace, name: str) -> Row:
    """What the whole network costs with the classes of a set: "macs", "params"."""
    side = asked.size or asked.counted_at
    data = source(name, asked.data, asked.work)

    def counted() -> Row:
        words = ["profile", data, "--space", SPACE, "--size", str(side), "--threads", "1"]
        row, found = answered(words)
        most = {key: int(found["metrics"][key]["max"]) for key in ("macs", "params") if found}
        return {"set": name, "side": side, **row, **most}

    row = kept(asked.work / f"{name}-counts-{side}.json", counted)
    if "error" in row:
        raise SystemExit(f"{name}: the whole network cannot be counted")
    return row


def _done(asked: argparse.Namespace, whole: Row, job: Job) -> Row:
    """One job, in a process of its own."""
    limit = f"-{job.percent:g}" if job.percent is not None else ""
    side = str(asked.size or f"auto{asked.counted_at}")
    name = f"{job.set}-{job.kind}{limit}-{side}-{asked.seconds:.0f}-{job.seed}"

    def made() -> Row:
        words = ["search", source(job.set, asked.data, asked.work), *JOBS[job.kind]]
        words += ["--budget", budget(whole, job.percent), "--seed", str(job.seed)]
        words += ["--time", f"{asked.seconds:.0f}s", "--threads", str(asked.threads)]
        words += ["--size", str(asked.size)] if asked.size else []
        words += ["--group", GROUPS[job.set]] if job.set in GROUPS else []
        row = {"set": job.set, "seed": job.seed, "job": job.kind, "budget": job.percent}
        row |= ran([*words, *asked.options.split()], asked.work / name)
        return row if "error" in row else {**row, **_found(asked.work / name)}

    return kept(asked.work / f"{name}.json", made)


def budget(whole: Mapping[str, Any], percent: float | None) -> str:
    """In words of the command line: a share of what the whole network costs, or (None) all of it
    and nothing less."""
    if percent is None:
        return f"params>={whole['params']}"
    return f"macs<={int(whole['macs'] * percent / 100)}"


def _found(folder: Path) -> Row:
    """What a run came to: "test" is what ships, "own" the search's network, which may be it."""
    from archsmith import open_run

    run = open_run(folder)
    look, profile, finish, ship = (
        run.stage(stage) or {} for stage in ("look", "profile", "finish", "ship")
    )
    reference, test, timed = finish["reference"], ship["test"], ship["latency_ms"]
    network = {**(reference["networks"] if reference else {}), **finish["networks"]}[ship["key"]]
    images = sum(look["counts"]["train"])
    return {
        "test": test["accuracy"],
        "n": test["n"],
        "interval": test["interval"],
        "ships": ship["network"],
        "own": ship["search"]["test"]["accuracy"] if ship["search"] else None,
        "reference": ship["reference_test"]["accuracy"] if ship["reference_test"] else None,
        "reference_macs": reference["networks"][reference["chosen"]]["macs"] if reference else None,
        "no_reference": (profile.get("references") or {}).get("why"),
        "val": network["val_measure"],
        "origin": network.get("origin", "reference"),
        "space": ship["architecture"]["space"],
        "finalists": len(finish["networks"]),
        "params": int(network["params"]),
        "macs": int(network["macs"]),
        "size": look["size"],
        "passes": round(network["steps"] * finish["recipe"]["batch_size"] / images, 1),
        "trained": round(network["seconds"], 1),
        "seconds": round(sum(run.seconds().values()), 1),
        "waited": round(sum(run.waits().values()), 1),
        "latency_ms": round(timed["median_ms"], 3) if timed else None,
        "latency_threads": timed["threads"] if timed else None,
        "warning": ship["warning"],
    }


def _of(jobs: Mapping[str, Row], job: str, field: str) -> float | None:
    return jobs[job].get(field) if job in jobs else None


def _less(jobs: Mapping[str, Row], one: str, other: str) -> float | None:
    first, second = SHOWN[one](jobs), SHOWN[other](jobs)
    return None if first is None or second is None else first - second


def values(rows: Sequence[Row]) -> dict[tuple[str, float], dict[str, list[float]]]:
    """(set, budget in percent) -> what the table shows -> its value for each seed that has it."""
    good = [row for row in rows if "error" not in row]
    wholes = {(row["set"], row["seed"]): row for row in good if row["budget"] is None}
    jobs: dict[tuple[str, float, int], dict[str, Row]] = {}
    for row in good:
        if row["budget"] is not None:
            jobs.setdefault((row["set"], row["budget"], row["seed"]), {})[row["job"]] = row
    found: dict[tuple[str, float], dict[str, list[float]]] = {}
    for (name, percent, seed), own in jobs.items():
        whole = {"whole": wholes[name, seed]} if (name, seed) in wholes else {}
        for column, of in SHOWN.items():
            if (value := of({**own, **whole})) is not None:
                found.setdefault((name, percent), {}).setdefault(column, []).append(value)
    return found


def table(rows: Sequence[Row]) -> list[str]:
    """A row a set and budget: means over seeds in percent, with the smallest and the largest."""
    found = values(rows)
    shown = [name for name in SHOWN if any(name in columns for columns in found.values())]
    lines = ["| set | MACs | " + " | ".join(shown) + " |", "|---" * (len(shown) + 2) + "|"]
    for (name, percent), columns in found.items():
        cells = " | ".join(_mean(columns.get(column, [])) for column in shown)
        lines.append(f"| {name} | {percent:g} % | {cells} |")
    return lines


def _mean(of: Sequence[float]) -> str:
    if not of:
        return "-"
    mean = f"{100 * statistics.mean(of):.1f}"
    return mean if len(of) == 1 else f"{mean} ({100 * min(of):.1f} to {100 * max(of):.1f})"


def targets(rows: Sequence[Row]) -> list[str]:
    """Whether each target holds, set by set and budget by budget, by the mean over seeds."""
    lines = []
    for (name, percent), columns in values(rows).items():
        asked = [("own - thinned", "above the thinned network", 0.0)]
        asked.append(("ships - nothing", f"{100 * ABOVE:g} points above nothing", ABOVE))
        if percent == HALF:
            asked.append(("ships - whole", f"within {100 * NEAR:g} point of the whole", -NEAR))
        for column, text, least in asked:
            if of := columns.get(column):
                mean = statistics.mean(of)
                # of accuracies in binary fractions, a difference of just so much
                holds = mean > 0 if least == 0 else mean >= least - 1e-9
                said = "holds" if holds else "missed"
                lines.append(
                    f"{said:6}  {name}, {percent:g} %: {text} ({100 * mean:+.1f} points, "
                    f"{len(of)} seed{'s' if len(of) > 1 else ''})"
                )
        if "own" in columns and "thinned" not in columns:
            lines.append(f"none    {name}, {percent:g} %: {_unthinned(rows, name, percent)}")
    return lines


def _unthinned(rows: Sequence[Row], name: str, percent: float) -> str:
    """Why no thinned network was trained beside the searches of a set under a budget."""
    whys = {
        row.get("no_reference") or "the time is not enough for both"
        for row in rows
        if row.get("own") is not None
        and (row["set"], row["budget"], row["job"]) == (name, percent, "search")
    }
    return f"no thinned network was trained ({'; '.join(sorted(whys))})"


if __name__ == "__main__":
    main()
