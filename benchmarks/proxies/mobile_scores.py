"""Which training-free score is best where an engineer searches: mobile networks of any size, and
those that use a budget.

Truth: the public accuracy predictor of Once-For-All. A table for each band of MACs on screen, the
ensemble that forward selection finds without one of the bands and its worth there, and one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
from nasbench201_proxies import DATA  # beside this file

PROXIES = (
    "zico",
    "zico_bc",
    "az_nas",
    "meco",
    "effective_params",
    "synflow",
    "naswot",
    "swap",
    "zen",
    "wrcor",
    "l2_norm",
    "params",
    "macs",
    "depth",
)
FULL = 224  # MACs are counted at this size, as recorded budgets are


def main() -> None:
    """Goes on where it was stopped."""
    from archsmith.bench.folder import claim
    from archsmith.bench.judge import table
    from archsmith.bench.proxies import (
        COLUMNS,
        Setting,
        columns_of,
        rank_correlations,
        score,
        truth_of,
    )
    from archsmith.elastic.supernet import search_space
    from archsmith.feasibility.sampler import feasible_sample
    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, Judged, selected
    from archsmith.problem import between
    from archsmith.recorded import load
    from archsmith.spaces import build

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=100, help="networks in each band")
    parser.add_argument(
        "--bands",
        type=float,
        nargs="*",
        default=[300, 400],
        help="upper limits in millions; 0.9 of it is the lower",
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--proxies", default=",".join(PROXIES))
    parser.add_argument("--out", type=Path, default=Path("runs/mobile-scores"))
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(what: str, share: float) -> None:
        print(f"{what} ({share:.0%})", file=sys.stderr, flush=True)

    setting = Setting(
        "ofa",
        tuple(asked.proxies.split(",")),
        None,
        asked.images,
        asked.batch,
        tuple(range(asked.seeds)),
    )
    recorded = load("ofa")
    model = build("ofa-mobilenet-v3-w1.0", 1000, 3, FULL, device="meta")
    space, costs = search_space(model), Costs(model, (3, FULL, FULL), ("macs",))
    bands = {
        f"{0.9 * limit:.0f} to {limit:.0f} M MACs": (
            between(costs, 0.9e6 * limit, 1e6 * limit, name="macs"),
        )
        for limit in asked.bands
    }
    claim(asked.out, {"benchmark": "ofa", "images": asked.images, "batch": asked.batch})
    found, sets = {}, {}
    for name, limits in {"any size": (), **bands}.items():
        archs = feasible_sample(space, limits, Random(0), asked.sample)
        score(setting, archs, asked.out, tell=tell)
        columns = columns_of(asked.out, [arch.key for arch in archs], setting.seeds)
        truth = truth_of(recorded, archs)
        found[name] = rank_correlations(columns, tuple(ENSEMBLES.values()), truth)
        sets[name] = Judged(
            {score: np.mean(values, axis=0) for score, values in columns.items()}, [truth]
        )
        print(
            f"\n{name}, {len(archs)} networks\n" + table(found[name]["scores"], COLUMNS), flush=True
        )
    # here every parameter works
    names = sorted(set(next(iter(sets.values())).columns) - {"effective_params"})
    left_out = {}
    for band in sets:
        chosen, _ = selected(band, [one for name, one in sets.items() if name != band], names)
        left_out[band] = {"members": chosen.members, "kendall": sets[band].quality(chosen)}
        print(
            f"chosen without {band}: {chosen.members}, Kendall there "
            f"{sets[band].quality(chosen):.3f}"
        )
    chosen, qualities = selected("all", list(sets.values()), names)
    print(f"chosen on all: {chosen.members}, {qualities}")
    print(
        json.dumps(
            {
                "bands": found,
                "left_out": left_out,
                "chosen": chosen.members,
                "seconds": round(time.monotonic() - began),
            }
        )
    )


if __name__ == "__main__":
    main()
