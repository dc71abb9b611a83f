"""Few-shot NAS (Zhao, Wang, Tian, Fonseca, Guo; ICML 2021): split a supernet, train each part on, estimate by the parts.

One supernet of the whole space is trained first. The space is split by a decision; each part goes on from the supernet's
weights with weights of its own; a network is estimated by the part that holds it. Deviations from the released code: one
architecture for all cells of a step, dead networks and those that break the budget are not trained, each network's BatchNorm
statistics are its own, estimates are made on images held out from training, and the split decision's own weights are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from torch import nn

from archsmith._internal.seeding import mix
from archsmith.elastic.tree import Node, grow
from archsmith.errors import NothingFits, UserError
from archsmith.feasibility.sampler import feasible_sample
from archsmith.feasibility.violation import Gauge
from archsmith.methods import estimated
from archsmith.methods.task import Sharing, Task
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import described
from archsmith.training.nodes import train_node
from archsmith.training.recipe import Recipe
from archsmith.training.samplers import SAMPLINGS, Sampler, among, check_named, named
from archsmith.training.shared import Distillation
from archsmith.training.shared import sharing as shared
from archsmith.training.splits import (
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

_LEAST = 4.0  # seconds of training for a part; where time is shorter, there are fewer
_PARENT = 0.5  # of the training: the supernet of the whole space, where it is split
_TRIED, _POOL = 20, 300
_ROUNDS, _FEWEST_ROUNDS = 8, 2  # architectures a split is judged on
_JUDGING = 0.1  # of the training at most, for that


def weights(
    task: Task,
    *,
    splits: int = 1,
    split_on: str = "gradients",
    leaves: int = 8,
    inherit: bool = True,
    sampling: str = "uniform",
    distill: bool = False,
) -> Node:
    """The tree of supernets, trained as far as its checkpoints do not hold it already.

    `splits`: levels below the supernet of the whole space, 0: none (one-shot). `split_on`: for each level a decision, or
    "gradients", "scores", "random", "arbitrary" (`training.splits.planned`); with "+" between them, the last for all that
    follow. `leaves`: at most so many supernets at the end. `inherit`: parts start from what was trained above them, else anew.
    `sampling`: the networks of a step, of `samplers.SAMPLINGS`; a step with several counts as several. A "sandwich" is
    of the whole space, whatever the budget. `distill`: its largest teaches the others.
    """
    return grown(task, splits=splits, split_on=split_on, leaves=leaves, inherit=inherit, sampling=sampling, distill=distill)[0]


def refuse(
    space_name: str, *, splits: int = 1, leaves: int = 8, sampling: str = "uniform", distill: bool = False, **others: Any
) -> None:
    """UserError for settings that make no sense, so that they are told before anything is trained."""
    if splits < 0 or leaves < 2:
        raise UserError(f"splits={splits} must be 0 or more, leaves={leaves} at least 2")
    check_named(sampling)
    if distill and sampling != "sandwich":
        raise UserError("distill=true: the largest network of a step teaches the others; add sampling=sandwich")


def grown(
    task: Task,
    *,
    splits: int,
    split_on: str,
    leaves: int,
    inherit: bool,
    sampling: str = "uniform",
    distill: bool = False,
    learn: Callable[[Sharing, Node], Backward] | None = None,
    channels: int | None = None,
) -> tuple[Node, dict[str, TrainState]]:
    """`weights`, and the training of each node by name. `learn`: what a step of a leaf computes, instead of
    single paths. `channels`: operations work on one in so many (PC-DARTS)."""
    refuse(task.space_name, splits=splits, leaves=leaves, sampling=sampling, distill=distill)
    assert task.sharing is not None
    sharing, asked = task.sharing(), (splits, split_on, leaves, inherit, sampling, distill, channels)
    if asked in sharing.kept:
        return sharing.kept[asked]
    live = described(task.space_name).live
    space = task.space if live is None else task.space.where(live)
    levels = split_on.split("+")[:splits]
    levels += [levels[-1]] * (splits - len(levels)) if levels else []
    for how in levels:  # told before anything is trained
        check(space, how, branching(leaves, splits))
    nodes = [root := Node(space, sharing.make(channels))]
    estimated.affordable(task, sharing, root.model)
    shares = [_PARENT, *[(1.0 - _PARENT) / splits] * splits] if splits else [1.0]
    states: dict[str, TrainState] = {}
    for level, here in enumerate(shares):
        if level:
            branches = branching(leaves, splits)
            if sharing.seconds is not None:
                branches = min(branches, max(2, int(here * sharing.seconds / (_LEAST * len(nodes)))))
            how, each = levels[level - 1], _JUDGING / (splits * len(nodes))
            nodes = [
                child for node in nodes for child in _split(task, node, how, branches, inherit, _passes(sharing, states, each))
            ]
        rest = sum(shares[level + 1 :])
        recipe = replace(sharing.recipe, lr=sharing.recipe.lr / 2) if level and inherit else sharing.recipe
        for position, node in enumerate(nodes):
            share = here / len(nodes)
            left = share * (len(nodes) - position) + rest
            state = _train(task, sharing, node, recipe, share, left, sampling, distill, None if rest else learn)
            states |= {node.name: state} if state else {}
    sharing.kept[asked] = root, states
    return root, states


def screen(task: Task, **options: Any) -> dict[str, Any]:
    """Nothing to score before the weights are trained."""
    return {"proxy": None, "scored": 0, "best": None, "passes": 0, "seconds_per_score": None}


def train(task: Task, **options: Any) -> dict[str, Any]:
    """The tree, and how far its estimates can be trusted."""
    return estimated.train(task, weights(task, **options))


def search(task: Task, **options: Any) -> dict[str, Any]:
    """Guided search on the estimates."""
    return estimated.search(task, weights(task, **options))


def network(task: Task, **options: Any) -> Callable[[Architecture], nn.Module]:
    """What the finish stage trains on: a network with the weights it shared."""
    return estimated.networks(task, weights(task, **options))


def _split(task: Task, node: Node, how: str, branches: int, inherit: bool, passes: int) -> Sequence[Node]:
    """The children under a split that is decided once, and looked for with so many passes."""

    def plan() -> dict[str, Any]:
        decisions, rounds = affordable(node, passes, task.seed)
        score = ZiCo(task.model, task.batches, seed=task.seed, loss=task.loss)
        distances = {"gradients": gradient_distances(task.batches, rounds, task.loss), "scores": score_distances(score, rounds)}
        found = planned(node, how, branches, distances=distances, decisions=decisions, seed=task.seed)
        return {**found, "compared": comparing(node.space, how, rounds, decisions) * len(task.batches[0][0])}

    task.tell(f"splitting '{node.name}' on {how}", None)
    found = task.decide(f"train/{node.name}/split", plan)
    node.compared = found.get("compared", 0)
    return grow(node, parts_of(node.space, found), inherit=inherit, seed=mix(task.seed, node.name))


def _passes(sharing: Sharing, states: Mapping[str, TrainState], share: float) -> int:
    """Passes that a share of the training has."""
    if sharing.steps is not None:
        return int(share * sharing.steps)
    assert sharing.seconds is not None
    done = [state for state in states.values() if state.step]
    pace = sum(state.seconds for state in done) / max(1, sum(state.step for state in done))
    return int(share * sharing.seconds / max(pace, 1e-6))


def affordable(node: Node, passes: int, seed: int) -> tuple[list[str], int]:
    """Decisions that can be compared, all or some at random, and in how many rounds of a pass for every option."""
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
    task: Task,
    sharing: Sharing,
    node: Node,
    recipe: Recipe,
    share: float,
    rest: float,
    sampling: str,
    distill: bool,
    learn: Callable[[Sharing, Node], Backward] | None,
) -> TrainState | None:
    """With its share of the budget, of which `rest` is not spent yet. None where nothing in the node fits the constraints."""
    sampler = _sampler(task, node.space, sampling)
    if sampler is None:
        return None
    steps = seconds = None
    if sharing.steps is not None:
        steps = max(1, int(estimated.TRAINING * sharing.steps * share) // SAMPLINGS[sampling])
    else:
        assert sharing.seconds is not None
        left = estimated.TRAINING * sharing.seconds - task.spent()
        seconds = task.decide(f"train/{node.name}/seconds", partial(max, 1.0, left * share / rest))
    distillation = Distillation("largest") if distill else None
    single = shared(sampler, distillation=distillation, macs=lambda arch: task.costs(arch)["macs"])
    return train_node(
        node, recipe, sharing.stream, steps=steps, seconds=seconds,
        backward=learn(sharing, node) if learn else single,
        seed=mix(task.seed, "shared", node.name), device=task.device, class_counts=sharing.class_counts,
        checkpoint=sharing.folder / f"shared-{mix(node.name):016x}.safetensors", of=sharing.of, tell=sharing.note,
        on_progress=partial(_told, task, node.name),
    )  # fmt: skip


def _told(task: Task, name: str, state: TrainState, share: float) -> None:
    task.tell(f"'{name}': step {state.step}", share)


def _sampler(task: Task, space: SearchSpace, sampling: str) -> Sampler | None:
    """Random architectures that keep the budget; of a fixed pool where those are rare, None where there are none."""
    statistic = described(task.space_name).statistic
    if not task.constraints or sampling == "sandwich":
        return named(sampling, space, statistic, task.seed)
    gauge, rng = Gauge(task.constraints), Random(task.seed)
    fitting = space.where(lambda arch: gauge.violation(arch) <= 0)
    try:
        for _ in range(_TRIED):
            fitting.sample(rng)
        return named(sampling, fitting, statistic, task.seed)
    except UserError:
        try:
            return among(feasible_sample(space, task.constraints, Random(task.seed), _POOL))
        except NothingFits:
            return None
