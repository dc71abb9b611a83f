"""Training-free scores on random NAS-Bench-201 cells with real CIFAR-10 images, beside what was
published."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
TRUTHS = ("nasbench201:cifar10", "nasbench201:cifar100", "nasbench201:imagenet16")
SLOW = ("ntk", "gradsign")  # a pass for every image
FAST = (
    "zico",
    "zico_bc",
    "l2_norm",
    "grad_norm",
    "plain",
    "snip",
    "grasp",
    "fisher",
    "synflow",
    "effective_params",
    "jacob_cov",
    "epe_nas",
    "naswot",
    "linear_regions",
    "swap",
    "zen",
    "meco",
    "wrcor",
    "az_nas",
    "vkdnw",
    "params",
    "macs",
    "depth",
)
WHOLE = "all"  # cells
CELLS = Path(__file__).with_name("nasbench201_cells.txt")
Triple = tuple[float, float, float]
# Kendall's tau on CIFAR-10, CIFAR-100, ImageNet16-120, all 15,625 cells, by who measured it
PUBLISHED: dict[str, dict[str, Triple]] = {
    "ZiCo": {  # ICLR 2023, table 2
        "zico": (0.61, 0.61, 0.60),
        "grad_norm": (0.46, 0.47, 0.43),
        "snip": (0.46, 0.46, 0.43),
        "grasp": (0.37, 0.36, 0.40),
        "fisher": (0.40, 0.41, 0.37),
        "synflow": (0.54, 0.57, 0.56),
        "naswot": (0.58, 0.62, 0.60),
        "ntk": (0.33, 0.33, 0.46),
        "gradsign": (0.58, 0.59, 0.58),
        "zen": (0.29, 0.28, 0.29),
        "macs": (0.54, 0.51, 0.49),
        "params": (0.57, 0.55, 0.52),
    },
    "VKDNW": {  # CVPR 2025, table 1
        "zico": (0.607, 0.614, 0.587),
        "grad_norm": (0.328, 0.341, 0.310),
        "snip": (0.431, 0.440, 0.389),
        "grasp": (0.352, 0.349, 0.359),
        "synflow": (0.561, 0.553, 0.531),
        "jacob_cov": (0.616, 0.639, 0.602),
        "naswot": (0.571, 0.607, 0.605),
        "zen": (0.102, 0.079, 0.091),
        "macs": (0.623, 0.586, 0.545),
        "depth": (0.626, 0.646, 0.623),
        "vkdnw": (0.618, 0.634, 0.622),
        "az-nas": (0.712, 0.696, 0.673),
        "vkdnw-aggregate": (0.750, 0.753, 0.743),
    },
    "AZ-NAS": {  # CVPR 2024, table 5
        "az-nas": (0.741, 0.723, 0.710),
        "az-nas+synflow": (0.776, 0.758, 0.747),
        "az-nas+zico": (0.773, 0.757, 0.747),
    },
}


def check_cells(setting: Any) -> None:
    """The list that is kept is what `setting` draws; an interpreter that draws otherwise is
    told."""
    from archsmith.bench.proxies import sampled
    from archsmith.recorded import load

    recorded = load(setting.benchmark)
    kept = [
        line for line in CELLS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    space = recorded.space
    if kept != [
        "".join(str(space[name].index(arch[name])) for name in space)
        for arch in sampled(recorded, setting)
    ]:
        sys.exit(
            f"the sample of {setting.benchmark} is not that of {CELLS}: other networks than "
            f"in RESULTS.md"
        )


def on_parts(setting: Any, out: Path) -> dict[str, dict[str, list[float]]]:
    """Score -> part of the cells -> Kendall with each truth, mean over seeds; the parts: all,
    nothing dead, the first 200."""
    from statistics import mean

    import numpy as np

    from archsmith.bench.judge import ranked_last
    from archsmith.bench.proxies import columns_of, sampled, truth_of
    from archsmith.predictors.ranking import kendall
    from archsmith.recorded import load
    from archsmith.spaces.catalog.edges import edges_canonical

    archs = sampled(load(TRUTHS[0]), setting)
    whole = np.ones(len(archs), bool)
    parts = {
        WHOLE: whole,
        "nothing dead": np.array([arch == edges_canonical(arch) for arch in archs]),
    }
    parts["first 200"] = np.arange(len(archs)) < 200
    truths = [truth_of(load(name), archs) for name in TRUTHS]
    return {
        name: {
            part: [
                mean(kendall(ranked_last(column)[mask], truth[mask]) for column in columns)
                for truth in truths
            ]
            for part, mask in parts.items()
        }
        for name, columns in columns_of(out, [arch.key for arch in archs], setting.seeds).items()
    }


def main() -> None:
    """Goes on where it was stopped; prints a table and one line of JSON with the seconds."""
    from archsmith.bench import page
    from archsmith.bench.proxies import Setting, compare, text

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--proxies", default=",".join(FAST))
    parser.add_argument(
        "--slow",
        type=int,
        default=200,
        help="cells for the scores with a pass for every image; 0: none",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/nasbench201-proxies"))
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(what: str, share: float) -> None:
        print(f"{what} ({share:.0%})", file=sys.stderr, flush=True)

    seeds = tuple(range(asked.first_seed, asked.first_seed + asked.seeds))
    setting = Setting(
        TRUTHS[0], tuple(asked.proxies.split(",")), asked.sample, asked.images, asked.batch, seeds
    )
    if asked.sample == 1000:
        check_cells(setting)
    found = compare(setting, asked.out, tell=tell)
    page.write_proxies(found, asked.out / "page.html")
    print(text(found))
    rows = {truth: dict(found["truths"][truth]["scores"]) for truth in TRUTHS}
    if asked.slow:
        few = compare(
            replace(setting, proxies=SLOW, sample=asked.slow, seeds=(0,)),
            asked.out / "slow",
            tell=tell,
        )
        print(text(few))
        for truth in TRUTHS:
            rows[truth] |= few["truths"][truth]["scores"]
    parts = on_parts(setting, asked.out)
    print(
        "\nKendall on a part of the cells, means over "
        "seeds: " + ", ".join(t.partition(":")[2] for t in TRUTHS)
    )
    for name in sorted(parts, key=lambda name: -parts[name][WHOLE][0]):
        print(
            f"{name:<24}"
            + "   ".join(
                f"{part}: {', '.join(f'{v:.3f}' for v in parts[name][part])}"
                for part in parts[name]
            )
        )
    print("\nKendall here, and as published: " + ", ".join(t.partition(":")[2] for t in TRUTHS))
    for name in rows[TRUTHS[0]]:
        if sources := {who: table[name] for who, table in PUBLISHED.items() if name in table}:
            told = "; ".join(
                f"{who} {', '.join(f'{value:.3f}' for value in triple)}"
                for who, triple in sources.items()
            )
            print(
                f"{name:<20}"
                + ", ".join(f"{rows[t][name]['kendall_all']:.3f}" for t in TRUTHS)
                + f"   ({told})"
            )
    print(
        json.dumps(
            {
                "seconds": round(time.monotonic() - began, 1),
                "scoring_seconds": found["costs"]["seconds"],
            }
        )
    )


if __name__ == "__main__":
    main()
