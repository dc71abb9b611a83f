"""Which architectures the next training step of shared weights trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from archsmith._internal.seeding import mix
from archsmith.errors import UserError, did_you_mean
from archsmith.space import Architecture, SearchSpace

_LOOKED = 500  # architectures looked at for the values of a statistic
# (rng, share of the training's budget spent) -> the architectures of one step. A step's rng is its
# own, so that what is drawn depends on the seed and the number of the step only: a resumed training
# draws the same, and so does every process of several.
Sampler = Callable[[Random, float], Sequence[Architecture]]


def uniform(space: SearchSpace, count: int = 1, *, evenly: bool = False) -> Sampler:
    """`count` random architectures: each decision uniform, or with `evenly` every architecture
    equally likely.

    Restricted and filtered spaces are spaces: `uniform(space.where(alive))` leaves dead networks
    out.
    """
    _at_least_one("uniform", count)
    return lambda rng, share: [space.sample(rng, uniform=evenly) for _ in range(count)]


def among(
    archs: Sequence[Architecture], weights: Sequence[float] | None = None, count: int = 1
) -> Sampler:
    """`count` of the given architectures, with replacement, equally likely or by `weights`."""
    _at_least_one("among", count)
    chosen = list(archs)
    if not chosen:
        raise UserError("among: no architectures to sample from")
    if weights is not None and (
        len(weights) != len(chosen) or min(weights) < 0 or sum(weights) <= 0
    ):
        raise UserError(
            f"among: {len(weights)} weights for {len(chosen)} architectures; give one each, none "
            f"negative, not all 0"
        )
    return lambda rng, share: rng.choices(chosen, weights, k=count)


def balanced(samplers: Sequence[Sampler]) -> Sampler:
    """One of several samplers, each as often as the others: the leaves of a partition, whatever
    their sizes."""
    parts = list(samplers)
    if not parts:
        raise UserError("balanced: no samplers to balance")
    return lambda rng, share: rng.choice(parts)(rng, share)


def strata(
    space: SearchSpace, statistic: Callable[[Architecture], object], values: Sequence[object]
) -> list[SearchSpace]:
    """A space for each value of a statistic of architectures, e.g. the number of convolutions on
    the longest path.

    For `balanced`, so that rare values are trained as often as common ones (Oh, Lee and Ham, 2024).
    UserError, when a stratum is sampled, where it holds next to nothing.
    """
    return [space.where(lambda arch, value=value: statistic(arch) == value) for value in values]  # type: ignore[misc]


def sandwich(space: SearchSpace, middle: int = 2) -> Sampler:
    """The largest, `middle` random ones, the smallest (Yu and Huang, ICCV 2019): options are
    ascending.

    The largest comes first: with in-place distillation it teaches the others.
    """
    if middle < 0:
        raise UserError(f"sandwich: middle={middle!r} networks; give 0 or more")
    return lambda rng, share: [
        space.extreme(-1),
        *(space.sample(rng) for _ in range(middle)),
        space.extreme(0),
    ]


def schedule(*parts: tuple[float, Sampler]) -> Sampler:
    """Samplers one after the other: `(until, sampler)` pairs by the share of the budget, ascending,
    the last until 1."""
    ends = [until for until, _ in parts]
    if not parts or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1:
        raise UserError(
            f"schedule: shares {ends} must rise from above 0 to 1, e.g. schedule((0.3, "
            f"first), (1.0, second))"
        )

    def sample(rng: Random, share: float) -> Sequence[Architecture]:
        part = next((sampler for until, sampler in parts if share < until), parts[-1][1])
        return part(rng, share)

    return sample


SAMPLINGS = {"uniform": 1, "sandwich": 4, "balanced": 1}  # -> architectures of one step


def check_named(how: str) -> None:
    """UserError for what is not one of SAMPLINGS."""
    if how not in SAMPLINGS:
        raise UserError(
            f"sampling '{how}' is not one of {', '.join(SAMPLINGS)}{did_you_mean(how, SAMPLINGS)}"
        )


def named(
    how: str,
    space: SearchSpace,
    statistic: Callable[[Architecture], object] | None = None,
    seed: int = 0,
) -> Sampler:
    """One of SAMPLINGS; UserError for a sandwich where options are no sizes, and balanced without a
    statistic."""
    check_named(how)
    if how == "sandwich":
        for name, options in space.items():
            if len(options) > 1 and not all(isinstance(option, int | float) for option in options):
                raise UserError(
                    f"a sandwich is the largest and the smallest network; the options "
                    f"of '{name}' have no order"
                )
        return sandwich(space)
    if how == "balanced":
        if statistic is None:
            raise UserError(
                "balanced counts the convolutions of cells with four nodes "
                "(nasbench201, transnas); use uniform"
            )
        values = sorted({statistic(space.sample(Random(mix(seed, i)))) for i in range(_LOOKED)})  # type: ignore[type-var]
        return balanced([uniform(part) for part in strata(space, statistic, values)])
    return uniform(space)


def _at_least_one(what: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{what}: count={count!r}; give at least 1")
