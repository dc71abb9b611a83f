"""How long 100 distinct architectures within a budget that admits one in a million take, on one
core."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from random import Random

from archsmith.elastic.supernet import search_space
from archsmith.feasibility.sampler import FeasibleSampler
from archsmith.metrics.cost import Costs
from archsmith.problem import Constraint, at_most, between
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import build


def additive(decisions: int, options: int) -> tuple[SearchSpace, Constraint, str]:
    """A sum of integer costs, so that the share below a limit is counted exactly; one call takes
    about 50 microseconds."""
    rng = Random(decisions)
    table = [[rng.randint(0, 60) for _ in range(options)] for _ in range(decisions)]
    counts: Counter[int] = Counter({0: 1})
    for row in table:
        following: Counter[int] = Counter()
        for total, number in counts.items():
            for weight in row:
                following[total + weight] += number
        counts = following
    limit, below = min(counts), 0
    for value in sorted(counts):
        below += counts[value]
        if below > 1e-6 * options**decisions:
            break
        limit = value
    share = sum(n for value, n in counts.items() if value <= limit) / options**decisions

    def cost(arch: Architecture) -> int:
        end = time.perf_counter() + 50e-6
        total = sum(row[option] for row, option in zip(table, arch.values(), strict=True))
        while time.perf_counter() < end:
            pass
        return total

    space = SearchSpace({f"d{i}": tuple(range(options)) for i in range(decisions)})
    return space, at_most(cost, limit), f"share {share:.2g}, counted"


def mobilenet(window: bool) -> tuple[SearchSpace, Constraint, str]:
    """MACs of the Once-For-All space 4.75 deviations below the mean, or in a window at the mean:
    1e-6 if they were normal."""
    model = build("ofa-mobilenet-v3-w1.0", 1000, 3, 224)
    space, costs, rng = (
        search_space(model),
        Costs(model, (3, 224, 224), names=("params", "macs")),
        Random(0),
    )
    values = [costs(space.sample(rng, uniform=True))["macs"] for _ in range(5000)]
    mean, deviation = statistics.mean(values), statistics.pstdev(values)
    if window:
        return (
            space,
            between(costs, mean, mean + 2.5e-6 * deviation, "macs"),
            ("a window; share 1e-6 by the normal density"),
        )
    return space, at_most(costs, mean - 4.75 * deviation, "macs"), "share 1e-6 by the normal tail"


def main() -> None:
    """One JSON line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    cases = {
        "20 x 4": additive(20, 4),
        "60 x 5": additive(60, 5),
        "OFA": mobilenet(False),
        "OFA window": mobilenet(True),
    }
    for name, (space, constraint, how) in cases.items():
        seconds, found = [], []
        for seed in range(arguments.seeds):
            begun = time.process_time()
            sampler = FeasibleSampler(space, [constraint], Random(seed))
            drawn = sampler.draw(100)
            seconds.append(round(time.process_time() - begun, 2))
            found.append(sum(sampler.gauge.violation(arch) == 0 for arch in set(drawn)))
        print(
            json.dumps(
                {
                    "case": name,
                    "how": how,
                    "size": f"{space.size:.2g}",
                    "found": found,
                    "cpu_seconds": seconds,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
