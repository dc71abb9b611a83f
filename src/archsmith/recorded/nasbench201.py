"""NAS-Bench-201 on its three data sets: 12-epoch validation accuracy to search by, 200-epoch test
accuracy to judge by."""

from __future__ import annotations

from os import PathLike

import numpy as np

from archsmith.recorded.benchmark import SIMULATED, Curve, Lookup, Recorded, Rows, optimum, spread
from archsmith.recorded.columns import KINDS, Columns, read
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_arch, nasbench201_text

_PREFIX = {"cifar10": "c10", "cifar100": "c100", "imagenet16": "in16"}
_CHEAP, _FULL = 12.0, 200.0  # epochs


def load(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`nasbench201:cifar10`, `nasbench201:cifar100` or `nasbench201:imagenet16`
    (ImageNet16-120)."""
    prefix = _PREFIX[name.partition(":")[2]]
    columns = read(KINDS["nasbench201"], data)
    texts = columns["arch_str"].tolist()
    rows = Rows(name, texts, nasbench201_text, texts=texts, read=nasbench201_arch)
    cheap, full = columns[f"{prefix}_valid_acc_12ep"], columns[f"{prefix}_test_acc_200ep"]
    costs, costs_are = _costs(columns, prefix)
    score = Curve("accuracy", rows, {_CHEAP: cheap}, {_CHEAP: costs} if costs else {})
    truth = Lookup("accuracy", rows, full)
    facts = {
        **columns.facts(),
        "score": "validation accuracy after a training of 12 epochs, one run",
        "truth": "test accuracy after a training of 200 epochs, mean over the one to three runs "
        "there are",
        "unit": "%",
        **optimum(full, rows),
        "noise": _noise(columns, prefix, full),
        "surrogate": None,
        "simulated_seconds": costs_are,
        "complete": len(rows.keys) == NASBENCH201.size,
        "count": len(rows.keys),
        "truth_fidelity": _FULL,
    }
    return Recorded(
        name,
        NASBENCH201,
        score,
        truth=truth,
        facts=facts,
        rows=rows,
        records=_records(columns, prefix, rows),
    )


def _costs(columns: Columns, prefix: str) -> tuple[dict[str, np.ndarray], str | None]:
    what = "seconds to train and validate 12 epochs"
    own, other = f"{prefix}_train_valid_time_12ep_s", "c10_train_valid_time_12ep_s"
    if own in columns:
        return {SIMULATED: columns[own]}, f"{what}, as recorded"
    if other in columns:
        return {SIMULATED: columns[other]}, (
            f"{what} on CIFAR-10, standing in for this data set's, which are not in the file"
        )
    return {}, None


def _noise(columns: Columns, prefix: str, truth: np.ndarray) -> dict[str, float | None] | None:
    """Standard deviations of the test accuracy of a single run: over all cells, and among the best
    tenth."""
    runs = [
        columns[name]
        for seed in (1, 2, 3)
        if (name := f"{prefix}_test_acc_200ep_seed{seed}") in columns
    ]
    if not runs:
        return None
    best = np.flatnonzero(truth >= np.nanquantile(truth, 0.9))
    return {"test, one run": spread(runs), "test, one run, best tenth": spread(runs, best)}


def _records(columns: Columns, prefix: str, rows: Rows) -> dict[str, Lookup]:
    """Parameters, MACs, single runs, and latencies with the unit in their names."""
    sources = {"params": f"params_{prefix}", "macs": f"macs_{prefix}"}
    sources |= {f"accuracy_seed{seed}": f"{prefix}_test_acc_200ep_seed{seed}" for seed in (1, 2, 3)}
    sources |= {
        f"latency_ms_{column[7:]}": column for column in columns if column.startswith("lat_ms_")
    }
    return {
        name: Lookup(name, rows, columns[column])
        for name, column in sources.items()
        if column in columns
    }
