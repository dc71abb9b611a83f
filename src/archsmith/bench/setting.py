"""A comparison of estimators by shared weights: what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archsmith.errors import UserError, did_you_mean
from archsmith.space import SearchSpace

CONTROL, FREE = "longer", "training-free"


@dataclass(frozen=True)
class Setting:
    """One comparison of estimators on one benchmark.

    `estimators`, by what is done with the weights of one supernet (the parent) that was trained for
    `updates`, one architecture a mini-batch: "one-shot" nothing; "longer" they are trained on for
    `extra` updates; "few-shot:HOW" they are split, and the parts share `extra` updates. HOW: a
    decision, or a policy of `training.splits`; "edge0to1+gradients": two levels. Then, after
    colons, "leaves=4" (at most so many, default 8) and "fresh" (children from random weights).
    Besides them "training-free": the ensemble of training-free scores for cells, on the same small
    networks. All restarts begin at half of the parent's learning rate. `within`: options that
    decisions are restricted to.
    """

    data: str
    benchmark: str = "nasbench201:cifar10"
    estimators: tuple[str, ...] = (
        "one-shot",
        CONTROL,
        "few-shot:gradients",
        "few-shot:arbitrary",
        FREE,
    )
    sample: int | None = 300
    seeds: tuple[int, ...] = (0,)
    updates: int = 6000
    extra: int | None = None
    batch: int = 32
    lr: float = 0.05
    weight_decay: float = 5e-4
    ema: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    size: int = 16
    width: int | None = 8
    cells: int | None = 1
    sampling: str = "live"
    within: tuple[tuple[str, tuple[str, ...]], ...] = ()
    calibration: int = 1024
    held_out: int = 1024
    sample_seed: int = 0

    def __post_init__(self) -> None:
        for name in self.estimators:
            if name != FREE:
                parsed(name)
        if "one-shot" not in self.estimators:
            object.__setattr__(self, "estimators", ("one-shot", *self.estimators))
        for what, least in (
            ("updates", 1),
            ("batch", 2),
            ("calibration", 2),
            ("held_out", 1),
            ("size", 4),
        ):
            if getattr(self, what) < least:
                raise UserError(
                    f"--{what.replace('_', '-')} {getattr(self, what)}: give at least {least}"
                )
        if self.sampling == "balanced" and not self.benchmark.startswith(
            ("nasbench201", "transnas")
        ):
            raise UserError(
                f"--sampling balanced counts the convolutions of four-node cells, which "
                f"{self.benchmark} has not; use live"
            )
        if self.extra is not None and self.extra < 1:
            raise UserError(f"--extra {self.extra}: give at least 1")
        if self.sample is not None and self.sample < 2:
            raise UserError(f"--sample {self.sample}: give at least 2")
        if self.sampling not in SAMPLINGS:
            near = did_you_mean(self.sampling, SAMPLINGS)
            raise UserError(
                f"--sampling '{self.sampling}' is not one of {', '.join(SAMPLINGS)}{near}"
            )
        if self.precision not in PRECISIONS:
            near = did_you_mean(self.precision, PRECISIONS)
            raise UserError(
                f"--precision '{self.precision}' is not one of {', '.join(PRECISIONS)}{near}"
            )
        if not self.seeds:
            raise UserError("--seeds: give at least one")


PRECISIONS = ("float32", "bf16")
SAMPLINGS = ("uniform", "live", "balanced")


@dataclass(frozen=True)
class Grown:
    """What an estimator's name says: how each level is split (none: not at all), at most how many
    leaves, inherited or not."""

    levels: tuple[str, ...] = ()
    leaves: int = 8
    inherit: bool = True


def parsed(name: str) -> Grown | None:
    """None: the parent itself."""
    kind, *given = name.split(":")
    if name == "one-shot":
        return None
    if name == CONTROL:
        return Grown()
    if kind != "few-shot" or not given or not given[0]:
        raise UserError(
            f"no estimator '{name}'; there are one-shot, {CONTROL}, {FREE}, "
            f"few-shot:HOW[:leaves=N][:fresh]"
        )
    grown = Grown(tuple(given[0].split("+")))
    for word in given[1:]:
        key, _, value = word.partition("=")
        if word == "fresh":
            grown = replace(grown, inherit=False)
        elif key == "leaves" and value.isdigit() and int(value) >= 2:
            grown = replace(grown, leaves=int(value))
        else:
            raise UserError(
                f"estimator '{name}': '{word}' is neither leaves=N (at least 2) nor fresh"
            )
    return grown


def within(space: SearchSpace, options: Sequence[tuple[str, Sequence[str]]]) -> SearchSpace:
    """The space with decisions restricted; UserError for an unknown decision or option."""
    for name, allowed in options:
        if name not in space:
            raise UserError(
                f"no decision '{name}'{did_you_mean(name, list(space))}; there are "
                f"{', '.join(space)}"
            )
        own = {str(option): option for option in space[name]}
        if unknown := [option for option in allowed if option not in own]:
            raise UserError(f"'{name}' has no option '{unknown[0]}'; there are {', '.join(own)}")
        space = space.restrict({name: [own[option] for option in allowed]})
    return space
