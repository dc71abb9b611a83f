"""Where to split shared weights: how much the options of a decision disagree, and the decision
whose cut parts most."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archsmith._internal.seeding import mix
from archsmith.elastic.supernet import reachable, switching
from archsmith.elastic.tree import Node, at_random, by_decision
from archsmith.errors import UserError, did_you_mean
from archsmith.space import Architecture, SearchSpace

POLICIES = ("gradients", "scores", "random", "arbitrary")
# (node, decision, rng) -> (options, options), symmetric, diagonal 0
Distances = Callable[[Node, str, Random], np.ndarray]
_TRIES = 50  # to find an architecture that may have every option of a decision
_TINY = 1e-6


@dataclass(frozen=True)
class Split:
    """A decision, its options in groups, and how far apart the groups are: the weight of the
    cut."""

    decision: str
    groups: tuple[tuple[Any, ...], ...]
    score: float


def splittable(space: SearchSpace) -> list[str]:
    """The decisions with several options that every architecture has."""
    names = []
    for name, options in space.items():
        if len(options) > 1:
            try:
                space.split(name)
            except UserError:
                continue
            names.append(name)
    return names


def best_split(
    node: Node,
    distances: Distances,
    *,
    groups: int | None = 2,
    decisions: Sequence[str] | None = None,
    seed: int = 0,
) -> Split:
    """The split with the heaviest cut (Hu and others, ICLR 2022, GM-NAS): all distances less those
    within groups.

    `groups`: so many for each decision, None: one for each option, where all distances are cut and
    their mean counts, so that decisions of many options have no advantage. Every decision sees the
    same draws. Raises UserError where nothing can be split.
    """
    names = splittable(node.space) if decisions is None else list(decisions)
    if not names:
        raise UserError(f"'{node.name}' has no decision to split on")
    splits = []
    for name in names:
        options = node.space.options[name]
        matrix = distances(node, name, Random(seed))
        if groups is None or len(options) <= groups:
            chosen = tuple((option,) for option in options)
        else:
            chosen = tuple(tuple(options[i] for i in group) for group in lightest(matrix, groups))
        place = {option: number for number, group in enumerate(chosen) for option in group}
        cut = [
            matrix[i, j]
            for i, j in itertools.combinations(range(len(options)), 2)
            if place[options[i]] != place[options[j]]
        ]
        splits.append(Split(name, chosen, float(np.mean(cut) if groups is None else np.sum(cut))))
    return max(splits, key=lambda split: split.score)


def planned(
    node: Node,
    how: str,
    branches: int,
    *,
    distances: Mapping[str, Distances] | None = None,
    decisions: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """How to split a node into at most `branches` parts, as plain values from which `parts_of`
    makes them.

    `how`: the name of a decision; or one of POLICIES: "gradients" and "scores" take the decision
    whose parts are furthest apart by `distances[how]` (of `decisions`, default all that can be
    split), "random" any decision, "arbitrary" no decision at all: a partition that means nothing,
    the control. Options are parts of their own where there are not more of them than branches, else
    they come in groups: those alike together, neighbors together where no distances are known.
    Raises UserError for a name that is neither, and where the node cannot be split.
    """
    check(node.space, how, branches)
    names = splittable(node.space)
    if how == "arbitrary":
        return {"decision": None, "groups": [[i] for i in range(branches)], "seed": seed}
    if how in ("gradients", "scores"):
        assert distances is not None
        looked_at = names if decisions is None else decisions
        groups = (
            None
            if all(len(node.space.options[name]) <= branches for name in looked_at)
            else branches
        )
        split = best_split(node, distances[how], groups=groups, decisions=looked_at, seed=seed)
        options = node.space.options[split.decision]
        places = [[options.index(option) for option in group] for group in split.groups]
        return {"decision": split.decision, "groups": places, "distance": split.score}
    if not names:
        raise UserError(f"'{node.name}' has no decision to split on")
    name = Random(mix(seed, node.name)).choice(names) if how == "random" else how
    count = len(node.space.options[name])
    ends = [round(i * count / min(branches, count)) for i in range(min(branches, count) + 1)]
    return {
        "decision": name,
        "groups": [list(range(low, high)) for low, high in itertools.pairwise(ends)],
    }


def comparing(
    space: SearchSpace, how: str, rounds: int, decisions: Sequence[str] | None = None
) -> int:
    """Mini-batches that `planned` sends forward and back to compare options; two a score (ZiCo)."""
    names = splittable(space) if decisions is None else decisions
    return (
        {"gradients": 1, "scores": 2}.get(how, 0)
        * rounds
        * sum(len(space.options[name]) for name in names)
    )


def check(space: SearchSpace, how: str, branches: int) -> None:
    """UserError where `planned` could not split the space so, whatever its weights are."""
    if branches < 2:
        raise UserError(
            f"no node can be split into {branches} parts; allow at least 2: fewer "
            f"splits, or more leaves"
        )
    names = splittable(space)
    if how not in POLICIES and how not in names:
        known = ", ".join((*POLICIES, *names))
        raise UserError(
            f"cannot split on '{how}'; there are {known}{did_you_mean(how, [*POLICIES, *names])}"
        )


def branching(leaves: int, levels: int) -> int:
    """Parts of each node at most, so that so many levels end in no more than `leaves`."""
    return int(leaves ** (1 / levels) + 1e-9)


def parts_of(space: SearchSpace, plan: Mapping[str, Any]) -> dict[str, SearchSpace]:
    """The parts of a space under a plan of `planned`, for `tree.grow`."""
    if plan["decision"] is None:
        return at_random(space, len(plan["groups"]), plan["seed"])
    options = space.options[plan["decision"]]
    return by_decision(
        space, plan["decision"], [[options[i] for i in group] for group in plan["groups"]]
    )


def lightest(matrix: np.ndarray, groups: int) -> tuple[tuple[int, ...], ...]:
    """The partition of 0 to n - 1 into `groups` groups, sizes as equal as can be, with the smallest
    sum of distances within.

    Exhaustive, so for the few options that decisions have.
    """

    def within(partition: Sequence[Sequence[int]]) -> float:
        return sum(
            float(matrix[i, j]) for group in partition for i, j in itertools.combinations(group, 2)
        )

    return min(_partitions(tuple(range(len(matrix))), groups), key=within)


def _partitions(items: tuple[int, ...], groups: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Each once, as groups in the order of their first items."""
    if groups == 1:
        yield (items,)
        return
    for size in sorted({len(items) // groups, -(-len(items) // groups)}):
        if not 0 < size <= len(items) - groups + 1:
            continue
        for others in itertools.combinations(items[1:], size - 1):
            rest = tuple(item for item in items[1:] if item not in others)
            for tail in _partitions(rest, groups - 1):
                yield ((items[0], *others), *tail)


# -- distances -----------------------------------------------------------------------------------


def gradient_distances(
    batches: Sequence[tuple[Tensor, Tensor]],
    rounds: int = 20,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> Distances:
    """1 - cosine of the gradients that two options leave in the weights they share (GM-NAS,
    equation 3), mean over `rounds`.

    A round: a random architecture and a mini-batch, the decision switched through its options.
    Weights that some option does not use are left out, those of the split decision first of all:
    they are different weights, so their gradients are orthogonal whatever the options have in
    common. (The released code of GM-NAS leaves them in.)
    """
    if not batches or rounds < 1:
        raise UserError("gradient distances need at least one batch and one round")

    def distances(node: Node, name: str, rng: Random) -> np.ndarray:
        options = node.space.options[name]
        shared = set(reachable(node.model, node.space))
        for option in options:
            shared &= set(reachable(node.model, node.space.restrict({name: (option,)})))
        weights = [parameter for path, parameter in node.model.named_parameters() if path in shared]
        switch, total = switching(node.model), np.zeros((len(options), len(options)))
        node.model.train()
        for round_ in range(rounds):
            x, y = batches[round_ % len(batches)]
            rows = []
            for arch in _switched(node.space, name, rng):
                with switch(arch):
                    value = loss(node.model(x).float(), y)
                    gradients = torch.autograd.grad(value, weights, allow_unused=True)
                flat = [
                    torch.zeros_like(w) if g is None else g
                    for g, w in zip(gradients, weights, strict=True)
                ]
                rows.append(torch.cat([g.flatten() for g in flat]).double())
            stacked = torch.stack(rows)
            lengths = stacked.norm(dim=1)
            total += (
                1.0
                - (stacked @ stacked.T / (lengths[:, None] * lengths[None, :] + _TINY))
                .cpu()
                .numpy()
            )
        np.fill_diagonal(total, 0.0)
        return total / rounds

    return distances


def score_distances(score: Callable[[Architecture], float], rounds: int = 20) -> Distances:
    """How far apart two options leave a training-free score of the whole network, mean over
    `rounds` architectures.

    (Ly-Manson and others, AutoML 2024, split by any such score.) In units of the score's standard
    deviation over all of them.
    """

    def distances(node: Node, name: str, rng: Random) -> np.ndarray:
        values = np.array(
            [[float(score(a)) for a in _switched(node.space, name, rng)] for _ in range(rounds)]
        )
        spread = float(values.std()) or 1.0
        return np.abs(values[:, :, None] - values[:, None, :]).mean(0) / spread

    return distances


def _switched(space: SearchSpace, name: str, rng: Random) -> list[Architecture]:
    """A random architecture with the decision switched through its options.

    All of them are in the space where that can be had in some tries; else some are what its `where`
    excludes, e.g. dead cells.
    """
    plain = replace(space, predicates=())
    for _ in range(_TRIES):
        arch = space.sample(rng)
        row = [plain.complete({**arch, name: option}, rng) for option in space.options[name]]
        if all(map(space.contains, row)):
            break
    return row
