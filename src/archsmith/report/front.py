"""The feasible trade-off front, front.csv: the networks no other beats, among those trained and
among those only scored."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archsmith._internal.files import write_text
from archsmith.problem import Trial
from archsmith.problem.pareto import front as non_dominated
from archsmith.report import text
from archsmith.report.run_record import RunRecord, read

COSTS = ("params", "macs", "memory", "latency")
FULL = 0.999  # shares of the training from here on count as all of it


def share(trial: Trial) -> float:
    """Which share of the full training a network got."""
    return 1.0 if trial.candidate.fidelity is None else trial.candidate.fidelity


def trained(record: RunRecord) -> list[Trial]:
    """The networks that were trained, in full or in part, each once: as it was when it had been
    trained longest."""
    longest: dict[str, Trial] = {}
    for trial in record.trials:
        if (
            trial.stage != "finish"
            or trial.failed
            or not text.is_number(trial.metrics.get("val_measure"))
        ):
            continue
        known = longest.get(trial.arch.key)
        if known is None or share(trial) >= share(known):
            longest[trial.arch.key] = trial
    return list(longest.values())


def scored(record: RunRecord) -> list[Trial]:
    """The feasible networks that have a training-free score, each once (the newest score
    counts)."""
    proxy = record.proxy
    trials = (
        t
        for t in record.trials
        if t.stage != "finish" and t.feasible and proxy and text.is_number(t.metrics.get(proxy))
    )
    return list({trial.arch.key: trial for trial in trials}.values())


def costs_of(record: RunRecord, trials: Sequence[Trial]) -> list[str]:
    """The costs a trade-off is about, as far as all the trials have them: those under a limit;
    without limits MACs and size."""
    known = [
        cost
        for cost in COSTS
        if trials and all(text.is_number(t.metrics.get(cost)) for t in trials)
    ]
    limited = (
        {bound.metric for bound in record.profiled.budget} if record.profiled is not None else set()
    )
    return [cost for cost in known if cost in limited] or known[:2]


def best_of(trials: Sequence[Trial], quality: str, costs: Sequence[str]) -> list[Trial]:
    """The trials that no other one beats, cheapest first."""
    if not trials or not costs:
        return []
    losses = [(-t.metrics[quality], *(t.metrics[cost] for cost in costs)) for t in trials]
    return sorted((trials[i] for i in non_dominated(losses)), key=lambda t: t.metrics[costs[0]])


def rows(folder: str | Path) -> list[dict[str, Any]]:
    """front.csv as dictionaries: the networks trained in full that no other beats, then those only
    scored."""
    return rows_of(read(Path(folder)))


def rows_of(record: RunRecord) -> list[dict[str, Any]]:
    """The same from a record at hand."""
    proxy, networks = record.proxy, []
    complete = [t for t in trained(record) if t.feasible and share(t) >= FULL]
    for kind, trials, quality in (
        ("trained", complete, "val_measure"),
        ("scored", scored(record), proxy or ""),
    ):
        for trial in best_of(trials, quality, costs_of(record, trials)):
            metrics = trial.metrics
            networks.append(
                {
                    "kind": kind,
                    "key": trial.arch.key,
                    "chosen": trial.arch.key == record.chosen,
                    "origin": trial.candidate.origin or trial.stage,
                    "val_measure": metrics.get("val_measure") if kind == "trained" else None,
                    "proxy": proxy,
                    "score": metrics.get(proxy) if proxy else None,
                    **{cost: metrics.get(cost) for cost in COSTS},
                    "architecture": trial.arch.to_json(),
                }
            )
    return networks


_COLUMNS = (
    "kind",
    "key",
    "chosen",
    "origin",
    "val_measure",
    "proxy",
    "score",
    *COSTS,
    "architecture",
)


def write_front(folder: str | Path) -> Path:
    """Writes front.csv into the run folder, atomically. `latency` is the table's prediction in ms,
    `memory` in bytes."""
    return save(Path(folder), rows(folder))


def save(folder: Path, networks: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as front.csv; the header stands there even when no row does."""
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(networks)
    path = folder / "front.csv"
    write_text(path, table.getvalue())
    return path
