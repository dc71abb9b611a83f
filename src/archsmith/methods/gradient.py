"""Gradient methods (DARTS, PC-DARTS, GDAS, SNAS, SETN, DrNAS, ENAS): weights of options learned
beside shared weights.

Alone, or in each part of a few-shot tree; of what the parts find, the network with the lowest
held-out loss is taken, each judged with the weights of its part (the released few-shot code leaves
that choice out). The methods know no budget: what they find is changed as little as needed to keep
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from archsmith._internal.seeding import mix
from archsmith.elastic.mixing import mixed
from archsmith.elastic.tree import Node
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.descent import Descent
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated, few_shot, scored
from archsmith.methods.job import Job, Sharing
from archsmith.methods.protocol import SharedWeights, setting
from archsmith.metrics.estimates import SharedAccuracy
from archsmith.problem import Candidate, Problem, minimize
from archsmith.run.records import Searched
from archsmith.searchers.loop import Proposals, run_searcher, searcher
from archsmith.space import Architecture
from archsmith.training.controller import Enas, controlled, controller_of
from archsmith.training.relaxation import (
    METHODS,
    Relaxation,
    derived,
    learning,
    probabilities,
    sampled,
)
from archsmith.training.state import TrainState
from archsmith.training.step import Backward

_PARTS = 4  # PC-DARTS: operations work on a quarter of the channels
_DRAWN = 24  # networks drawn from what was learned, beside the strongest
_MENDING = 2000  # counts of costs to bring one within the budget


@dataclass(frozen=True)
class Gradient:
    """One of the methods, alone or in each part of a few-shot tree.

    One that is split is trained by single paths, the method goes on in each part.
    """

    kind: str = field(metadata={"fixed": True})  # of `training.relaxed.METHODS`, or enas
    splits: int = setting(
        0, "levels of supernets below that of the whole space, each part searched by itself"
    )
    split_on: str = setting("gradients", few_shot.SPLIT_ON)
    leaves: int = setting(8, "supernets at the end, at most")
    inherit: bool = setting(True, "parts start from what was trained above them, else anew")

    def __post_init__(self) -> None:
        self._tree()

    def _tree(self) -> few_shot.FewShot:
        return few_shot.FewShot(
            splits=self.splits, split_on=self.split_on, leaves=self.leaves, inherit=self.inherit
        )

    def train(self, job: Job) -> SharedWeights:
        """The tree with the training of each node, and how far its estimates can be trusted."""
        _check(job, self.kind)
        root, states = few_shot.grown(
            job,
            self._tree(),
            learn=partial(self._learn, job),
            channels=_PARTS if self.kind == "pc-darts" else None,
        )
        return SharedWeights(
            (root, states), lambda: estimated.train(job, root, self._metric(job, root))
        )

    def search(self, job: Job, trained: SharedWeights) -> Searched:
        """What each part found, judged by the held-out loss."""
        root, states = trained.weights
        archs: dict[Architecture, None] = {}
        for node in root.leaves:
            if node.name in states:
                archs |= dict.fromkeys(self._architectures(job, node, states[node.name]))
        gauge = Gauge(job.space.limits)
        fitting = dict.fromkeys(filter(None, (_mended(job, gauge, arch) for arch in archs)))
        if not fitting:
            raise NothingFits(
                f"nothing near the networks that {self.kind} found keeps the budget; "
                f"give a wider one"
            )
        metric = self._metric(job, root)
        problem = Problem(
            job.space.decisions, (minimize(metric, name="shared_loss"),), job.space.limits
        )
        run_searcher(
            problem,
            listed(problem, archs=list(fitting)),
            trials=len(fitting),
            archive=job.log.archive,
            stage="search",
            stop=scored.stop(job, "search"),
        )
        return estimated.shortlisted(job, self.kind)

    def _metric(self, job: Job, root: Node) -> SharedAccuracy:
        """On the half of the held-out images that no architecture parameter learned from."""
        assert job.data.sharing is not None
        return estimated.estimate(job, root, [_half(job.data.sharing(), 1)])

    def _learn(self, job: Job, sharing: Sharing, node: Node) -> Backward:
        held_out = partial(
            _endless, _half(sharing, 0), sharing.recipe.batch_size, mix(job.seed, "alphas")
        )
        if self.kind == "enas":
            return controlled(Enas(), node.space, held_out)
        return learning(self._relaxation(node), node.space, held_out)

    def _relaxation(self, node: Node) -> Relaxation:
        """PC-DARTS lets edges compete where a cell keeps some of them."""
        method = METHODS[self.kind]
        return (
            replace(method, edges=True)
            if self.kind == "pc-darts" and hasattr(node.model, "discretize")
            else method
        )

    def _architectures(self, job: Job, node: Node, state: TrainState) -> list[Architecture]:
        """The strongest network of a part, and some drawn from what it learned."""
        if self.kind == "enas":
            controller, generator = (
                controller_of(state, node.space),
                torch.Generator().manual_seed(job.seed),
            )
            with torch.no_grad():
                return [controller(generator)[0] for _ in range(_DRAWN)]
        shares = probabilities(state, self._relaxation(node), mixed(node.model, node.space))
        drawn = (
            sampled(shares, node.space, _DRAWN, job.seed) if set(shares) <= set(node.space) else []
        )
        return [derived(node.model, node.space, shares), *drawn]


def _check(job: Job, name: str) -> None:
    """UserError for a space whose decisions are not operations to weigh, before anything is
    trained."""
    if name == "enas":
        return
    options = mixed(job.space.model, job.space.decisions)
    if not options or not (
        set(options) <= set(job.space.decisions) or hasattr(job.space.model, "discretize")
    ):
        raise UserError(
            f"{name} weighs the operations of a OneOf against each other, and in space "
            f"'{job.space.name}' "
            f"{'no decision is one' if not options else 'they are not the decisions'}; take "
            f"few-shot, ddpnas or zico there"
        )


def _half(sharing: Sharing, which: int) -> tuple[Tensor, Tensor]:
    """Every other held-out image: 0 for the architecture parameters, 1 to judge by."""
    x, y = (torch.cat(parts) for parts in zip(*sharing.held_out, strict=True))
    return x[which::2], y[which::2]


def _endless(
    images: tuple[Tensor, Tensor], batch: int, seed: int, step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images at random in batches, from a step on."""
    x, y = images
    while True:
        generator = torch.Generator().manual_seed(mix(seed, step))
        rows = torch.randint(len(y), (batch,), generator=generator).to(y.device)
        yield x[rows].contiguous(memory_format=torch.channels_last), y[rows]
        step += 1


def _mended(job: Job, gauge: Gauge, arch: Architecture) -> Architecture | None:
    """The architecture, or one near it that keeps the budget; None where none is found."""
    if not job.space.limits:
        return arch
    mended, violation = Descent(job.space.decisions, gauge, Random(job.seed)).run(arch, _MENDING)
    return mended if violation <= 0 else None


@searcher
def listed(problem: Problem, seed: int = 0, archs: Any = ()) -> Proposals:
    """These architectures, once."""
    yield [Candidate(arch, origin="learned") for arch in archs]


darts, darts2, pc_darts, gdas, snas, setn, drnas, enas = (
    partial(Gradient, kind)
    for kind in ("darts", "darts-2", "pc-darts", "gdas", "snas", "setn", "drnas", "enas")
)
