"""Small tables of recorded results in the form of the data folder, which the tests of the
benchmarks write and share."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from random import Random

import numpy as np

from archsmith.spaces.catalog.darts import DARTS, darts_genotype
from archsmith.spaces.catalog.nasbench101 import live_nodes
from archsmith.spaces.catalog.nasbench201 import NASBENCH201, nasbench201_text
from archsmith.spaces.catalog.transnas import TRANSNAS, transnas_text


def table(path: Path, rows: list[dict]) -> Path:
    """Writes rows as a CSV table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def nasbench201_rows(count: int = 8) -> list[dict]:
    """Cells with distinct made-up results; the second run of every other cell is missing, the third
    of all."""
    archs = list(dict.fromkeys(NASBENCH201.sample(Random(i)) for i in range(count)))
    rows = []
    for i, arch in enumerate(archs):
        row = {"index": i, "arch_str": nasbench201_text(arch)}
        for j, prefix in enumerate(("c10", "c100", "in16")):
            row |= {f"params_{prefix}": 1000 + i + j, f"macs_{prefix}": 2000 + i}
            row |= {
                f"{prefix}_valid_acc_12ep": 50 + i - 10 * j,
                f"{prefix}_test_acc_200ep": 90 - 2 * i - 10 * j,
            }
        row |= {"c10_train_valid_time_12ep_s": 100.5 + i}
        row |= {
            "c10_test_acc_200ep_seed1": 90.5 - 2 * i,
            "c10_test_acc_200ep_seed2": 89.5 - 2 * i if i % 2 else "",
        }
        row |= {"c10_test_acc_200ep_seed3": "", "lat_ms_pixel2": 3 + i}
        rows.append(row)
    return rows


def oneshot_rows() -> list[dict]:
    """Four placements of three cells of search space 1 as the publishers list them: the first two
    are isomorphic."""
    conv, pool = "conv3x3-bn-relu", "maxpool3x3"
    placed = [  # cell, operations by node, edges; node 6 is the output, node 5 unused
        (0, {1: conv, 2: pool}, [(0, 1), (0, 2), (1, 2), (0, 6), (2, 6)]),
        (0, {1: conv, 3: pool}, [(0, 1), (0, 3), (1, 3), (0, 6), (3, 6)]),
        (1, {1: conv}, [(0, 1), (0, 6), (1, 6)]),
        (2, {1: conv, 2: pool}, [(0, 1), (0, 2), (1, 2), (1, 6), (2, 6)]),
    ]
    rows = []
    for cell, inner, edges in placed:
        seven = [[int((a, b) in edges) for b in range(7)] for a in range(7)]
        operations = [
            "input",
            *(inner.get(node, "conv1x1-bn-relu") for node in range(1, 6)),
            "output",
        ]
        live = live_nodes(seven)
        texts = {
            "module_adjacency": [[seven[a][b] for b in live] for a in live],
            "module_operations": [operations[node] for node in live],
            "adjacency_7x7": seven,
            "operations_7": operations,
        }
        runs = {
            f"{part}_acc_{r}": 80 + 5 * cell + r / 10 + (part == "test")
            for part in ("valid", "test")
            for r in (1, 2, 3)
        }
        rows.append(
            {
                "cell_id": cell,
                "search_space": 1,
                **{name: json.dumps(t) for name, t in texts.items()},
                **runs,
            }
        )
    return rows


def ecnas_rows() -> list[dict]:
    """Two cells at two numbers of epochs, two runs each, and one row of another benchmark."""
    conv = "conv3x3-bn-relu"
    modules = {
        "aa": ([[0, 1], [0, 0]], ["input", "output"]),
        "bb": ([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", conv, "output"]),
    }
    rows = []
    for i, (name, (matrix, operations)) in enumerate(modules.items()):
        for repeat in (0, 1):
            for epochs in (4, 12):
                fraction = 0.5 + i / 10 + repeat / 100 + epochs / 1000
                rows.append(
                    {
                        "benchmark": "4V9E",
                        "module_hash": name,
                        "repeat": repeat,
                        "epochs": epochs,
                        "module_adjacency": json.dumps(matrix),
                        "module_operations": json.dumps(operations),
                        "params": 1000 * (i + 1),
                        "final_valid_acc": fraction,
                        "final_test_acc": fraction - 0.05,
                        "train_time_s": 10 * epochs + repeat,
                        "energy_kwh": epochs / 100,
                    }
                )
    return [*rows, {**rows[0], "benchmark": "4V9E_rtx3090"}]


def transnas_rows(count: int = 5) -> list[dict]:
    """Cells with a made-up metric on two tasks."""
    archs = [TRANSNAS.sample(Random(i)) for i in range(count)]
    return [
        {"arch_str": transnas_text(a), "jigsaw_valid": 90 - i, "room_layout_valid": -1 + i / 10}
        for i, a in enumerate(archs)
    ]


def darts_rows() -> list[dict]:
    """Two cells, the first listed twice, once with the inputs of its nodes the other way round."""
    rows = []
    for i, seed in enumerate((0, 1, 0)):
        genotype = darts_genotype(DARTS.sample(Random(seed)))
        if i == 2:
            genotype = {cell: [pairs[k ^ 1] for k in range(8)] for cell, pairs in genotype.items()}
        texts = {cell: json.dumps(pairs) for cell, pairs in genotype.items()}
        rows.append(
            {
                **texts,
                "source": "test",
                "nb301_surrogate_val_accuracy": 92 + i,
                "flops": 100 + i,
                "params": 0.5,
            }
        )
    return rows


def ofa_folder(folder: Path) -> Path:
    """A predictor of random weights, one network evaluated twice, two timed: one at 224 pixels, one
    at 160."""
    rng = np.random.default_rng(0)
    sizes = [128, 400, 400, 400, 1]
    arrays = {}
    for layer, (a, b) in zip((0, 2, 4, 6), zip(sizes, sizes[1:], strict=False), strict=True):
        arrays[f"{layer}_weight"] = rng.normal(0, a**-0.5, (b, a)).astype(np.float32)
        arrays[f"{layer}_bias"] = rng.normal(0, 0.1, b).astype(np.float32)
    (folder / "nas").mkdir(parents=True, exist_ok=True)
    np.savez(folder / "nas" / "ofa_mbv3_accuracy_predictor.npz", **arrays)
    small = {"ks": " ".join(["3"] * 20), "e": " ".join(["4"] * 20), "d": "2 2 2 2 2"}
    deep = {"ks": " ".join(["7"] * 20), "e": " ".join(["6"] * 20), "d": "4 4 4 4 4"}
    evaluated = [{"run": "a", **small, "r": 224, "top1_imagenet": v} for v in (75.0, 75.5)]
    timed = [{**deep, "r": 224, "lat_ms_v100_1": 9.5}, {**small, "r": 160, "lat_ms_v100_1": 4.5}]
    table(folder / "nas" / "ofa_mbv3_w1.0_subnet_accuracy.csv", evaluated)
    table(folder / "hardware" / "ofa_mbv3_latency.csv", timed)
    return folder


def whole_folder(folder: Path) -> Path:
    """All of the above where `load` looks for them."""
    table(folder / "nas" / "nasbench201.csv", nasbench201_rows())
    table(folder / "nas" / "nasbench101_1shot1_spaces.csv", oneshot_rows())
    table(folder / "nas" / "ecnas_nb101_small_cells.csv", ecnas_rows())
    table(folder / "nas" / "transnasbench101_micro.csv", transnas_rows())
    table(folder / "nas" / "nasbench301_darts_subset.csv", darts_rows())
    return ofa_folder(folder)
