"""How far an ensemble gets that was chosen on some NAS-Bench-201 cells, on other cells: a bound for
choices made elsewhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np


def main() -> None:
    """Reads the scores that benchmarks/proxies/nasbench201_proxies.py left; scores nothing
    itself."""
    from archsmith.bench.judge import paired
    from archsmith.bench.proxies import Setting, columns_of, sampled, truth_of
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, Judged, rank_sum, selected
    from archsmith.recorded import load

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("runs/nasbench201-proxies"))
    parser.add_argument("--benchmark", default="nasbench201:cifar10")
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--first", type=int, default=300, help="networks the choice is made on")
    asked = parser.parse_args()
    recorded = load(asked.benchmark)
    archs = sampled(recorded, Setting(asked.benchmark, ("zico",), asked.sample))
    columns = {
        name: np.mean(v, axis=0)
        for name, v in columns_of(asked.scores, [a.key for a in archs], (0,)).items()
    }
    truth = truth_of(recorded, archs)
    halves = [
        Judged({name: values[part] for name, values in columns.items()}, [truth[part]])
        for part in (slice(None, asked.first), slice(asked.first, None))
    ]
    ensemble, qualities = selected("chosen", halves[:1], sorted(columns))
    against = ENSEMBLES["az-nas+synflow"]
    rest = halves[1]
    apart = paired(
        [rank_sum(ensemble, rest.columns)], [rank_sum(against, rest.columns)], rest.truths[0]
    )
    print(
        json.dumps(
            {
                "members": ensemble.members,
                "on_these": qualities,
                "on_the_others": rest.quality(ensemble),
                "az-nas+synflow": rest.quality(against),
                "difference": apart,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
