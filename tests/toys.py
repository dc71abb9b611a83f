"""Small search spaces and costs that the tests of the search side share: no torch."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from archsmith.space import Architecture, Gate, SearchSpace


def gate(name: str, *accepted: object) -> Gate:
    """Open where one decision takes one of the options."""
    return Gate((name,), frozenset((option,) for option in accepted))


def staged(
    stages: int = 3, blocks: int = 3, kernels: tuple = (3, 5, 7), expands: tuple = (3, 4, 6)
) -> SearchSpace:
    """The shape of a MobileNet space: a depth per stage, a kernel size and an expansion per block
    that exists."""
    options: dict[str, tuple] = {}
    conditions = {}
    for s in range(stages):
        options[f"s{s}.depth"] = tuple(range(1, blocks + 1))
        for b in range(blocks):
            for what, values in (("kernel", kernels), ("expand", expands)):
                name = f"s{s}.b{b}.{what}"
                options[name] = values
                if b:
                    conditions[name] = ((gate(f"s{s}.depth", *range(b + 1, blocks + 1)),),)
    return SearchSpace(options, conditions)


def staged_size(stages: int, blocks: int, per_block: int) -> int:
    """The size of `staged` in closed form."""
    return sum(per_block**d for d in range(1, blocks + 1)) ** stages


def staged_costs(arch: Architecture) -> dict[str, float]:
    """Parameters and MACs in the manner of an inverted-residual network: sums over the blocks that
    exist."""
    params = macs = 1000
    for name, option in arch.items():
        if name.endswith("expand"):
            stage = int(name.split(".")[0][1:])
            width, side = 16 * (stage + 1), 32 // (stage + 1)
            kernel = arch[name.replace("expand", "kernel")]
            weights = 2 * width * width * option + kernel * kernel * width * option
            params += weights
            macs += weights * side * side
    return {"params": params, "macs": macs}


def flat(decisions: int, options: int) -> SearchSpace:
    """Unconditional decisions d0, d1, ... over range(options)."""
    return SearchSpace({f"d{i}": tuple(range(options)) for i in range(decisions)})


def random_space(seed: int) -> SearchSpace:
    """A small space with random conditions: several clauses, several gates, gates over two
    decisions, chains."""
    rng = Random(seed)
    options: dict[str, tuple] = {}
    conditions = {}
    for i in range(rng.randint(1, 6)):
        name = f"n{i}"
        earlier = list(options)
        options[name] = tuple(
            rng.sample([1, 2, 3, "a", (1, 2), False, None, 0.5], rng.randint(1, 3))
        )
        if earlier and rng.random() < 0.7:
            conditions[name] = tuple(
                tuple(_gates(rng, options, earlier)) for _ in range(rng.randint(1, 2))
            )
    names = list(options)
    rng.shuffle(names)  # declared in another order than they depend on each other
    return SearchSpace({name: options[name] for name in names}, conditions)


def _gates(rng: Random, options: dict[str, tuple], earlier: list[str]) -> Iterator[Gate]:
    for _ in range(rng.randint(1, 2)):
        names = tuple(rng.sample(earlier, rng.randint(1, min(2, len(earlier)))))
        accepted = {tuple(rng.choice(options[n]) for n in names) for _ in range(rng.randint(1, 3))}
        yield Gate(names, frozenset(accepted))


def chi_square_bound(freedom: int) -> float:
    """The 99.99 % quantile of chi-square (Wilson and Hilferty 1931): a right sampler passes for any
    seed but one in 10^4."""
    return freedom * (1 - 2 / (9 * freedom) + 3.719 * (2 / (9 * freedom)) ** 0.5) ** 3


def chi_square(counts: list[int], expected: list[float]) -> float:
    """The statistic."""
    return sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
