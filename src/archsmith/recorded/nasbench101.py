"""Cells of NAS-Bench-101: the spaces of NAS-Bench-1Shot1 and the small cells that EC-NAS measured
at several epochs."""

from __future__ import annotations

from functools import partial
from os import PathLike

import numpy as np

from archsmith.errors import UserError
from archsmith.recorded.benchmark import SIMULATED, Curve, Lookup, Recorded, Rows, optimum, spread
from archsmith.recorded.columns import KINDS, Columns, read
from archsmith.space import Architecture
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    NASBENCH101_SMALL,
    cell_class,
    nasbench1shot1_arch,
    nasbench1shot1_class,
    nasbench101_arch,
    nasbench101_cell_of,
    nasbench101_class,
)

_EPOCHS = 108.0
_REPEATS = (1, 2, 3)


def _texts(columns: Columns, matrix: str, operations: str, kept: np.ndarray) -> list[str]:
    """Matrix and operations of the kept rows as one text each, without spaces inside."""
    pairs = zip(columns[matrix][kept].tolist(), columns[operations][kept].tolist(), strict=True)
    return [f"{m.replace(' ', '')} {o.replace(' ', '')}" for m, o in pairs]


def _classes(texts: list[str]) -> list[str]:
    return [cell_class(*nasbench101_cell_of(text)) for text in texts]


# -- NAS-Bench-1Shot1 ----------------------------------------------------------------------------


def load_1shot1(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`nasbench1shot1:1` or `nasbench1shot1:2`.

    The space is the part of NASBENCH1SHOT1 that is recorded. The CSV table holds those cells in
    which, dead nodes removed, every node reads the one before it: 87 % and 45 % of the spaces.
    """
    which = int(name.partition(":")[2])
    columns = read(KINDS["nasbench1shot1"], data)
    kept = np.flatnonzero(columns["search_space"] == which)
    if not len(kept):
        raise UserError(f"{columns.path} holds no cell of search space {which}")
    classes = _classes(_texts(columns, "module_adjacency", "module_operations", kept))
    keys, first = (
        list(dict.fromkeys(classes)),
        {key: row for row, key in reversed(list(enumerate(classes)))},
    )
    # isomorphic cells are listed apart, with the results of the one training
    kept = kept[[first[key] for key in keys]]
    texts = _texts(columns, "adjacency_7x7", "operations_7", kept)
    rows = Rows(name, keys, nasbench1shot1_class, texts=texts, read=partial(_read_1shot1, which))
    valid = [
        columns[column][kept] for repeat in _REPEATS if (column := f"valid_acc_{repeat}") in columns
    ]
    test = [
        columns[column][kept] for repeat in _REPEATS if (column := f"test_acc_{repeat}") in columns
    ]
    truth = np.nanmean(np.stack(test), axis=0)
    best = np.flatnonzero(truth >= np.quantile(truth, 0.9))
    times = [
        columns[column][kept] if (column := f"train_time_s_{r}") in columns else None
        for r in _REPEATS[: len(valid)]
    ]
    repeats = tuple(
        Lookup("accuracy", rows, column)
        if time is None
        else Curve("accuracy", rows, {_EPOCHS: column}, {_EPOCHS: {SIMULATED: time}})
        for column, time in zip(valid, times, strict=True)
    )
    facts = {
        **columns.facts(),
        "score": "validation accuracy after 108 epochs, one run; three independent runs are "
        "`repeats`",
        "truth": f"test accuracy after 108 epochs, mean of {len(test)} runs",
        "unit": "%",
        **optimum(truth, rows),
        "noise": {
            "validation, one run": spread(valid),
            "validation, one run, best tenth": spread(valid, best),
            "test, one run": spread(test),
            "test, one run, best tenth": spread(test, best),
        },
        "surrogate": None,
        "simulated_seconds": None if times[0] is None else "seconds of the training, as recorded",
        "complete": True,  # of the part
        "part": "the cells of the space that the file records",
        "count": len(keys),
        "truth_fidelity": _EPOCHS,
    }
    space = NASBENCH1SHOT1[which].where(rows.__contains__)
    return Recorded(
        name,
        space,
        repeats[0],
        truth=Lookup("accuracy", rows, truth),
        facts=facts,
        rows=rows,
        repeats=repeats,
    )


def _read_1shot1(which: int, text: str) -> Architecture:
    return nasbench1shot1_arch(which, *nasbench101_cell_of(text))


# -- EC-NAS --------------------------------------------------------------------------------------


def load_ecnas(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`ecnas`: 91 cells at 4, 12, 36 and 108 epochs, three runs each; `ecnas:5`: 2,532 cells at 4
    epochs, one run each."""
    nodes = 5 if name.endswith(":5") else 4
    columns = read(KINDS["ecnas"], data)
    mine = columns["benchmark"] == f"{nodes}V9E"
    epochs = sorted({float(epoch) for epoch in columns["epochs"][mine]})
    repeats = sorted({float(repeat) for repeat in columns["repeat"][mine]})
    if not epochs:
        raise UserError(f"{columns.path} holds no rows of benchmark '{nodes}V9E'")
    order, index = _by_setting(columns, mine, epochs, repeats)
    texts = _texts(columns, "module_adjacency", "module_operations", index[epochs[0], repeats[0]])
    rows = Rows(
        name, _classes(texts), nasbench101_class, texts=texts, read=partial(_read_small, nodes)
    )

    def percent(column: str, epoch: float, repeat: float) -> np.ndarray:
        return 100.0 * columns[column][index[epoch, repeat]]

    entries = {SIMULATED: "train_time_s", "energy_kwh": "energy_kwh"}
    runs = tuple(
        Curve(
            "accuracy",
            rows,
            {epoch: percent("final_valid_acc", epoch, repeat) for epoch in epochs},
            {
                epoch: {entry: columns[c][index[epoch, repeat]] for entry, c in entries.items()}
                for epoch in epochs
            },
        )
        for repeat in repeats
    )
    test = [percent("final_test_acc", epochs[-1], repeat) for repeat in repeats]
    valid = [percent("final_valid_acc", epochs[-1], repeat) for repeat in repeats]
    truth = np.mean(np.stack(test), axis=0)
    trained = (
        "trained for each number of epochs anew"
        if len(epochs) > 1
        else ("no other number of epochs is recorded")
    )
    facts = {
        **columns.facts(),
        "score": f"validation accuracy after {'/'.join(f'{e:.0f}' for e in epochs)} epochs, one "
        f"run; {trained}",
        "truth": f"test accuracy after {epochs[-1]:.0f} epochs, mean of {len(repeats)} run(s)",
        "unit": "%",
        **optimum(truth, rows),
        "noise": {"validation, one run": spread(valid), "test, one run": spread(test)}
        if len(repeats) > 1
        else None,
        "surrogate": None,
        "simulated_seconds": "seconds of the training, as recorded; energy_kwh is the energy it "
        "took",
        "complete": len(order) == {4: 91, 5: 2532}[nodes],  # isomorphism classes
        "count": len(order),
        "truth_fidelity": epochs[-1],
    }
    last = index[epochs[-1], repeats[0]]
    records = {"energy_kwh": "energy_kwh", "train_seconds": "train_time_s", "params": "params"}
    lookups = {n: Lookup(n, rows, columns[c][last]) for n, c in records.items() if c in columns}
    return Recorded(
        name,
        NASBENCH101_SMALL[nodes],
        runs[0],
        truth=Lookup("accuracy", rows, truth),
        facts=facts,
        rows=rows,
        repeats=runs,
        records=lookups,
    )


def _by_setting(
    columns: Columns, mine: np.ndarray, epochs: list[float], repeats: list[float]
) -> tuple[list[str], dict[tuple[float, float], np.ndarray]]:
    """The cells in the order of the file, and for each (epochs, repeat) their rows; UserError where
    one is missing."""
    hashes = columns["module_hash"].tolist()
    order = list(dict.fromkeys(hashes[row] for row in np.flatnonzero(mine)))
    place = {
        (float(columns["epochs"][row]), float(columns["repeat"][row]), hashes[row]): int(row)
        for row in np.flatnonzero(mine)
    }
    settings = [(epoch, repeat) for epoch in epochs for repeat in repeats]
    try:
        index = {
            setting: np.array([place[(*setting, cell)] for cell in order]) for setting in settings
        }
    except KeyError as error:
        raise UserError(
            f"{columns.path} lacks the row (epochs, repeat, cell) {error}; every cell "
            f"needs all of them"
        ) from error
    return order, index


def _read_small(nodes: int, text: str) -> Architecture:
    return nasbench101_arch(nodes, *nasbench101_cell_of(text))
