"""What it changes to score cells without the operations that do nothing, as methods do: Kendall
with and without, paired."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from nasbench201_proxies import DATA  # beside this file

WIDTHS = {"nasbench1shot1:1": 16, "nasbench1shot1:2": 16}  # as choose_ensemble.py has it
PROXIES = ("az_nas", "synflow", "effective_params", "meco", "naswot", "jacob_cov")


def main() -> None:
    """Prints a row for every score and truth, and one JSON object; a cell with nothing dead is
    scored once for both."""
    from archsmith.bench.judge import paired
    from archsmith.bench.proxies import Setting, _batches, beside, networks_of, sampled, truth_of
    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies import build_all, lower_is_better
    from archsmith.metrics.proxies.baselines import COUNTED
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, rank_sum
    from archsmith.recorded import load
    from archsmith.spaces import build, described
    from archsmith.training.device import set_threads

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmark")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--proxies", default=",".join(PROXIES))
    asked = parser.parse_args()
    began, proxies = time.monotonic(), tuple(asked.proxies.split(","))
    set_threads(1)
    setting = Setting(
        asked.benchmark,
        proxies,
        asked.sample,
        asked.images,
        asked.batch,
        width=WIDTHS.get(asked.benchmark),
    )
    recorded = load(setting.benchmark)
    archs = sampled(recorded, setting)
    networks = networks_of(setting.benchmark)
    if networks is None:
        sys.exit(f"the networks of {setting.benchmark} cannot be built")
    space, classes, size = networks
    canonical = described(space).canonical
    images = _batches(setting, 0, classes, size)
    model = build(space, classes, 3, size, device="meta", width=setting.width)
    costs = Costs(model, (3, size, size), COUNTED)
    without = build_all(proxies, model, images, costs=costs, seed=0, canonical=canonical)
    kept = build_all(proxies, model, images, costs=costs, seed=0)
    columns: dict[bool, dict[str, list[float]]] = {True: {}, False: {}}
    dead = 0
    for position, arch in enumerate(archs):
        form = canonical(arch)
        lean: dict[str, float] = without(arch)
        whole: dict[str, float] = lean if form == arch else kept(arch)
        dead += form != arch
        for row, into in ((lean, columns[True]), (whole, columns[False])):
            for name, value in row.items():
                into.setdefault(name, []).append(
                    -value if lower_is_better(name.partition(".")[0]) else value
                )
        if position % 10 == 9:
            print(
                f"{position + 1} of {len(archs)}, {time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    arrays = {
        way: {name: np.array(values) for name, values in of.items()} for way, of in columns.items()
    }
    sums = [
        one for one in ENSEMBLES.values() if all(name in arrays[True] for name, _ in one.members)
    ]
    for of in arrays.values():
        of.update(
            {
                one.name: rank_sum(one, {n: of[n] for n, _ in one.members})
                for one in sums
                if len(one.members) > 1
            }
        )
    found: dict[str, Any] = {
        "benchmark": asked.benchmark,
        "networks": len(archs),
        "with dead operations": dead,
        "truths": {},
    }
    for name, other in beside(asked.benchmark, recorded, None).items():
        truth = truth_of(other, archs)
        known = np.isfinite(truth)
        rows = found["truths"][name] = {}
        for score in arrays[True]:
            lean, whole = ([arrays[way][score][known]] for way in (True, False))
            rows[score] = _kendalls(lean, whole, truth[known]) | paired(lean, whole, truth[known])
            print(
                f"{name:<26}{score:<24}"
                + "  ".join(f"{value:+.3f}" for value in rows[score].values())
            )
    print(json.dumps(found | {"seconds": round(time.monotonic() - began)}))


def _kendalls(
    lean: list[np.ndarray], whole: list[np.ndarray], truth: np.ndarray
) -> dict[str, float]:
    from archsmith.bench.judge import ranked_last
    from archsmith.predictors.ranking import kendall

    return {
        "without dead": kendall(ranked_last(lean[0]), truth),
        "dead kept": kendall(ranked_last(whole[0]), truth),
    }


if __name__ == "__main__":
    main()
