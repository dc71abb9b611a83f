"""The publishers' own files of NAS-Bench-201 and TransNAS-Bench-101 as columns; facts about their
layout live here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsmith.errors import UserError
from archsmith.recorded.pickles import read_pickle
from archsmith.spaces.catalog.nasbench201 import nasbench201_arch, nasbench201_text
from archsmith.spaces.catalog.transnas import transnas_arch, transnas_text

Table = dict[str, list[Any]]

# -- NAS-Bench-201 (.pth), NATS-Bench topology (.pickle.pbz2, or a folder, a file an architecture)
#
# {"meta_archs": [text], "arch2infos": {index: {"12" or "less": R, "200" or "full": R}}}, where R
# has "all_results": {(data set, seed): {"epochs", "train_times": {epoch: s}, "eval_acc1es":
# {"SET@EPOCH": %}, "eval_times", "params" and "flop" in millions}}. CIFAR-10's validation accuracy
# is that of networks trained on half of the training images ("cifar10-valid").

_SETS = {  # prefix -> where the validation accuracy lies, where the test accuracy
    "c10": (("cifar10-valid", "x-valid"), ("cifar10", "ori-test")),
    "c100": (("cifar100", "x-valid"), ("cifar100", "x-test")),
    "in16": (("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test")),
}
_META = "meta.pickle.pbz2"


def nasbench201_columns(
    content: Mapping[str, Any], infos: Iterable[tuple[int, Mapping[str, Any]]] | None = None
) -> Table:
    """One row per architecture, in the order of the index; the names of the columns are those of
    the CSV table."""
    if not isinstance(content, Mapping) or "meta_archs" not in content:
        raise UserError(
            "not the layout of NAS-Bench-201: expected a dictionary with 'meta_archs' "
            "and 'arch2infos'"
        )
    texts = list(content["meta_archs"])
    table: Table = {}
    rows = 0
    for index, info in (
        infos if infos is not None else sorted(content.get("arch2infos", {}).items())
    ):
        row = {
            "arch_str": nasbench201_text(nasbench201_arch(texts[index])),
            "index": index,
            **_nasbench201_row(info),
        }
        table |= {name: [math.nan] * rows for name in row if name not in table}
        for name, column in table.items():
            column.append(row.get(name, math.nan))
        rows += 1
    if not rows:
        raise UserError("it names architectures but holds results of none")
    return table


def _nasbench201_row(info: Mapping[str, Any]) -> dict[str, float]:
    short, long = (_runs(info, names) for names in (("12", "less"), ("200", "full")))
    row: dict[str, float] = {}
    for prefix, ((train, valid), (data, test)) in _SETS.items():
        if few := short.get(train):
            row[f"{prefix}_valid_acc_12ep"] = _mean(_last(run, "eval_acc1es", valid) for run in few)
            row[f"{prefix}_train_valid_time_12ep_s"] = _mean(_seconds(run, valid) for run in few)
        if many := long.get(data):
            accuracies = [_last(run, "eval_acc1es", test) for run in many]
            row[f"{prefix}_test_acc_200ep"] = _mean(accuracies)
            row |= {
                f"{prefix}_test_acc_200ep_seed{i}": accuracy
                for i, accuracy in enumerate(accuracies[:3], start=1)
            }
        for run in (*long.get(data, ()), *short.get(train, ()))[:1]:
            row |= {
                f"params_{prefix}": round(1e6 * run["params"]),
                f"macs_{prefix}": round(1e6 * run["flop"]),
            }
    return row


def _runs(info: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Data set -> the results of each seed, by seed."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    results: Mapping[Any, Any] = next(
        (info[name]["all_results"] for name in names if name in info), {}
    )
    for (data, _), result in sorted(results.items(), key=lambda item: item[0]):
        runs.setdefault(data, []).append(result)
    return runs


def _last(run: Mapping[str, Any], what: str, of: str) -> float:
    value = run[what].get(f"{of}@{int(run['epochs']) - 1}")
    return math.nan if value is None else float(value)


def _seconds(run: Mapping[str, Any], of: str) -> float:
    """All epochs of training and one validation, as the publishers charge a query."""
    train, evaluate = run.get("train_times") or {}, run.get("eval_times") or {}
    passes = [float(seconds) for name, seconds in evaluate.items() if name.startswith(f"{of}@")]
    return math.fsum(train.values()) + _mean(passes) if train and passes else math.nan


def _mean(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def nasbench201_folder(folder: Path) -> Table:
    """The same from a folder with meta.pickle.pbz2 and one file per architecture, read one after
    the other."""
    if not (folder / _META).is_file():
        raise UserError(
            f"{folder} holds no {_META}; pass the publishers' folder "
            f"(NATS-tss-...-simple) or their single file"
        )
    meta = read_pickle(folder / _META)
    files = [path for path in sorted(folder.glob("*.pickle.pbz2")) if path.name != _META]

    def infos() -> Iterator[tuple[int, Mapping[str, Any]]]:
        for path in files:
            yield int(path.name.partition(".")[0]), read_pickle(path)

    return nasbench201_columns(meta, infos())


# -- TransNAS-Bench-101 (.pth) -------------------------------------------------------------------
#
# {"data": {"micro": {code: {task: {"metrics": {name: [value per epoch]}}}}}}

_METRICS = {
    "class_scene": "top1",
    "class_object": "top1",
    "jigsaw": "top1",
    "room_layout": "neg_loss",
    "segmentsemantic": "acc",
    "autoencoder": "ssim",
    "normal": "ssim",
}


def transnas_columns(content: Mapping[str, Any]) -> Table:
    """One row per micro architecture: the validation metric of the last epoch, and the test metric
    where there is one."""
    try:
        micro = content["data"]["micro"]
    except (KeyError, TypeError):
        raise UserError(
            "not the layout of TransNAS-Bench-101: expected a dictionary with 'data' "
            "and in it 'micro'"
        ) from None
    table: Table = {"arch_str": []}
    for code, tasks in micro.items():
        table["arch_str"].append(transnas_text(transnas_arch(code)))
        for (task, metric), split in (
            (pair, split) for pair in _METRICS.items() for split in ("valid", "test")
        ):
            values = tasks.get(task, {}).get("metrics", {}).get(f"{split}_{metric}")
            table.setdefault(f"{task}_{split}", []).append(
                float(values[-1]) if values else math.nan
            )
    return {
        name: column
        for name, column in table.items()
        if name == "arch_str" or not all(map(math.isnan, column))
    }
