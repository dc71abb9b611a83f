"""DDPNAS, dynamic distribution pruning: every option is tried equally often, the least probable of
each decision goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem
from archsmith.searchers.categorical import FINAL, Categorical, Rows, credited, rewards_of
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import SearchSpace

RULES = ("half", "velocity")


@searcher
def pruning(
    problem: Problem,
    seed: int = 0,
    rounds: int = 3,
    rule: str = "half",
    momentum: float = 0.8,
    temperature: float = 1.0,
    warmup: int = 0,
    protected: Sequence[Sequence[Any]] = (),
    on_stage: Callable[[Categorical], None] | None = None,
) -> Proposals:
    """Zheng and others (IJCV 2023): rounds of a stage, then for every decision the option with the
    smallest theta is pruned.

    A round deals every alive option of every decision once. E = mean over the `rounds` of
    softmax(reward / temperature), the reward being minus the first loss; "half": theta <- E + theta
    / 2; "velocity": v <- momentum v + (1 - momentum) E, theta <- theta + v. `temperature`: in the
    unit of the loss; the paper has 1 for accuracies in percent. `warmup`: rounds at the start that
    teach nothing. `protected`: groups of options of which the last one alive is never pruned. When
    nothing can be pruned any more the survivor is proposed once ("survivor") and the search ends.
    `on_stage` sees the distribution at the start and after each pruning.

    Deviations from the released code: the softmax is over alive options, ties go at random,
    decisions may have unequal numbers of options (shorter lists are dealt again within a round) and
    need not exist in every architecture (an option that nothing was learned about has the mean of
    the others), what breaks a cheap constraint is repaired and counts for what it became.
    """
    check_settings(rounds, rule, temperature, momentum=momentum, warmup=warmup)
    rng = Random(seed)
    untried = Untried(problem, rng)
    distribution = Categorical(problem.space)
    velocity: Rows = {name: [0.0] * len(row) for name, row in distribution.theta.items()}

    if on_stage is not None:
        on_stage(distribution)
    for _ in range(warmup):
        yield [
            Candidate(untried.repaired(arch), origin="warm-up") for arch in distribution.deal(rng)
        ]
    while names := [
        name for name in distribution.options if prunable(distribution, name, protected)
    ]:
        expected: Rows = {name: [0.0] * len(row) for name, row in distribution.theta.items()}
        for _ in range(rounds):
            trials = yield [
                Candidate(untried.repaired(arch), origin="dealt") for arch in distribution.deal(rng)
            ]
            rows = credited(distribution, [trial.arch for trial in trials], rewards_of(trials))
            for name, alive in distribution.alive.items():
                for place, share in softmax(rows[name], alive, temperature).items():
                    expected[name][place] += share / rounds
        for name, row in expected.items():
            theta = distribution.theta[name]
            if rule == "half":
                distribution.theta[name] = [e + 0.5 * t for e, t in zip(row, theta, strict=True)]
            else:
                velocity[name] = [
                    momentum * v + (1 - momentum) * e
                    for v, e in zip(velocity[name], row, strict=True)
                ]
                distribution.theta[name] = [
                    t + v for t, v in zip(theta, velocity[name], strict=True)
                ]
        for name in names:
            prune_worst(distribution, name, protected, rng)
        if on_stage is not None:
            on_stage(distribution)
    yield [Candidate(untried.repaired(distribution.mode()), origin=FINAL[0])]


def check_settings(
    rounds: int, rule: str, temperature: float, momentum: float = 0.0, warmup: int = 0
) -> None:
    """UserError for what makes no sense."""
    at_least_one(rounds=rounds)
    if rule not in RULES:
        raise UserError(f"rule '{rule}' is not one of {', '.join(RULES)}")
    if not temperature > 0 or not 0 <= momentum < 1 or warmup < 0:
        raise UserError(
            f"temperature={temperature}, momentum={momentum}, warmup={warmup}: above 0, from 0 to "
            f"below 1, 0 or more"
        )


def softmax(
    rewards: Mapping[int, float], alive: Sequence[int], temperature: float
) -> dict[int, float]:
    """Of the alive options; one without a reward has the mean share of the others."""
    known = {place: rewards[place] / temperature for place in alive if place in rewards}
    if not known:
        return {place: 1.0 / len(alive) for place in alive}
    highest = max(known.values())
    powers = {place: math.exp(value - highest) for place, value in known.items()}
    mean = math.fsum(powers.values()) / len(powers)
    whole = {place: powers.get(place, mean) for place in alive}
    total = math.fsum(whole.values())
    return {place: value / total for place, value in whole.items()}


def prunable(
    distribution: Categorical, name: str, protected: Sequence[Sequence[Any]] = ()
) -> list[int]:
    """The alive options of a decision that may go: not the last one, nor the last of a protected
    group."""
    alive, options = distribution.alive[name], distribution.options[name]
    if len(alive) < 2:
        return []
    immune = set()
    for group in protected:
        members = [place for place in alive if options[place] in group]
        immune |= set(members) if len(members) == 1 else set()
    return [place for place in alive if place not in immune]


def prune_worst(
    distribution: Categorical, name: str, protected: Sequence[Sequence[Any]], rng: Random
) -> None:
    """Takes the option of smallest theta out, of equal ones any."""
    candidates = prunable(distribution, name, protected)
    theta = distribution.theta[name]
    least = min(theta[place] for place in candidates)
    distribution.prune(name, rng.choice([place for place in candidates if theta[place] == least]))


def proposals(
    space: SearchSpace, rounds: int = 3, warmup: int = 0, protected: Sequence[Sequence[Any]] = ()
) -> int:
    """How many architectures `pruning` proposes in all, the survivor included; what it is told does
    not matter."""
    distribution, rng = Categorical(space), Random(0)
    total = 1 + warmup * distribution.hands
    while names := [
        name for name in distribution.options if prunable(distribution, name, protected)
    ]:
        total += rounds * distribution.hands
        for name in names:
            prune_worst(distribution, name, protected, rng)
    return total


def evaluations(options: int, rounds: int) -> int:
    """n(K, T) = T (K (K + 1) / 2 - 1): architectures tried until one option of `options` is left,
    whatever the decisions."""
    return rounds * (options * (options + 1) // 2 - 1)
