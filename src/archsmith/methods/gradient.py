"""Gradient methods (DARTS, PC-DARTS, GDAS, SNAS, SETN, DrNAS, ENAS): weights of options learned beside shared weights.

Alone, or in each part of a few-shot tree; of what the parts find, the network with the lowest held-out loss is taken, each
judged with the weights of its part (the released few-shot code leaves that choice out). The methods know no budget: what they
find is changed as little as needed to keep it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import mixed
from archsmith.elastic.tree import Node
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.descent import Descent
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated, few_shot, scored
from archsmith.methods.task import Sharing, Task
from archsmith.metrics.shared import SharedAccuracy
from archsmith.problem import Candidate, Problem, minimize
from archsmith.searchers.loop import Proposals, run_searcher, searcher
from archsmith.space import Architecture
from archsmith.training.controller import Enas, controlled, controller_of
from archsmith.training.relaxation import METHODS, Relaxation, derived, learning, probabilities, sampled
from archsmith.training.state import TrainState
from archsmith.training.step import Backward

_PARTS = 4  # PC-DARTS: operations work on a quarter of the channels
_DRAWN = 24  # networks drawn from what was learned, beside the strongest
_MENDING = 2000  # counts of costs to bring one within the budget


@dataclass(frozen=True)
class Page:
    """One of the methods, as the pipeline calls it."""

    name: str

    def weights(
        self, task: Task, *, splits: int = 0, split_on: str = "gradients", leaves: int = 8, inherit: bool = True
    ) -> tuple[Node, dict[str, TrainState]]:
        """The tree, and the training of each node. `splits` and the others: as in few-shot. One that is split is trained by
        single paths, the method goes on in each part."""
        _check(task, self.name)
        return few_shot.grown(
            task, splits=splits, split_on=split_on, leaves=leaves, inherit=inherit, learn=partial(self._learn, task),
            channels=_PARTS if self.name == "pc-darts" else None,
        )  # fmt: skip

    def refuse(self, space_name: str, **settings: Any) -> None:
        """UserError for settings of the tree that make no sense."""
        few_shot.refuse(space_name, **settings)

    def screen(self, task: Task, **settings: Any) -> dict[str, Any]:
        """Nothing to score before the weights are trained."""
        return few_shot.screen(task)

    def train(self, task: Task, **settings: Any) -> dict[str, Any]:
        """The tree, and how far its estimates can be trusted."""
        root = self.weights(task, **settings)[0]
        return estimated.train(task, root, self._metric(task, root))

    def search(self, task: Task, **settings: Any) -> dict[str, Any]:
        """What each part found, judged by the held-out loss."""
        root, states = self.weights(task, **settings)
        archs: dict[Architecture, None] = {}
        for node in root.leaves:
            if node.name in states:
                archs |= dict.fromkeys(self._found(task, node, states[node.name]))
        gauge = Gauge(task.constraints)
        fitting = dict.fromkeys(filter(None, (_mended(task, gauge, arch) for arch in archs)))
        if not fitting:
            raise NothingFits(f"nothing near the networks that {self.name} found keeps the budget; give a wider one")
        metric = self._metric(task, root)
        problem = Problem(task.space, (minimize(metric, name="shared_loss"),), task.constraints)
        run_searcher(
            problem, listed(problem, archs=list(fitting)), trials=len(fitting), archive=task.archive, stage="search",
            stop=scored.stop(task, "search"),
        )  # fmt: skip
        return estimated.shortlisted(task, self.name)

    def _metric(self, task: Task, root: Node) -> SharedAccuracy:
        """On the half of the held-out images that no architecture parameter learned from."""
        assert task.sharing is not None
        return estimated.estimate(task, root, [_half(task.sharing(), 1)])

    def _learn(self, task: Task, sharing: Sharing, node: Node) -> Backward:
        held_out = partial(_endless, _half(sharing, 0), sharing.recipe.batch_size, mix(task.seed, "alphas"))
        if self.name == "enas":
            return controlled(Enas(), node.space, held_out)
        return learning(self._relaxation(node), node.space, held_out)

    def _relaxation(self, node: Node) -> Relaxation:
        """PC-DARTS lets edges compete where a cell keeps some of them."""
        method = METHODS[self.name]
        return replace(method, edges=True) if self.name == "pc-darts" and hasattr(node.model, "discretize") else method

    def _found(self, task: Task, node: Node, state: TrainState) -> list[Architecture]:
        """The strongest network of a part, and some drawn from what it learned."""
        if self.name == "enas":
            controller, generator = controller_of(state, node.space), torch.Generator().manual_seed(task.seed)
            with torch.no_grad():
                return [controller(generator)[0] for _ in range(_DRAWN)]
        found = probabilities(state, self._relaxation(node), mixed(node.model, node.space))
        drawn = sampled(found, node.space, _DRAWN, task.seed) if set(found) <= set(node.space) else []
        return [derived(node.model, node.space, found), *drawn]


def _check(task: Task, name: str) -> None:
    """UserError for a space whose decisions are not operations to weigh, before anything is trained."""
    if name == "enas":
        return
    found = mixed(task.model, task.space)
    if not found or not (set(found) <= set(task.space) or hasattr(task.model, "discretize")):
        raise UserError(
            f"{name} weighs the operations of a OneOf against each other, and in space '{task.space_name}' "
            f"{'no decision is one' if not found else 'they are not the decisions'}; take few-shot, ddpnas or zico there"
        )


def _half(sharing: Sharing, which: int) -> tuple[Tensor, Tensor]:
    """Every other held-out image: 0 for the architecture parameters, 1 to judge by."""
    x, y = (torch.cat(parts) for parts in zip(*sharing.held_out, strict=True))
    return x[which::2], y[which::2]


def _endless(images: tuple[Tensor, Tensor], batch: int, seed: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images at random in batches, from a step on."""
    x, y = images
    while True:
        generator = torch.Generator().manual_seed(mix(seed, step))
        rows = torch.randint(len(y), (batch,), generator=generator).to(y.device)
        yield x[rows].contiguous(memory_format=torch.channels_last), y[rows]
        step += 1


def _mended(task: Task, gauge: Gauge, arch: Architecture) -> Architecture | None:
    """The architecture, or one near it that keeps the budget; None where none is found."""
    if not task.constraints:
        return arch
    found, violation = Descent(task.space, gauge, Random(task.seed)).run(arch, _MENDING)
    return found if violation <= 0 else None


@searcher
def listed(problem: Problem, seed: int = 0, archs: Any = ()) -> Proposals:
    """These architectures, once."""
    yield [Candidate(arch, origin="learned") for arch in archs]


darts, darts2, pc_darts, gdas = Page("darts"), Page("darts-2"), Page("pc-darts"), Page("gdas")
snas, setn, drnas, enas = Page("snas"), Page("setn"), Page("drnas"), Page("enas")
