"""The one clock of a run with --time: what each part may take, planned from what is left so that
training comes first.

The only place that knows shares of the time. Whatever comes before training has a deadline of its
own and is cut there; what it leaves goes to training. The search's side of a run is all of it but
the training of the hand-made reference.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from archsmith.training.halving import rungs_for, work

TRAINED = 0.6  # of the search's side, at least: the training of the network that ships
# where a reference leaves less than this for training, none is trained: there is no time for both
_BESIDE = 0.9 * TRAINED
# of an arm's time for training: the rest is looking at validation images and checkpoints
TRIED = 0.92
IN_HAND = 2.0  # times what it takes, so that shipping ends in time
SHIP_S = IN_HAND * 2.0  # exporting, verifying, timing and reporting on a quiet core
# ... of a network of few layers; each more takes so long to trace, verify and draw (result
# shipping-layers)
_SHIPPED_LAYERS, _SHIP_LAYER_S = 30, 0.025
_LOOKED = 0.75  # of what is kept for looking at the test images
_UNSTEADY = 1.3  # a machine that is busy is so by turns, and shipping may meet its worst
_SHIP = 0.25  # of the time, at most
# of an arm's time, at most: scores before training, or estimates by shared weights
_SCORING, _SCORING_S = 1 / 12, 600.0
# of an arm's time, at most: training weights that networks share, and checking what they estimate
_SHARED = 0.4
# ... which the network that ships goes on with
_KEPT = 0.5
_SPARE = 0.3, 0.4  # of what training can do without, at most: scores, shared weights
# of the time, at most: what the space costs, timing its blocks, the reference
_COSTS, _LATENCY, _REFERENCE = 0.015, 0.15, 0.04
# of what the winner's training took, to train it once more: with less it stays as it is
_REFIT_LEAST = 0.5
_SAME_S = 1e-3  # seconds
# seconds left, and how many networks are trained side by side at most
_MANY = ((7200.0, 8), (1800.0, 6), (0.0, 4))

# Of the seconds for scores: what is left of them when each part has ended, and the share in which
# networks are scored.
SCORING_PARTS = {
    "ranks": 0.9,
    "timing": 0.85,
    "screen": 0.75,
    "pace": 0.6,
    "promising": 0.5,
    "search": 0.25,
    "search-random": 0.0,
}
SCORED = 0.73
SCORING_LEAST_S = 2.0  # below which not even a score is timed
# with --steps, where time plays no part but for what a stage says of itself
SCORING_UNTIMED_S = 60.0
# so much of a trial's time at most is kept back for one more: one slow network must not end a
# search
PIECE_S = 3.0

# Of the seconds, or steps, for weights that networks share.
SHARED_STEPS = 0.4  # of all steps
SHARED_TRAINING = 0.85  # the rest checks estimates on a few networks trained by themselves
SHARED_LEAST_STEPS = 100  # fewer teach nothing
SHARED_LEAST_S = 2.0  # in which no network takes so many: not even a step is timed
ESTIMATE = 0.002  # at most, for one estimate
PARENT = 0.5  # of the training, where a supernet is split: the supernet of the whole space
PART_LEAST_S = 4.0  # seconds of training for a part; where time is shorter, there are fewer
JUDGING = 0.1  # of the training at most, to find where to split

SAMPLE = 0.004  # of an arm's time for one look at some validation images; there are about ten
LOOKING = 0.04  # of it for all of them, at most, where fewer images would tell nothing
BUSY = 0.05  # of the time lost to other work, from which on it is said


@dataclass(frozen=True)
class Plan:
    """Seconds, decided once, when the budget and the space are known.

    `search` and `reference`: the two arms, equal; 0 for a reference that is not trained. Of the
    search's arm `sharing` is for weights that networks share, `scoring` for scores or estimates,
    the rest for training `finalists` networks, of which the one that ships gets `training`, and
    after both arms `refit` where it is trained once more.
    """

    search: float
    reference: float
    sharing: float
    scoring: float
    training: float
    finalists: int
    refit: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Field name -> value."""
        return asdict(self)


def planned(
    total_s: float, left_s: float, *, reference: bool, shares: bool, kept: bool = False
) -> Plan:
    """The plan for `left_s` of `total_s` seconds, what shipping takes not among them.

    `reference`: a hand-made network is trained for as long, where the time is enough for both;
    `shares`: the method trains weights that networks share; `kept`: the one that ships goes on with
    them.
    """
    reference = reference and TRIED * left_s / 2 >= _BESIDE * (total_s - left_s / 2)
    arm = max(1.0, left_s / 2 if reference else left_s)
    side = total_s - (arm if reference else 0.0)
    wanted = TRAINED * side  # seconds of training for the network that ships
    spare = max(0.0, TRIED * arm - wanted)
    scoring = min(_SCORING_S, _SCORING * arm, _SPARE[0] * spare)
    sharing = min(_SHARED * arm, _SPARE[1] * spare) if shares else 0.0
    if shares and kept:
        sharing, wanted = _KEPT * arm, max(0.0, wanted - _KEPT * arm)
    rest = TRIED * (arm - scoring - sharing)
    most = next(count for least, count in _MANY if max(0.0, left_s) >= least)
    fits = [count for count in range(1, most + 1) if rest / work(count, rungs_for(count)) >= wanted]
    finalists = max(fits, default=1)
    training = max(1.0, rest / work(finalists, rungs_for(finalists)))
    return Plan(
        arm, arm if reference else 0.0, sharing, scoring, training=training, finalists=finalists
    )


def refitted(
    total_s: float, left_s: float, *, reference: bool, shares: bool, kept: bool = False
) -> Plan:
    """The plan where the network that ships is trained once more, as `planned` is asked for it.

    That takes about what the winner's training took, and as much is kept for it: with one network
    in the race and no reference half of what is left. All else is planned as if there were so much
    less time.
    """
    plan_for = partial(planned, reference=reference, shares=shares, kept=kept)
    plan, refit = plan_for(total_s, left_s), 0.0
    share = plan.training / (TRIED * max(left_s, 1.0))
    wanted = left_s * share / (1.0 + share)
    while wanted > refit:  # plans change by leaps: with less time fewer may race
        refit = min(wanted, left_s)
        plan = plan_for(total_s - refit, left_s - refit)
        wanted = plan.training / TRIED - _SAME_S
    return replace(plan, refit=refit)


def refit_steps(steps: int, networks: int) -> int:
    """Of an arm's steps those that train the winner of so many networks once more: as many as in
    the race."""
    return int(steps / (work(networks, rungs_for(networks)) + 1))


def refit_s(best_s: float, left_s: float) -> float | None:
    """Seconds of training on all images, for a network that was best after `best_s` seconds and
    with so many left; None where they are too few for it."""
    seconds = min(best_s, TRIED * left_s)
    return seconds if seconds >= _REFIT_LEAST * best_s else None


def first_guess(total_s: float, reference: bool, refit: bool = False) -> float:
    """Seconds of training for the network that ships, before anything is known; `refit`: each time
    where it is trained twice."""
    return max(1.0, (TRAINED + 0.1) * total_s / _trainings(reference, refit))


def total_for(training_s: float, reference: bool, refit: bool = False) -> float:
    """What --time must be for so many seconds of training: the other way round."""
    return training_s / (TRAINED + 0.1) * _trainings(reference, refit)


def _trainings(reference: bool, refit: bool) -> float:
    """Whole trainings in a run: the winner's, the reference's, the winner's once more."""
    return 1.0 + reference + refit


def shipping(total_s: float, slowdown: float = 1.0, more_s: float = 0.0) -> float:
    """Seconds to keep for shipping: what it takes on a quiet machine times `slowdown`, and `more_s`
    beside it."""
    return min(SHIP_S * max(1.0, slowdown) ** _UNSTEADY + more_s, _SHIP * total_s)


def shipping_layers(layers: int) -> float:
    """Seconds that shipping takes on a quiet machine for what a network has beyond few layers."""
    return _SHIP_LAYER_S * max(0, layers - _SHIPPED_LAYERS)


def expected_shipping(more_s: float = 0.0) -> float:
    """Seconds that shipping takes on a quiet machine, `more_s` being kept for looks (result
    stage-times-ship)."""
    return SHIP_S / IN_HAND + _LOOKED * more_s


def profiling(total_s: float) -> float:
    """Seconds for counting what a sample of the space costs."""
    return _COSTS * total_s


def timing_blocks(total_s: float) -> float:
    """Seconds for the latency table, all of it: blocks, whole networks and their error."""
    return _LATENCY * total_s


def scaling_reference(total_s: float) -> float:
    """Seconds for scaling the hand-made networks to the budget."""
    return _REFERENCE * total_s
