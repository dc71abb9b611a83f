"""`archsmith bench searchers`: search algorithms on recorded benchmarks at equal simulated cost,
over many seeds. No torch."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archsmith._internal.files import write_text
from archsmith._internal.hardware import machine_name, physical_cores
from archsmith._internal.statistics import middle_95, resampled
from archsmith.bench.folder import appending, claim, kept
from archsmith.bench.judge import holm
from archsmith.bench.pool import processes, results
from archsmith.errors import EvaluationFailed, UserError
from archsmith.problem import Problem, Trial, maximize
from archsmith.recorded import load
from archsmith.recorded.benchmark import SIMULATED, Recorded, faithful
from archsmith.searchers import make, needs_fidelities
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import FINAL
from archsmith.searchers.loop import run_searcher

_POINTS = 40  # of an anytime curve
_RESAMPLES = 2000


@dataclass(frozen=True)
class Setting:
    """`budget`: evaluations at the full fidelity, or what is worth as much; cheaper ones cost their
    share of recorded seconds.

    `truthful`: searchers see the recorded truth itself, which tests them without the noise of short
    training.
    """

    benchmarks: tuple[str, ...]
    searchers: tuple[str, ...]
    budget: int = 200
    seeds: int = 50
    truthful: bool = False

    def __post_init__(self) -> None:
        for what, value in (("--budget", self.budget), ("--seeds", self.seeds)):
            if value < 1:
                raise UserError(f"{what} {value}: give at least 1")
        for name in self.searchers:
            make(name)


def compare(
    setting: Setting,
    out: Path,
    *,
    recorded_data: str | None = None,
    workers: int | None = None,
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> dict[str, Any]:
    """Runs every searcher with every seed, judges, and writes curves.json, table.csv, table.json
    into `out`.

    searches.jsonl there holds the searches that are over: given the same folder again, it goes on.
    A searcher that needs cheaper fidelities is left out where a benchmark has none; "left_out"
    names both.
    """
    recorded = {name: load(name, recorded_data) for name in setting.benchmarks}
    fit = {b: _fitting(setting, recorded[b]) for b in setting.benchmarks}
    left_out = {b: [s for s in setting.searchers if s not in names] for b, names in fit.items()}
    if not any(fit.values()):
        raise UserError(
            f"{', '.join(setting.searchers)} need cheaper fidelities, which "
            f"{', '.join(fit)} does not have"
        )
    claim(out, {"budget": setting.budget, "truthful": setting.truthful})
    jobs = [
        (b, s, seed) for b, names in fit.items() for s in names for seed in range(setting.seeds)
    ]
    done = _searched(
        setting,
        jobs,
        out / "searches.jsonl",
        recorded_data=recorded_data,
        workers=workers,
        tell=tell,
    )
    curves = {
        b: {s: [done[b, s, seed] for seed in range(setting.seeds)] for s in names}
        for b, names in fit.items()
    }
    comparison = _judged(setting, recorded, curves, left_out)
    write_text(out / "table.json", json.dumps(comparison, indent=1))
    write_text(
        out / "curves.json",
        json.dumps({b: {s: _band(c) for s, c in by.items()} for b, by in curves.items()}),
    )
    _write(out / "table.csv", comparison)
    return comparison


def _judged(
    setting: Setting,
    recorded: Mapping[str, Recorded],
    curves: Mapping[str, Mapping[str, Sequence[Any]]],
    left_out: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What table.json holds: for each benchmark a row a searcher, the best first, then how they
    compare over all."""
    finals = {
        b: {s: [curve[-1] for curve in seeds] for s, seeds in by.items()}
        for b, by in curves.items()
    }
    comparison: dict[str, Any] = {**asdict(setting), "machine": machine_name(), "benchmarks": {}}
    for benchmark, by_name in finals.items():
        optimum = recorded[benchmark].facts.get("optimum")
        rows = {
            name: _row(values, by_name.get("random"), optimum, name)
            for name, values in by_name.items()
        }
        comparison["benchmarks"][benchmark] = {
            "optimum": optimum,
            "rows": dict(sorted(rows.items(), key=lambda item: -item[1]["mean"])),
            "left_out": left_out[benchmark],
        }
    comparison["comparisons"] = _adjusted(
        [row for part in comparison["benchmarks"].values() for row in part["rows"].values()]
    )
    comparison["ranks"] = _ranks(finals)
    return comparison


def _searched(
    setting: Setting,
    jobs: Sequence[tuple[str, str, int]],
    path: Path,
    recorded_data: str | None,
    workers: int | None,
    tell: Callable[[str, float], None],
) -> dict[tuple[str, str, int], list[float]]:
    """(benchmark, searcher, seed) -> the curve of that search, from `path` or run now and added to
    it."""
    done = {(row["benchmark"], row["searcher"], row["seed"]): row["curve"] for row in kept(path)}
    missing = [job for job in jobs if job not in done]
    with processes(workers or physical_cores(), fork=True) as pool, appending(path) as add:
        waiting = {
            pool.submit(
                run, *job, budget=setting.budget, truthful=setting.truthful, data=recorded_data
            ): job
            for job in missing
        }
        for count, (future, curve) in enumerate(results(pool, waiting), start=1):
            benchmark, name, seed = job = waiting[future]
            done[job] = curve
            add({"benchmark": benchmark, "searcher": name, "seed": seed, "curve": curve})
            tell(f"{count} of {len(missing)} searches", count / len(missing))
    return done


def run(
    benchmark: str,
    name: str,
    seed: int,
    budget: int,
    truthful: bool = False,
    data: str | None = None,
) -> list[float]:
    """One search: the truth of what it would have returned, at `_POINTS` even shares of its
    simulated budget, the last the end.

    What it would return is the best so far by what it was shown, at the highest fidelity it had
    looked at; of a moving distribution that has ended its survivor or mode.
    """
    recorded = load(benchmark, data)
    shown = _shown(recorded, seed, truthful)
    problem = _problem(recorded, shown)
    whole = _seconds(recorded, shown) * budget
    spent, incumbent = 0.0, None
    marks: list[tuple[float, Trial | None]] = []

    def tell(trial: Trial) -> None:
        nonlocal spent, incumbent
        spent += trial.cost.get(SIMULATED, whole / budget)
        if (
            spent <= whole * (1 + 1e-9)
            and not trial.failed
            and (incumbent is None or _better(trial, incumbent))
        ):
            incumbent = trial
        marks.append((spent, incumbent))

    run_searcher(
        problem,
        make(name)(problem, seed),
        trials=50 * budget,
        archive=Archive(),
        stop=lambda: spent >= whole,
        on_trial=tell,
    )
    curve, place = [], 0
    for point in range(1, _POINTS + 1):
        while place + 1 < len(marks) and marks[place + 1][0] <= whole * point / _POINTS * (
            1 + 1e-9
        ):
            place += 1
        best = (
            marks[place][1]
            if marks and marks[0][0] <= whole * point / _POINTS * (1 + 1e-9)
            else None
        )
        curve.append(_value(recorded, best) if best is not None else math.nan)
    return curve


def _problem(recorded: Recorded, shown: Any) -> Problem:
    return Problem(recorded.space, (maximize(shown, name="accuracy"),))


def _fitting(setting: Setting, recorded: Recorded) -> list[str]:
    """The searchers that can run on this benchmark, in the asked order."""
    several = len(_problem(recorded, _shown(recorded, 0, setting.truthful)).fidelities) > 1
    return [name for name in setting.searchers if several or not needs_fidelities(name)]


def _shown(recorded: Recorded, seed: int, truthful: bool) -> Any:
    """What a search sees: one of the recorded training runs, by the seed; or the truth."""
    if not truthful:
        return recorded.repeats[seed % len(recorded.repeats)]
    try:
        return faithful(recorded)
    except UserError:
        return recorded.truth


def _seconds(recorded: Recorded, shown: Any) -> float:
    """The recorded seconds of a typical evaluation at the full fidelity; 1 where none are
    recorded."""
    cost = getattr(shown, "cost", None)
    if not callable(cost):
        return 1.0
    archs = recorded.archs()
    some = archs[:: max(1, len(archs) // 200)]
    costs = [cost(arch).get(SIMULATED, math.nan) for arch in some]
    mean = float(np.nanmean(costs)) if np.isfinite(costs).any() else 1.0
    return mean if mean > 0 else 1.0


def _better(trial: Trial, than: Trial) -> bool:
    def merit(one: Trial) -> tuple[bool, float, float]:
        fidelity = math.inf if one.candidate.fidelity is None else one.candidate.fidelity
        return one.candidate.origin in FINAL, fidelity, -one.losses[0]

    return merit(trial) > merit(than)


def _value(recorded: Recorded, trial: Trial) -> float:
    try:
        return float(recorded.truth(trial.arch))  # type: ignore[arg-type]
    except EvaluationFailed:
        return math.nan


# -- statistics ----------------------------------------------------------------------------------


def _row(
    values: Sequence[float], against: Sequence[float] | None, optimum: float | None, name: str
) -> dict[str, Any]:
    column = np.array(values)
    low, high = _interval(column)
    row: dict[str, Any] = {
        "mean": float(np.nanmean(column)),
        "sd": float(np.nanstd(column, ddof=1)) if len(column) > 1 else None,
    }
    row |= {"low": low, "high": high, "regret": None if optimum is None else optimum - row["mean"]}
    if against is not None and name != "random":
        row |= _paired(column, np.array(against))
    return row


def _paired(mine: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Mean gain over random search with the same seeds, its bootstrap interval, and Wilcoxon's
    signed-rank p (two-sided)."""
    from scipy.stats import wilcoxon

    difference = mine - other
    difference = difference[np.isfinite(difference)]
    low, high = _interval(difference)
    p = float(wilcoxon(difference).pvalue) if np.any(difference != 0) else 1.0
    return {"gain": float(difference.mean()), "gain_low": low, "gain_high": high, "p": p}


def _adjusted(rows: Sequence[dict[str, Any]]) -> int:
    """Adds `p_holm` to every row that was compared, adjusted for all of them; how many they are."""
    compared = [row for row in rows if "p" in row]
    for row, p in zip(compared, holm([row["p"] for row in compared]), strict=True):
        row["p_holm"] = p
    return len(compared)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    values = values[np.isfinite(values)]
    return middle_95(
        np.array(
            [values[rows].mean() for rows in resampled(len(values), _RESAMPLES)]
            if len(values)
            else []
        )
    )


def _ranks(finals: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """Mean rank over benchmarks and seeds of the searchers that ran on every one, 1 the best; equal
    results share ranks."""
    from scipy.stats import rankdata

    names = [
        name
        for name in next(iter(finals.values()))
        if all(name in by_name for by_name in finals.values())
    ]
    if not names:
        return {}
    tables = [np.array([by_name[name] for name in names]) for by_name in finals.values()]
    ranks = np.concatenate(
        [rankdata(-np.nan_to_num(table, nan=-np.inf), axis=0) for table in tables], axis=1
    )
    return dict(
        sorted(zip(names, ranks.mean(axis=1).tolist(), strict=True), key=lambda item: item[1])
    )


def _band(curves: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Mean over seeds and its 95 % interval at each point; nan before the first evaluation was
    over."""
    table = np.array(curves)
    known = np.isfinite(table).all(axis=0)
    mean = np.where(known, np.nanmean(np.where(known, table, 0.0), axis=0), np.nan)
    bounds = [
        _interval(column) if k else (math.nan, math.nan)
        for column, k in zip(table.T, known, strict=True)
    ]
    return {"mean": mean.tolist(), "low": [b[0] for b in bounds], "high": [b[1] for b in bounds]}


def _write(path: Path, comparison: Mapping[str, Any]) -> None:
    keys = ("mean", "sd", "low", "high", "regret", "gain", "gain_low", "gain_high", "p", "p_holm")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "searcher", *keys])
        for benchmark, part in comparison["benchmarks"].items():
            for name, row in part["rows"].items():
                writer.writerow([benchmark, name, *(row.get(key, "") for key in keys)])


def text(comparison: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"budget {comparison['budget']} full evaluations, {comparison['seeds']} seeds"]
    width = max(24, *(len(name) + 2 for name in comparison["searchers"]))
    for benchmark, part in comparison["benchmarks"].items():
        optimum = "" if part["optimum"] is None else f", best there is {part['optimum']:.2f}"
        lines.append(
            f"\n{benchmark}{optimum}\n{'':<{width}}{'mean':>9}{'low':>9}{'high':>9}"
            f"{'over random':>13}{'p':>9}{'p (Holm)':>10}"
        )
        for name, row in part["rows"].items():
            gain = (
                f"{row['gain']:+13.3f}{row['p']:>9.2g}{row['p_holm']:>10.2g}"
                if "gain" in row
                else ""
            )
            lines.append(
                f"{name:<{width}}{row['mean']:>9.3f}{row['low']:>9.3f}{row['high']:>9.3f}{gain}"
            )
        if part["left_out"]:
            lines.append(f"left out, nothing cheaper is recorded: {', '.join(part['left_out'])}")
    if comparison["comparisons"]:
        lines.append(
            f"\np: each comparison with random search by itself; p (Holm): adjusted for all "
            f"{comparison['comparisons']} above"
        )
    lines.append(
        "\nmean rank: "
        + ", ".join(f"{name} {rank:.2f}" for name, rank in comparison["ranks"].items())
    )
    return "\n".join(lines)
