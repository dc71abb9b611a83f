"""Searches by a moving distribution: SNG, ASNG, their pruning forms, MIGO (natural gradients) and
MDENAS (pairwise votes)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem
from archsmith.searchers.categorical import FINAL, Categorical, Rows, rewards_of
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.pruning import prunable, prune_worst
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import Architecture

Utility = Callable[[Sequence[float]], list[float]]  # rewards -> utilities


def by_steps(rewards: Sequence[float]) -> list[float]:
    """+1/m for the best m = ceil(n / 4), -1/m for the worst m, 0 for the others; equal rewards
    share (SNG, ASNG)."""
    count = math.ceil(len(rewards) / 4)
    order = sorted(range(len(rewards)), key=lambda i: rewards[i])
    raw = [0.0] * len(rewards)
    for place, i in enumerate(order):
        raw[i] += (place >= len(order) - count) / count - (place < count) / count
    return _shared(rewards, raw)


def by_logarithm(rewards: Sequence[float], height: float = 0.4) -> list[float]:
    """clip(h ln((1 + x) / (1 - x)), -1, 1), x = 1.5 (rank - mean rank) / n; equal rewards share
    (MIGO)."""
    count = len(rewards)
    order = sorted(range(count), key=lambda i: rewards[i])
    raw = [0.0] * count
    for place, i in enumerate(order):
        x = 1.5 * (place - (count - 1) / 2) / count
        raw[i] = max(-1.0, min(1.0, height * math.log((1 + x) / (1 - x))))
    return _shared(rewards, raw)


def _shared(rewards: Sequence[float], raw: Sequence[float]) -> list[float]:
    groups: dict[float, list[float]] = {}
    for reward, value in zip(rewards, raw, strict=True):
        groups.setdefault(reward, []).append(value)
    return [math.fsum(groups[reward]) / len(groups[reward]) for reward in rewards]


def direction(
    distribution: Categorical, archs: Sequence[Architecture], utilities: Sequence[float]
) -> Rows:
    """G = mean of u_j (X_j - theta): the natural gradient of the expected utility in expectation
    parameters.

    A decision that an architecture does not have adds nothing for it.
    """
    gradient: Rows = {}
    for name, theta in distribution.theta.items():
        row = [0.0] * len(theta)
        for arch, utility in zip(archs, utilities, strict=True):
            taken = distribution.place(name, arch)
            if taken is not None:
                for place, probability in enumerate(theta):
                    row[place] += utility * ((place == taken) - probability) / len(archs)
        gradient[name] = row
    return gradient


def fisher_norm(distribution: Categorical, gradient: Rows) -> float:
    """sqrt(sum over decisions and options of G^2 / theta)."""
    return math.sqrt(
        math.fsum(
            g * g / t
            for name, row in gradient.items()
            for g, t in zip(row, distribution.theta[name], strict=True)
            if t > 0
        )
    )


@searcher
def sng(
    problem: Problem, seed: int = 0, samples: int = 2, step: float = 1.0, total: int = 0
) -> Proposals:
    """Stochastic natural gradient: theta <- theta + step G / |G| (Akimoto and others, ICML 2019,
    without adaptation).

    `samples` architectures from theta a step; probabilities stay above a bound. `total`: after so
    many evaluations the mode is proposed ("mode") and the search ends; 0: it never does.
    """
    return (
        yield from _natural(
            problem,
            seed,
            samples,
            total=total,
            move=lambda d, a, r: _moved(d, a, by_steps(r), step),
        )
    )


@searcher
def asng(
    problem: Problem, seed: int = 0, samples: int = 2, alpha: float = 1.5, total: int = 0
) -> Proposals:
    """SNG whose trust region adapts to the signal in the steps (Akimoto and others, ICML 2019,
    algorithm 1)."""
    adapted = Adaptation(alpha)
    return (
        yield from _natural(
            problem,
            seed,
            samples,
            total=total,
            move=lambda d, a, r: adapted.move(d, a, by_steps(r)),
        )
    )


@searcher
def migo(
    problem: Problem,
    seed: int = 0,
    samples: int = 6,
    momentum: float = 0.9,
    step: float = 1.0,
    total: int = 0,
) -> Proposals:
    """Natural gradient with logarithmic utilities and momentum: v <- m v + (1 - m) step, theta <-
    theta + v (Zheng and others, TPAMI 2021)."""
    velocity: Rows = {}

    def move(
        distribution: Categorical, archs: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        gradient = direction(distribution, archs, by_logarithm(rewards))
        norm = fisher_norm(distribution, gradient)
        for name, row in gradient.items():
            before = velocity.get(name, [0.0] * len(row))
            scaled = [step * g / norm if norm > 0 else 0.0 for g in row]
            velocity[name] = [
                momentum * v + (1 - momentum) * g for v, g in zip(before, scaled, strict=True)
            ]
            distribution.theta[name] = [
                t + v for t, v in zip(distribution.theta[name], velocity[name], strict=True)
            ]
        distribution.bound()

    return (yield from _natural(problem, seed, samples, total=total, move=move))


@searcher
def dynamic_sng(problem: Problem, seed: int = 0, rounds: int = 3, step: float = 1.0) -> Proposals:
    """A step of SNG for each Latin round, and the least probable option of every decision pruned
    after `rounds` of them."""
    return (
        yield from _dynamic(problem, seed, rounds, lambda d, a, r: _moved(d, a, by_steps(r), step))
    )


@searcher
def dynamic_asng(problem: Problem, seed: int = 0, rounds: int = 3, alpha: float = 1.5) -> Proposals:
    """`dynamic_sng` with the steps of ASNG."""
    adapted = Adaptation(alpha)
    return (
        yield from _dynamic(problem, seed, rounds, lambda d, a, r: adapted.move(d, a, by_steps(r)))
    )


@searcher
def mdenas(problem: Problem, seed: int = 0, alpha: float = 0.01, total: int = 0) -> Proposals:
    """Zheng and others (ICCV 2019): what was trained no more often and yet does better takes
    probability from the other.

    After each sample, for every pair of options of a decision: if i was tried at least as often as
    j and was last worse, it gives j min(alpha, theta_i). `total` as in `sng`.
    """
    if not 0 < alpha < 1:
        raise UserError(f"alpha={alpha}; give a share between 0 and 1")
    times: dict[str, list[int]] = {}
    last: dict[str, list[float]] = {}

    def move(
        distribution: Categorical, archs: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        for name, theta in distribution.theta.items():
            tried, reward = (
                times.setdefault(name, [0] * len(theta)),
                last.setdefault(name, [0.0] * len(theta)),
            )
            taken = distribution.place(name, archs[0])
            if taken is None:
                continue
            tried[taken] += 1
            reward[taken] = rewards[0]
            for i in range(len(theta)):
                for j in range(len(theta)):
                    if i != j and tried[j] and tried[i] >= tried[j] and reward[i] < reward[j]:
                        given = min(alpha, theta[i])
                        theta[i] -= given
                        theta[j] += given

    return (yield from _natural(problem, seed, 1, total=total, move=move))


class Adaptation:
    """ASNG's trust region: grows while steps point the same way, shrinks where they cancel
    (algorithm 1 of the paper)."""

    def __init__(self, alpha: float = 1.5, initial: float = 1.0, largest: float = math.inf) -> None:
        self.alpha, self.initial, self.largest = alpha, initial, largest
        self.size, self.weight = 1.0, 0.0  # Delta and gamma
        self.path: Rows = {}

    def move(
        self, distribution: Categorical, archs: Sequence[Architecture], utilities: Sequence[float]
    ) -> None:
        """One step; none where all utilities are 0."""
        gradient = direction(distribution, archs, utilities)
        norm = fisher_norm(distribution, gradient)
        if norm == 0:
            return
        count = sum(len(row) - 1 for row in distribution.theta.values())
        length = self.initial / self.size
        beta = length / math.sqrt(count)
        scale = math.sqrt(beta * (2 - beta))
        before = {name: list(row) for name, row in distribution.theta.items()}
        for name, row in gradient.items():
            path = self.path.get(name, [0.0] * len(row))
            self.path[name] = [
                (1 - beta) * p + scale * (g / math.sqrt(t) if t > 0 else 0.0) / norm
                for p, g, t in zip(path, row, before[name], strict=True)
            ]
            distribution.theta[name] = [
                t + length * g / norm for t, g in zip(before[name], row, strict=True)
            ]
        self.weight = (1 - beta) ** 2 * self.weight + beta * (2 - beta)
        squared = math.fsum(p * p for row in self.path.values() for p in row)
        self.size = min(
            self.largest, self.size * math.exp(beta * (self.weight - squared / self.alpha))
        )
        distribution.bound()


Move = Callable[[Categorical, Sequence[Architecture], Sequence[float]], None]


def _moved(
    distribution: Categorical,
    archs: Sequence[Architecture],
    utilities: Sequence[float],
    step: float,
) -> None:
    gradient = direction(distribution, archs, utilities)
    norm = fisher_norm(distribution, gradient)
    if norm == 0:
        return
    for name, row in gradient.items():
        distribution.theta[name] = [
            t + step * g / norm for t, g in zip(distribution.theta[name], row, strict=True)
        ]
    distribution.bound()


def _natural(problem: Problem, seed: int, samples: int, total: int, move: Move) -> Proposals:
    """`samples` architectures from theta, one move, again; the mode at the end."""
    at_least_one(samples=samples)
    rng = Random(seed)
    untried, distribution, spent = Untried(problem, rng), Categorical(problem.space), 0
    while distribution.options and (not total or spent + samples <= total):
        trials = yield [
            Candidate(untried.repaired(distribution.draw(rng)), origin="distribution")
            for _ in range(samples)
        ]
        spent += len(trials)
        move(distribution, [trial.arch for trial in trials], rewards_of(trials))
    yield [Candidate(untried.repaired(distribution.mode()), origin=FINAL[1])]


def _dynamic(problem: Problem, seed: int, rounds: int, move: Move) -> Proposals:
    """Latin rounds with a move after each, a pruning after every `rounds` of them; the survivor at
    the end."""
    at_least_one(rounds=rounds)
    rng = Random(seed)
    untried, distribution = Untried(problem, rng), Categorical(problem.space)
    while names := [name for name in distribution.options if prunable(distribution, name)]:
        for _ in range(rounds):
            trials = yield [
                Candidate(untried.repaired(arch), origin="dealt") for arch in distribution.deal(rng)
            ]
            move(distribution, [trial.arch for trial in trials], rewards_of(trials))
        for name in names:
            prune_worst(distribution, name, (), rng)
    yield [Candidate(untried.repaired(distribution.mode()), origin=FINAL[0])]
