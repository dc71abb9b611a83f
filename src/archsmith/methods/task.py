"""What a method is handed: the space and its model, the limits, data to score on, where to record, what it may spend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import ArchsmithError
from archsmith.metrics.accuracy import Judge
from archsmith.problem import Constraint
from archsmith.searchers.archive import Archive
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture, SearchSpace
from archsmith.tasks import Classification, Goal
from archsmith.training.recipe import LOSSES, Precision, Recipe


class TooLittleTime(ArchsmithError):
    """What trains shared weights raises where its part of the time would leave them untrained; says what it would take."""


@dataclass(frozen=True)
class Training:
    """What the finish stage will give the network it chooses: so many seconds with this recipe on so many images."""

    seconds: float
    images: int
    class_counts: tuple[int, ...]
    recipe: Recipe
    precisions: Sequence[Precision] = ()  # in the fastest of these and the recipe's


@dataclass(frozen=True)
class Sharing:
    """What training shared weights is handed. Its budget: `seconds`, or `steps`, in all; the other is None.

    `make(partial)`: the elastic network with weights, new ones by the seed or those of --init; `partial`: operations work on
    one in so many channels, None: on all. `stream(step)`: endless augmented
    batches from that step on, of the training images but `held_out`, which are to judge networks by; `calibration`: some of
    those trained on, to set BatchNorm's statistics with.
    """

    make: Callable[[int | None], nn.Module]
    stream: Callable[[int], Iterator[tuple[Tensor, Tensor]]]
    calibration: Sequence[Tensor]
    held_out: Sequence[tuple[Tensor, Tensor]]
    recipe: Recipe
    class_counts: tuple[int, ...]
    seconds: float | None
    steps: int | None
    folder: Path  # for checkpoints
    of: Mapping[str, Any] = field(default_factory=dict)  # whose they are; others are of no use
    note: Callable[[str], None] = lambda text: None  # tells a person
    kept: dict[Any, Any] = field(default_factory=dict)  # what a stage of this process trained or read, for the next one


@dataclass(frozen=True)
class Task:
    """One search. `seconds`: what scoring may take in all, and `left()` what is left of them, a deadline; `trials`: how many
    networks it may score, None: as `seconds` allow.

    `decide(name, make)` makes a decision once and reads it back when a run is resumed (`Run.decide`).
    """

    model: nn.Module  # elastic, may be on meta
    space: SearchSpace
    costs: Callable[..., Any]  # the metric that gives params, macs, memory
    constraints: tuple[Constraint, ...]
    batches: Sequence[tuple[Tensor, Tensor]]  # two mini-batches: normalised images, what is wanted of them
    archive: Archive | SqliteArchive
    decide: Callable[[str, Callable[[], Any]], Any]
    tell: Callable[[str, float | None], None]
    seed: int
    device: torch.device
    seconds: float
    spent: Callable[[], float]  # seconds so far in the running stage
    trials: int | None
    finalists: int  # how many the finish stage can train
    training: Training | None = None  # None: it counts steps, whatever they take
    space_name: str = ""  # as in archsmith.spaces.SPACES
    sharing: Callable[[], Sharing] | None = None  # for methods that train shared weights
    left: Callable[[], float] = lambda: math.inf
    goal: Goal = Classification(())
    by_hand: Callable[..., Sequence[Architecture]] = lambda limits, views=1: ()  # see `Work.by_hand`
    beside: Callable[..., Sequence[Architecture]] = lambda count, views=1: ()  # see `Work.beside`
    referenced: bool = False  # a hand-made reference is trained beside it

    @property
    def loss(self) -> Callable[..., Tensor]:
        """(outputs, wanted) -> the mean loss of a batch."""
        return LOSSES[self.goal.loss]

    @property
    def judge(self) -> Judge:
        """What networks are ranked by."""
        return self.goal.judge
