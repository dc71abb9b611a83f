"""Few-shot NAS (Zhao, Wang, Tian, Fonseca, Guo; ICML 2021): split a supernet, train each part on,
estimate by the parts.

One supernet of the whole space is trained first. The space is split by a decision; each part goes
on from the supernet's weights with weights of its own; a network is estimated by the part that
holds it. Deviations from the released code: one architecture for all cells of a step, dead networks
and those that break the budget are not trained, each network's BatchNorm statistics are its own,
estimates are made on images held out from training, and the split decision's own weights are
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.tree import Node, grow
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.sampler import feasible_sample
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated
from archsmith.methods.job import Job, Sharing
from archsmith.methods.protocol import SharedWeights, setting
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.run import clock
from archsmith.run.records import Searched
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import described
from archsmith.training.distillation import Distillation
from archsmith.training.recipe import Recipe
from archsmith.training.samplers import SAMPLINGS, Sampler, among, check_named, named
from archsmith.training.shared_weights import shared_weights
from archsmith.training.space_splits import (
    branching,
    check,
    comparing,
    gradient_distances,
    parts_of,
    planned,
    score_distances,
    splittable,
)
from archsmith.training.state import TrainState
from archsmith.training.step import Backward
from archsmith.training.supernet_node import train_node

_TRIED, _POOL = 20, 300
_ROUNDS, _FEWEST_ROUNDS = 8, 2  # architectures a split is judged on
SPLIT_ON = (
    "a decision, gradients, scores, random or arbitrary; a+b: one a level, the last for the rest"
)
SAMPLING = f"networks of a step: {', '.join(SAMPLINGS)}; a step with several counts as several"
DISTILL = "the largest network of a step teaches the others (sampling=sandwich)"


@dataclass(frozen=True)
class FewShot:
    """A tree of supernets. A "sandwich" is of the whole space, whatever the budget; its largest may
    teach the others."""

    splits: int = setting(1, "levels below the supernet of the whole space; 0: none (one-shot)")
    split_on: str = setting("gradients", SPLIT_ON)
    leaves: int = setting(8, "supernets at the end, at most")
    inherit: bool = setting(True, "parts start from what was trained above them, else anew")
    sampling: str = setting("uniform", SAMPLING)
    distill: bool = setting(False, DISTILL)

    def __post_init__(self) -> None:
        if self.splits < 0 or self.leaves < 2:
            raise UserError(
                f"splits={self.splits} must be 0 or more, leaves={self.leaves} at least 2"
            )
        check_named(self.sampling)
        if self.distill and self.sampling != "sandwich":
            raise UserError(
                "distill=true: the largest network of a step teaches the others; add "
                "sampling=sandwich"
            )

    def train(self, job: Job) -> SharedWeights:
        """The tree, and how far its estimates can be trusted."""
        root = grown(job, self)[0]
        return SharedWeights(root, lambda: estimated.train(job, root))

    def search(self, job: Job, trained: SharedWeights) -> Searched:
        """Guided search on the estimates."""
        return estimated.search(job, trained.weights)

    def start(self, job: Job, trained: SharedWeights, arch: Architecture) -> nn.Module:
        """The network with the weights it shared."""
        return estimated.network(job, trained.weights, arch)


def grown(
    job: Job,
    tree: FewShot,
    *,
    learn: Callable[[Sharing, Node], Backward] | None = None,
    channels: int | None = None,
) -> tuple[Node, dict[str, TrainState]]:
    """The tree of supernets, and the training of each by name, as far as its checkpoints do not
    hold it already.

    `learn`: what a step of a leaf computes, instead of single paths. `channels`: operations work on
    one in so many (PC-DARTS).
    """
    assert job.data.sharing is not None
    sharing, asked = job.data.sharing(), (tree, channels)
    if asked in sharing.kept:
        return sharing.kept[asked]
    live = described(job.space.name).live
    space = job.space.decisions if live is None else job.space.decisions.where(live)
    splits, branches = tree.splits, branching(tree.leaves, tree.splits) if tree.splits else 0
    levels = tree.split_on.split("+")[:splits]
    levels += [levels[-1]] * (splits - len(levels)) if levels else []
    for how in levels:  # told before anything is trained
        check(space, how, branches)
    nodes = [root := Node(space, sharing.make(channels))]
    estimated.affordable(job, sharing, root.model)
    shares = [clock.PARENT, *[(1.0 - clock.PARENT) / splits] * splits] if splits else [1.0]
    states: dict[str, TrainState] = {}
    for level, here in enumerate(shares):
        if level:
            most = branches
            if sharing.seconds is not None:
                most = min(
                    most, max(2, int(here * sharing.seconds / (clock.PART_LEAST_S * len(nodes))))
                )
            how, passes = (
                levels[level - 1],
                _passes(sharing, states, clock.JUDGING / (splits * len(nodes))),
            )
            nodes = [
                child
                for node in nodes
                for child in _split(job, tree, node, how=how, branches=most, passes=passes)
            ]
        rest = sum(shares[level + 1 :])
        recipe = (
            replace(sharing.recipe, lr=sharing.recipe.lr / 2)
            if level and tree.inherit
            else sharing.recipe
        )
        for position, node in enumerate(nodes):
            share = here / len(nodes)
            part = _Part(share, share * (len(nodes) - position) + rest)
            state = _train(job, tree, node, recipe=recipe, part=part, learn=None if rest else learn)
            states |= {node.name: state} if state else {}
    sharing.kept[asked] = root, states
    return root, states


@dataclass(frozen=True)
class _Part:
    """A node's share of the training, and of what is not spent yet."""

    share: float
    rest: float


def _split(
    job: Job, tree: FewShot, node: Node, *, how: str, branches: int, passes: int
) -> Sequence[Node]:
    """The children under a split that is decided once, and looked for with so many passes."""

    def plan() -> dict[str, Any]:
        decisions, rounds = affordable(node, passes, job.seed)
        score = ZiCo(job.space.model, job.data.batches, seed=job.seed, loss=job.data.loss)
        gradients = gradient_distances(job.data.batches, rounds, job.data.loss)
        distances = {"gradients": gradients, "scores": score_distances(score, rounds)}
        return {
            **planned(node, how, branches, distances=distances, decisions=decisions, seed=job.seed),
            "compared": comparing(node.space, how, rounds, decisions) * len(job.data.batches[0][0]),
        }

    job.log.tell(f"splitting '{node.name}' on {how}", None)
    split = job.log.decide(f"train/{node.name}/split", plan)
    node.compared = split.get("compared", 0)
    return grow(
        node, parts_of(node.space, split), inherit=tree.inherit, seed=mix(job.seed, node.name)
    )


def _passes(sharing: Sharing, states: Mapping[str, TrainState], share: float) -> int:
    """Passes that a share of the training has."""
    if sharing.steps is not None:
        return int(share * sharing.steps)
    assert sharing.seconds is not None
    done = [state for state in states.values() if state.step]
    pace = sum(state.seconds for state in done) / max(1, sum(state.step for state in done))
    return int(share * sharing.seconds / max(pace, 1e-6))


def affordable(node: Node, passes: int, seed: int) -> tuple[list[str], int]:
    """Decisions that can be compared, all or some at random, and in how many rounds of a pass for
    every option."""
    names = splittable(node.space)
    options = {name: len(node.space.options[name]) for name in names}
    rounds = max(_FEWEST_ROUNDS, min(_ROUNDS, passes // max(1, sum(options.values()))))
    chosen: list[str] = []
    left = float(passes)
    for name in Random(mix(seed, node.name)).sample(names, len(names)):
        left -= rounds * options[name]
        if left < 0 and len(chosen) >= 2:
            break
        chosen.append(name)
    return [name for name in names if name in chosen], rounds


def _train(
    job: Job,
    tree: FewShot,
    node: Node,
    *,
    recipe: Recipe,
    part: _Part,
    learn: Callable[[Sharing, Node], Backward] | None,
) -> TrainState | None:
    """With its part of the budget. None where nothing in the node fits the constraints."""
    sampler = _sampler(job, node.space, tree.sampling)
    if sampler is None:
        return None
    assert job.data.sharing is not None
    sharing = job.data.sharing()
    steps = seconds = None
    if sharing.steps is not None:
        steps = max(
            1, int(clock.SHARED_TRAINING * sharing.steps * part.share) // SAMPLINGS[tree.sampling]
        )
    else:
        assert sharing.seconds is not None
        left = clock.SHARED_TRAINING * sharing.seconds - job.clock.spent()
        seconds = job.log.decide(
            f"train/{node.name}/seconds", lambda: max(1.0, left * part.share / part.rest)
        )
    distillation = Distillation("largest") if tree.distill else None
    single = shared_weights(
        sampler, distillation=distillation, macs=lambda arch: job.space.costs(arch)["macs"]
    )
    return train_node(
        node,
        recipe,
        sharing.stream,
        steps=steps,
        seconds=seconds,
        backward=learn(sharing, node) if learn else single,
        seed=mix(job.seed, "shared", node.name),
        device=job.device,
        class_counts=sharing.class_counts,
        checkpoint=sharing.folder / f"shared-{mix(node.name):016x}.safetensors",
        of=sharing.of,
        tell=sharing.note,
        on_progress=lambda state, share: job.log.tell(f"'{node.name}': step {state.step}", share),
    )


def _sampler(job: Job, space: SearchSpace, sampling: str) -> Sampler | None:
    """Random architectures that keep the budget; of a fixed pool where those are rare, None where
    there are none."""
    statistic = described(job.space.name).statistic
    if not job.space.limits or sampling == "sandwich":
        return named(sampling, space, statistic, job.seed)
    gauge, rng = Gauge(job.space.limits), Random(job.seed)
    fitting = space.where(lambda arch: gauge.violation(arch) <= 0)
    try:
        for _ in range(_TRIED):
            fitting.sample(rng)
        return named(sampling, fitting, statistic, job.seed)
    except UserError:
        try:
            return among(feasible_sample(space, job.space.limits, Random(job.seed), _POOL))
        except NothingFits:
            return None
