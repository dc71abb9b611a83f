"""Chooses a training-free ensemble on benchmarks other than NAS-Bench-201: members on screen, and one JSON object.

Also, for each benchmark, what the same procedure chooses on the others and how good that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nasbench201_proxies import DATA, FAST  # beside this file

from archsmith.metrics.proxies.ensembles import ENSEMBLES, Ensemble, Judged, selected

BENCHMARKS = ("transnas:class_object", "nasbench1shot1:1", "nasbench1shot1:2", "darts:surrogate")
WIDTHS = {"nasbench1shot1:1": 16, "nasbench1shot1:2": 16}  # not 128: those have 1 to 2 billion MACs, hours on two cores
TASKS = ("class_object", "class_scene", "jigsaw")  # of TransNAS, those that classify, as the images here are classified


def main() -> None:
    """Goes on where it was stopped."""
    from archsmith.bench import page
    from archsmith.bench.proxies import Setting, beside, columns_of, compare, sampled, text, truth_of
    from archsmith.benchmarks import load

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--benchmarks", nargs="*", default=BENCHMARKS)
    parser.add_argument("--proxies", default=",".join(FAST))
    parser.add_argument("--out", type=Path, default=Path("runs/choose-ensemble"))
    asked = parser.parse_args()
    began = time.monotonic()

    def tell(what: str, share: float) -> None:
        print(f"{what} ({share:.0%})", file=sys.stderr, flush=True)

    judged: dict[str, Judged] = {}
    candidates: set[str] | None = None
    for name in asked.benchmarks:
        proxies, seeds = tuple(asked.proxies.split(",")), tuple(range(asked.seeds))
        setting = Setting(name, proxies, asked.sample, asked.images, asked.batch, seeds, width=WIDTHS.get(name))
        out = asked.out / name.replace(":", "-")
        found = compare(setting, out, tell=tell)
        page.write_proxies(found, out / "page.html")
        print(text(found))
        recorded = load(name)
        archs = sampled(recorded, setting)
        columns = columns_of(out, [arch.key for arch in archs], setting.seeds)
        mean = {score: np.mean(values, axis=0) for score, values in columns.items()}
        others = beside(name, recorded, None)
        asked_for = {other: one for other, one in others.items() if "transnas" not in other or other.partition(":")[2] in TASKS}
        truths = [truth_of(one, archs) for one in asked_for.values()]
        judged[name] = Judged(mean, truths)
        usable = {score for score, values in mean.items() if np.isfinite(values).mean() > 0.5}
        candidates = usable if candidates is None else candidates & usable
    names = sorted(candidates or ())
    ensemble, qualities = selected("default", list(judged.values()), names)
    print("\nchosen:", members(ensemble))
    for step, quality in enumerate(qualities, start=1):
        print(f"  {step} members: mean Kendall {quality:.3f}")
    rows = {"default": ensemble, **ENSEMBLES}
    table = {
        name: {b: one.quality(other) for b, one in judged.items()} for name, other in rows.items() if usable_in(other, names)
    }
    left_out = {}
    for name in judged:
        family = name.partition(":")[0]
        others = [one for other, one in judged.items() if other.partition(":")[0] != family]
        if others:
            chosen, _ = selected("left out", others, names)
            left_out[name] = {"members": chosen.members, "kendall": judged[name].quality(chosen)}
            print(f"chosen without {family}: {members(chosen)}; on {name} Kendall {left_out[name]['kendall']:.3f}")
    for name, row in table.items():
        print(f"{name:<20}" + "".join(f"{benchmark}: {value:.3f}   " for benchmark, value in row.items()))
    print(json.dumps({"members": ensemble.members, "qualities": qualities, "kendall": table, "left_out": left_out,
                      "seconds": round(time.monotonic() - began)}))  # fmt: skip


def members(ensemble: Ensemble) -> str:
    """For people."""
    return ", ".join(f"{name} x {weight:g}" for name, weight in ensemble.members)


def usable_in(ensemble: Ensemble, names: Sequence[str]) -> bool:
    """Whether all its members were computed."""
    return all(name in names for name, _ in ensemble.members)


if __name__ == "__main__":
    main()
