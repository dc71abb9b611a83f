"""What a method is handed: a job of four parts - the data, the space, the clock, the log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.metrics.accuracy import Judge
from archsmith.problem import Constraint
from archsmith.searchers.archive import Archive
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture, SearchSpace
from archsmith.tasks import Classification, Task
from archsmith.training.losses import LOSSES
from archsmith.training.recipe import Precision, Recipe


@dataclass(frozen=True)
class Training:
    """What the finish stage will give the network it chooses: so many seconds with this recipe on
    so many images."""

    seconds: float
    images: int
    class_counts: tuple[int, ...]
    recipe: Recipe
    precisions: Sequence[Precision] = ()  # in the fastest of these and the recipe's


@dataclass(frozen=True)
class Sharing:
    """What training shared weights is handed. Its budget: `seconds`, or `steps`, in all; the other
    is None.

    `make(partial)`: the elastic network with weights, new ones by the seed or those of --init;
    `partial`: operations work on one in so many channels, None: on all. `stream(step)`: endless
    augmented batches from that step on, of the training images but `held_out`, which are to judge
    networks by; `calibration`: some of those trained on, to set BatchNorm's statistics with.
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
    # what a stage of this process trained or read, for the next one
    kept: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobData:
    """What is learned: two mini-batches to score networks on (normalised images, what is wanted of
    them), and the task.

    `sharing()`: what training shared weights is handed, read once in a process; None where the
    method trains none.
    """

    batches: Sequence[tuple[Tensor, Tensor]]
    task: Task = Classification(())
    sharing: Callable[[], Sharing] | None = None

    @property
    def loss(self) -> Callable[..., Tensor]:
        """(outputs, wanted) -> the mean loss of a batch."""
        return LOSSES[self.task.loss]

    @property
    def judge(self) -> Judge:
        """What networks are ranked by."""
        return self.task.judge


@dataclass(frozen=True)
class JobSpace:
    """What is searched: an elastic network (may be on meta), its decisions, what architectures
    cost, the limits they keep.

    `by_hand(limits, views)`: the hand-made networks as architectures, the likeliest first;
    `beside(count, views)`: neighbors of the first one. Both empty where the space has none.
    `reference`: the architecture of the space that is trained beside what the search finds.
    """

    model: nn.Module
    decisions: SearchSpace
    costs: Callable[..., Any]  # the metric that gives params, macs, memory
    limits: tuple[Constraint, ...] = ()
    name: str = ""  # as in archsmith.spaces.SPACES
    by_hand: Callable[..., Sequence[Architecture]] = lambda limits, views=1: ()
    beside: Callable[..., Sequence[Architecture]] = lambda count, views=1: ()
    reference: Architecture | None = None


@dataclass(frozen=True)
class JobClock:
    """What may be spent. `seconds`: on scores or estimates in all, and `left()` what is left of
    them, a deadline.

    `spent()`: seconds so far in the running stage. `trials`: how many networks may be scored, None:
    as `seconds` allow. `finalists`: how many the finish stage can train. `training`: what the one
    that ships gets; None: it counts steps, whatever they take. `referenced`: a hand-made network is
    trained beside the search.
    """

    seconds: float = math.inf
    spent: Callable[[], float] = lambda: 0.0
    left: Callable[[], float] = lambda: math.inf
    trials: int | None = None
    finalists: int = 1
    training: Training | None = None
    referenced: bool = False


@dataclass(frozen=True)
class JobLog:
    """Where it is written down: the record of trials, decisions, what is told.

    `decide(name, make)` makes a decision once and reads it back when a run is resumed
    (`Run.decide`).
    """

    archive: Archive | SqliteArchive
    decide: Callable[[str, Callable[[], Any]], Any] = lambda name, make: make()
    tell: Callable[[str, float | None], None] = lambda text, share: None


@dataclass(frozen=True)
class Job:
    """One search by a method. All that it draws follows from `seed`."""

    data: JobData
    space: JobSpace
    clock: JobClock
    log: JobLog
    seed: int = 0
    device: torch.device = torch.device("cpu")
