"""`archsmith bench supernets`: how well shared weights rank a benchmark's architectures, at equal
and stated cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from archsmith._internal.files import write_text
from archsmith._internal.hardware import machine_name, physical_cores
from archsmith.bench.estimators import Job, begin, estimated
from archsmith.bench.folder import appending, claim, kept
from archsmith.bench.judge import judge, paired, table, write_table
from archsmith.bench.pool import processes
from archsmith.bench.proxies import networks_of, truth_of
from archsmith.bench.setting import CONTROL, FREE, Setting, within
from archsmith.errors import UserError
from archsmith.recorded import load
from archsmith.space import Architecture
from archsmith.spaces import described
from archsmith.spaces.catalog.edges import longest_convolutions

COLUMNS = (
    ("kendall_all", "Kendall"),
    ("kendall_low", "low"),
    ("kendall_high", "high"),
    ("kendall_seeds", "seeds sd"),
    ("kendall_live", "live"),
    ("kendall_top_half", "top half"),
    ("kendall_top_tenth", "top tenth"),
    ("spearman_all", "Spearman"),
    ("spearman_live", "live (S)"),
    ("spearman_top_half", "half (S)"),
    ("spearman_top_tenth", "tenth (S)"),
    ("top_found", "5% found"),
    ("top_pick", "top pick"),
    ("best_of_ten", "best of 10"),
    ("updates", "updates"),
    ("train_seconds", "seconds"),
)


def compare(
    setting: Setting,
    out: Path,
    *,
    recorded_data: str | None = None,
    workers: int | None = None,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> dict[str, Any]:
    """Trains, estimates, judges; writes estimates.jsonl, costs.jsonl, table.csv, table.json into
    `out`.

    What is there is not done again, half trained weights are trained on.
    """
    recorded = load(setting.benchmark, recorded_data)
    network = networks_of(setting.benchmark)
    if network is None:
        raise UserError(
            f"the networks of {setting.benchmark} cannot be built, so nothing can be trained"
        )
    claim(out, _fixed(setting, network))
    space = within(recorded.space, setting.within)
    archs = [arch for arch in recorded.archs() if space.contains(arch)]
    if setting.sample is not None and setting.sample < len(archs):
        archs = Random(setting.sample_seed).sample(archs, setting.sample)
    _run(setting, network, archs, out, workers=workers, device=device, tell=tell)
    truth = truth_of(recorded, archs)
    comparison = {
        **asdict(setting),
        "networks": len(archs),
        "machine": machine_name(),
        "truth": setting.benchmark,
    }
    comparison |= _judged(setting, network, archs, truth=truth, out=out)
    write_text(out / "table.json", json.dumps(comparison, indent=1))
    write_table(
        out / "table.csv",
        ("estimator",),
        {(name,): row for name, row in comparison["scores"].items()},
    )
    return comparison


def text(comparison: Mapping[str, Any]) -> str:
    """For people."""
    head = (
        f"{comparison['networks']} networks of {comparison['benchmark']}, "
        f"{len(comparison['seeds'])} seeds, weights trained on "
        f"{comparison['data']} at {comparison['size']} px, {comparison['batch']} images an update"
    )
    parts = [head, "", table(comparison["scores"], COLUMNS)]
    if comparison["differences"]:
        parts.append(
            f"\nKendall less that of '{CONTROL}', same networks (95 % bootstrap), and seed by seed:"
        )
        for name, d in comparison["differences"].items():
            seeds = ", ".join(f"{value:+.3f}" for value in d["seeds"])
            parts.append(
                f"  {name}: {d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]   {seeds}"
            )
    for name, leaves in comparison["leaves"].items():
        figures = ", ".join(
            f"{leaf} {row['kendall']:.2f} ({row['networks']})" for leaf, row in leaves.items()
        )
        parts.append(f"\nwithin the leaves of {name}: {figures}")
    for name, value in comparison["calibration_across_leaves"].items():
        parts.append(
            f"\none function judged by every leaf of {name}: accuracy differs by "
            f"{100 * value:.1f} points (sd)"
        )
    return "\n".join(parts)


def _fixed(setting: Setting, network: tuple[str, int, int]) -> dict[str, Any]:
    """What a folder's comparison is; the same may go on with other estimators, seeds or
    networks."""
    free = ("estimators", "seeds", "sample")
    return {key: value for key, value in asdict(setting).items() if key not in free} | {
        "networks": network
    }


def _run(
    setting: Setting,
    network: tuple[str, int, int],
    archs: Sequence[Architecture],
    out: Path,
    *,
    workers: int | None,
    device: str,
    tell: Callable[[str, float], None],
) -> None:
    """Every estimator of every seed, the parent of a seed first."""
    have = {(row["seed"], row["estimator"], row["key"]) for row in kept(out / "estimates.jsonl")}
    missing: dict[tuple[int, str], list[int]] = {}
    for seed in setting.seeds:
        for name in setting.estimators:
            todo = [i for i, arch in enumerate(archs) if (seed, name, arch.key) not in have]
            if todo:
                missing[seed, name] = todo
    if not missing:
        return
    from archsmith.data import load as load_data

    tell("reading the images", 0.0)
    data = load_data(setting.data, size=setting.size)
    job = Job(setting, network, data, archs=tuple(map(dict, archs)), out=out, device=device)
    count = min(workers or physical_cores(), len(missing)) if device == "cpu" else 1
    done, waiting, pending = 0, dict(missing), dict[Future[Any], tuple[int, str]]()
    with (
        processes(count, begin, job) as pool,
        appending(out / "estimates.jsonl") as add,
        appending(out / "costs.jsonl") as add_cost,
    ):
        try:
            ready = set()
            while waiting or pending:
                for seed, name in list(waiting):
                    if (
                        name in ("one-shot", FREE)
                        or seed in ready
                        or (seed, "one-shot") not in missing
                    ):
                        pending[pool.submit(estimated, seed, name, waiting.pop((seed, name)))] = (
                            seed,
                            name,
                        )
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    seed, name = pending.pop(future)
                    rows, cost = future.result()
                    for row in rows:
                        add({"seed": seed, "estimator": name, **row})
                    add_cost({"seed": seed, "estimator": name, **cost})
                    if name == "one-shot":
                        ready.add(seed)
                    done += 1
                    tell(f"{name}, seed {seed}", done / len(missing))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# -- judging -------------------------------------------------------------------------------------


def _judged(
    setting: Setting,
    network: tuple[str, int, int],
    archs: Sequence[Architecture],
    *,
    truth: np.ndarray,
    out: Path,
) -> dict[str, Any]:
    """Everything the table and the text show, of what the folder holds."""
    columns, nodes = _estimates(setting, archs, out)
    costs = {(row["seed"], row["estimator"]): row for row in kept(out / "costs.jsonl")}
    baselines = {name: [column] for name, column in _baselines(setting, network, archs).items()}
    live = _live(network[0], archs)
    rows = {}
    for name, seeds in (columns | baselines).items():
        alive = judge([column[live] for column in seeds], truth[live])
        rows[name] = judge(seeds, truth) | {
            "kendall_live": alive["kendall_all"],
            "spearman_live": alive["spearman_all"],
        }
        rows[name] |= _mean_costs(setting, name.removesuffix(" by accuracy"), costs)
    order = sorted(
        rows,
        key=lambda name: (
            -rows[name]["kendall_all"] if math.isfinite(rows[name]["kendall_all"]) else 2.0
        ),
    )
    differences, leaves = {}, {}
    for name in setting.estimators:
        if name not in (CONTROL, "one-shot", FREE) and CONTROL in columns:
            differences[name] = _difference(columns[name], columns[CONTROL], truth)
        if len({node for seed in nodes[name] for node in seed}) > 1:
            leaves[name] = _within_leaves(nodes[name][0], columns[name][0], truth)
    across = {
        name: float(np.mean(values))
        for name in setting.estimators
        if (
            values := [
                c["across"] for (_, e), c in costs.items() if e == name and c["across"] is not None
            ]
        )
    }
    splits = {
        f"{e}, seed {s}": c["splits"] for (s, e), c in costs.items() if c["splits"] and e != CONTROL
    }
    return {
        "scores": {name: rows[name] for name in order},
        "differences": differences,
        "leaves": leaves,
        "calibration_across_leaves": across,
        "splits": splits,
    }


def _estimates(
    setting: Setting, archs: Sequence[Architecture], out: Path
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[list[str]]]]:
    """Estimator -> for each seed the estimates (n,), nan where one is missing, and which node of
    its tree judged each."""
    place = {arch.key: i for i, arch in enumerate(archs)}
    columns: dict[str, list[np.ndarray]] = {}
    nodes: dict[str, list[list[str]]] = {}
    for row in kept(out / "estimates.jsonl"):
        name = row["estimator"]
        if (
            name not in setting.estimators
            or row["seed"] not in setting.seeds
            or row["key"] not in place
        ):
            continue
        seed, i = setting.seeds.index(row["seed"]), place[row["key"]]
        estimates = (
            {name: -row["loss"]}
            if name == FREE
            else {name: -row["loss"], f"{name} by accuracy": row["accuracy"]}
        )
        for column, value in estimates.items():
            columns.setdefault(column, [np.full(len(archs), np.nan) for _ in setting.seeds])[seed][
                i
            ] = value
        nodes.setdefault(name, [[""] * len(archs) for _ in setting.seeds])[seed][i] = row["node"]
    return columns, nodes


def _mean_costs(
    setting: Setting, name: str, costs: Mapping[tuple[int, str], Mapping[str, Any]]
) -> dict[str, float]:
    """What training an estimator took, mean over its seeds; 0 where nothing was trained."""
    known = [costs[seed, name] for seed in setting.seeds if (seed, name) in costs]
    whats = ("updates", "train_seconds", "macs")
    return {
        what: float(np.mean([cost.get(what, 0.0) for cost in known])) if known else 0.0
        for what in whats
    }


def _difference(
    mine: Sequence[np.ndarray], control: Sequence[np.ndarray], truth: np.ndarray
) -> dict[str, Any]:
    """Kendall less that of the control, over all seeds and seed by seed."""
    pairs = zip(mine, control, strict=True)
    seeds = [judge([a], truth)["kendall_all"] - judge([b], truth)["kendall_all"] for a, b in pairs]
    return {**paired(mine, control, truth), "seeds": seeds}


def _within_leaves(
    nodes: Sequence[str], column: np.ndarray, truth: np.ndarray
) -> dict[str, dict[str, float]]:
    leaves = {}
    for name in sorted(set(nodes)):
        rows = np.array([node == name for node in nodes])
        if rows.sum() > 2:
            leaves[name] = {
                "kendall": judge([column[rows]], truth[rows])["kendall_all"],
                "networks": int(rows.sum()),
            }
    return leaves


def _live(space: str, archs: Sequence[Architecture]) -> np.ndarray:
    """Which have a path from input to output."""
    live = described(space).live
    return np.array([live is None or live(arch) for arch in archs])


def _baselines(
    setting: Setting, network: tuple[str, int, int], archs: Sequence[Architecture]
) -> dict[str, np.ndarray]:
    """What costs nothing: parameters, parameters without those of dead edges, convolutions on the
    longest path."""
    from archsmith.metrics.cost import Costs
    from archsmith.spaces import build

    space, classes, size = network
    costs = Costs(build(space, classes, 3, size), (3, size, size), ("params",))
    canonical = described(space).form
    baselines = {
        "params": np.array([costs(arch)["params"] for arch in archs], dtype=float),
        "effective params": np.array(
            [costs(canonical(arch))["params"] for arch in archs], dtype=float
        ),
    }
    if "edge0to3" in archs[0]:
        baselines["longest path"] = np.array(
            [longest_convolutions(arch) for arch in archs], dtype=float
        )
    return baselines
