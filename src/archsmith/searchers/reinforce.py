"""REINFORCE: a categorical policy per decision, moved towards what was better than usual (Williams
1992)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from archsmith.errors import UserError
from archsmith.problem import Candidate, Problem, Trial
from archsmith.searchers.categorical import Categorical
from archsmith.searchers.loop import Proposals, searcher
from archsmith.searchers.untried import Untried, at_least_one
from archsmith.space import Architecture, SearchSpace

# draws in a row that were measured before, until a random architecture takes their place
_REPEATS = 100


@searcher
def reinforce(
    problem: Problem, seed: int = 0, batch: int = 1, rate: float = 0.2, momentum: float = 0.9
) -> Proposals:
    """Williams (Machine Learning 1992), as Zoph and Le (ICLR 2017) use it: gradient ascent on the
    expected reward.

    The gradient of log p(architecture) times (reward - baseline), with an exponential moving
    average of the rewards as the baseline; the reward is minus the first loss, that of the worst so
    far where nothing was measured. The policy has independent logits per decision, of which those
    that an architecture has are moved, where Zoph and Le have a recurrent network. Deviations: the
    advantage is divided by a moving standard deviation, so that `rate` does not depend on the unit;
    an architecture that comes again teaches with the trial it has and is not measured again; one
    that breaks a cheap constraint is repaired first.
    """
    at_least_one(batch=batch)
    if rate <= 0 or not 0 <= momentum < 1:
        raise UserError(
            f"rate={rate}, momentum={momentum}; give a rate above 0 and a momentum "
            f"from 0 to below 1"
        )
    rng = Random(seed)
    untried = Untried(problem, rng)
    policy = Policy(problem.space, rate, momentum)
    known: dict[Architecture, Trial] = {}

    def proposal() -> Candidate | None:
        for _ in range(_REPEATS if known else 0):
            arch = untried.repaired(policy.distribution.draw(rng))
            if arch in known:
                policy.learn(known[arch])
            elif untried.fits(arch) and untried.taken([arch]):  # else it waits in this batch
                return Candidate(arch, origin="policy")
        return next((Candidate(arch, origin="random") for arch in untried.draw(1)), None)

    while candidates := [
        candidate for candidate in (proposal() for _ in range(batch)) if candidate
    ]:
        for trial in (yield candidates):
            known[trial.arch] = trial
            policy.learn(trial)


class Policy:
    """The logits of a categorical distribution, and the moving mean and variance of the rewards."""

    def __init__(self, space: SearchSpace, rate: float, momentum: float) -> None:
        self.distribution = Categorical(space)
        self._rate, self._momentum = rate, momentum
        self._logits = {name: [0.0] * len(row) for name, row in self.distribution.theta.items()}
        self._baseline: float | None = None
        self._variance = 0.0
        self._worst = 0.0

    def learn(self, trial: Trial) -> None:
        """One step of gradient ascent; the first measured trial only sets the baseline."""
        if trial.losses:
            reward = -trial.losses[0]
            self._worst = reward if self._baseline is None else min(self._worst, reward)
        elif self._baseline is None:
            return
        else:
            reward = self._worst
        if self._baseline is None:
            self._baseline = reward
        advantage = reward - self._baseline
        self._variance = self._momentum * self._variance + (1 - self._momentum) * advantage**2
        self._baseline += (1 - self._momentum) * advantage
        if not self._variance:
            return
        step = self._rate * advantage / math.sqrt(self._variance)
        for name, row in self.distribution.theta.items():
            taken = self.distribution.place(name, trial.arch)
            if taken is not None:
                logits = self._logits[name]
                moved = [
                    z + step * ((place == taken) - p)
                    for place, (z, p) in enumerate(zip(logits, row, strict=True))
                ]
                self._logits[name], self.distribution.theta[name] = moved, _softmax(moved)


def _softmax(logits: Sequence[float]) -> list[float]:
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / sum(powers) for power in powers]
