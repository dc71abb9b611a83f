"""Chooses a training-free ensemble on benchmarks other than NAS-Bench-201: members on screen, and
one JSON object.

Two procedures, forward selection and its bagged form; the one counts whose choices were better on
the benchmarks that were left out of the choosing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nasbench201_proxies import DATA, FAST  # beside this file

from archsmith.metrics.proxies.ensembles import ENSEMBLES, Ensemble, Judged, bagged, selected

BENCHMARKS = ("transnas:class_object", "nasbench1shot1:1", "nasbench1shot1:2", "darts:surrogate")
# not 128: those have 1 to 2 billion MACs, hours on two cores
WIDTHS = {"nasbench1shot1:1": 16, "nasbench1shot1:2": 16}
PROCEDURES: dict[str, Callable[[Sequence[Judged], Sequence[str]], Ensemble]] = {
    "forward": lambda judged, names: selected("forward", judged, names)[0],
    "bagged": lambda judged, names: bagged("bagged", judged, names),
}
# of TransNAS, those that classify, as the images here are classified
TASKS = ("class_object", "class_scene", "jigsaw")


def main() -> None:
    """Goes on where it was stopped."""
    from archsmith.bench import page
    from archsmith.bench.proxies import (
        Setting,
        beside,
        columns_of,
        compare,
        sampled,
        text,
        truth_of,
    )
    from archsmith.recorded import load

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
        setting = Setting(
            name, proxies, asked.sample, asked.images, asked.batch, seeds, width=WIDTHS.get(name)
        )
        out = asked.out / name.replace(":", "-")
        found = compare(setting, out, tell=tell)
        page.write_proxies(found, out / "page.html")
        print(text(found))
        recorded = load(name)
        archs = sampled(recorded, setting)
        columns = columns_of(out, [arch.key for arch in archs], setting.seeds)
        mean = {score: np.mean(values, axis=0) for score, values in columns.items()}
        others = beside(name, recorded, None)
        asked_for = {
            other: one
            for other, one in others.items()
            if "transnas" not in other or other.partition(":")[2] in TASKS
        }
        truths = [truth_of(one, archs) for one in asked_for.values()]
        judged[name] = Judged(mean, truths)
        usable = {score for score, values in mean.items() if np.isfinite(values).mean() > 0.5}
        candidates = usable if candidates is None else candidates & usable
    names = sorted(candidates or ())
    families = list(dict.fromkeys(name.partition(":")[0] for name in judged))
    left_out: dict[str, dict[str, Any]] = {procedure: {} for procedure in PROCEDURES}
    for procedure, choose in PROCEDURES.items():
        for family in families if len(families) > 1 else ():
            chosen = choose(
                [one for name, one in judged.items() if name.partition(":")[0] != family], names
            )
            for name in (name for name in judged if name.partition(":")[0] == family):
                quality = judged[name].quality(chosen)
                left_out[procedure][name] = {"members": chosen.members, "kendall": quality}
                print(
                    f"{procedure} without {family}: {members(chosen)}; on {name} Kendall "
                    f"{quality:.3f}"
                )
    means = {
        p: np.mean([row["kendall"] for row in rows.values()]) if rows else 0.0
        for p, rows in left_out.items()
    }
    # by the benchmarks that it did not choose on
    best = max(means, key=lambda procedure: means[procedure])
    found_by = {
        procedure: choose(list(judged.values()), names) for procedure, choose in PROCEDURES.items()
    }
    print(
        "means over benchmarks left out:", ", ".join(f"{p} {mean:.3f}" for p, mean in means.items())
    )
    print(f"chosen, by {best}: {members(found_by[best])}")
    rows = {**found_by, **ENSEMBLES}
    table = {
        name: {b: one.quality(other) for b, one in judged.items()}
        for name, other in rows.items()
        if usable_in(other, names)
    }
    for name, row in table.items():
        print(
            f"{name:<20}"
            + "".join(f"{benchmark}: {value:.3f}   " for benchmark, value in row.items())
        )
    print(
        json.dumps(
            {
                "procedure": best,
                "members": {p: one.members for p, one in found_by.items()},
                "kendall": table,
                "left_out": left_out,
                "seconds": round(time.monotonic() - began),
            }
        )
    )


def members(ensemble: Ensemble) -> str:
    """For people."""
    return ", ".join(f"{name} x {weight:.2g}" for name, weight in ensemble.members)


def usable_in(ensemble: Ensemble, names: Sequence[str]) -> bool:
    """Whether all its members were computed."""
    return all(name in names for name, _ in ensemble.members)


if __name__ == "__main__":
    main()
