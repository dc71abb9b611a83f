"""Successive halving over networks in training: each rung trains the survivors further, and keeps
the best by validation."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.former import current
from archsmith.elastic.supernet import calibrate
from archsmith.errors import EvaluationFailed, UserError
from archsmith.metrics.chance import against_constant
from archsmith.metrics.cost import params
from archsmith.training.checkpoint import resumed_or_started, save
from archsmith.training.growing import Smaller, takes
from archsmith.training.halving import Rung, rungs_for, work
from archsmith.training.identity import pass_on
from archsmith.training.loop import advance, start
from archsmith.training.precision import tried
from archsmith.training.recipe import Precision, Recipe
from archsmith.training.state import TrainState
from archsmith.training.step import Backward, whole
from archsmith.training.whiten import whiten

Stream = Callable[[int], Iterator[tuple[Tensor, Tensor]]]  # the step to begin at -> endless batches
Evaluate = Callable[[nn.Module], dict[str, Any]]
# a decision made once and read back on resume: `Run.decide`
Decide = Callable[[str, Callable[[], Any]], Any]
# a point of the learning curve every tenth of the training, or every fifth
_CURVE, _COARSE = 0.1, 0.2
_SLOW_S = 0.2  # a first look that takes so long is believed, warm or not
_WHITENING = 8  # batches whose patches the first convolution begins with
_TRIED = 3  # batches on which the precision is tried
_CALIBRATION = 16  # batches that set BatchNorm's statistics before a cut
# a checkpoint every so many seconds, and at each point of the curve; what one takes, for each
# parameter as well, half of it in hand (result checkpoint-seconds)
_SAVED_S, _SAVE_S, _SAVE_PARAMETER_S = 30.0, 0.03, 1.2e-7


@dataclass(frozen=True)
class Entrant:
    """One network in the race: its name (file-safe) and how to make it anew, untrained.

    `begin`: how to make it with the weights that its training begins with, where that takes more
    than making it: then it is done only where there is no checkpoint.
    """

    name: str
    make: Callable[[], nn.Module]
    begin: Callable[[], nn.Module] | None = None


@dataclass
class Standing:
    """How far an entrant came. `failed` says why it left the race, if training it went wrong."""

    name: str
    progress: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    val_measure: float | None = None  # by the task's measure, on validation images
    above: bool | None = None  # whether that is better than the same answer always would be
    precision: str = "float32"  # it was trained in
    curve: list[dict[str, Any]] = field(default_factory=list)
    failed: str | None = None


@dataclass(frozen=True)
class Field:
    """What all entrants of a race share. `budget`: training steps, or seconds with everything
    (`timed`), of the whole race."""

    arm: str  # names checkpoints and decisions
    recipe: Recipe
    budget: float
    timed: bool
    stream: Stream
    evaluate: Evaluate  # at the end of a training: on all of the validation images
    sample: Evaluate  # for the curve and for the cuts before: on some of them
    sampled: float  # the share of the images that is
    looking: float  # of the budget, at most, for a curve of all its points; else of half as many
    folder: Path
    decide: Decide
    device: torch.device
    seed: int
    class_counts: Sequence[int]
    fresh: bool = True  # the weights are newly drawn, not given
    # what a step computes, asked for where one is trained: labels alone, or a teacher as well
    step: Callable[[], Backward] = lambda: whole
    looks: bool = True  # at validation images on the way
    precisions: Sequence[Precision] = ()  # tried beside the recipe's on each network
    of: Mapping[str, Any] = field(default_factory=dict)  # whose training it is, for the checkpoints
    note: Callable[[str], None] = lambda text: None  # tells a person
    now: Callable[[], float] = time.monotonic
    # seconds of the budget used so far, earlier processes included
    spent: Callable[[], float] = lambda: 0.0
    tell: Callable[[str, float], None] = lambda text, share: None


def train_finalists(
    entrants: Sequence[Entrant], field: Field, rungs: Sequence[Rung] | None = None
) -> list[Standing]:
    """All entrants, best first: by how far they came, then by validation accuracy; failed ones
    last.

    Resumable: each entrant's checkpoint holds how far it is, and `decide` each rung's outcome. With
    steps the outcome is the same to the bit; with time the rest of the budget is used. Raises
    EvaluationFailed where every network failed.
    """
    rungs = rungs_for(len(entrants)) if rungs is None else rungs
    standings = {entrant.name: Standing(entrant.name) for entrant in entrants}
    alive = list(entrants)
    for position, rung in enumerate(rungs):
        done = sum(standings[entrant.name].seconds for entrant in alive)
        length = _length(
            field, alive, rungs=rungs, position=position, entrants=len(standings), done=done
        )
        for order, entrant in enumerate(alive):
            share = (order + 0.5) / len(alive)
            field.tell(
                f"rung {position + 1} of {len(rungs)}: {entrant.name} ({order + 1} of "
                f"{len(alive)})",
                share,
            )
            train = partial(_run, entrant, field, until=rung.until, length=length)
            outcome = field.decide(
                f"{field.arm}/rung{position}/{entrant.name}",
                lambda run=train: vars(run()),  # type: ignore[misc]
            )
            standings[entrant.name] = Standing(**outcome)
        running = [entrant for entrant in alive if standings[entrant.name].failed is None]
        if not running:
            reasons = "; ".join(f"{s.name}: {s.failed}" for s in standings.values() if s.failed)
            raise EvaluationFailed(f"every network failed to train: {reasons}")
        alive = sorted(running, key=lambda e: -(standings[e.name].val_measure or 0.0))[: rung.keep]
    return sorted(
        standings.values(),
        key=lambda s: (s.failed is not None, -round(s.progress, 6), -(s.val_measure or 0.0)),
    )


def _length(
    field: Field,
    alive: list[Entrant],
    *,
    rungs: Sequence[Rung],
    position: int,
    entrants: int,
    done: float,
) -> float:
    """Steps, or training seconds, of one full training, so that what is left of the race fits what
    is left of its budget.

    With time it is found anew before each rung: what is left, less what looking at validation
    images and keeping checkpoints will take. It is recorded, and kept by a resumed run.
    """
    if not field.timed:
        return max(1, int(field.budget / work(entrants, rungs)))

    def fit() -> float:
        network = alive[0].make()
        sampling = field.decide(f"{field.arm}/glance", lambda: _sampling_seconds(network, field))
        dear = sampling / _CURVE > field.looking * field.budget
        every = _every(field, _COARSE if dear else _CURVE)
        saving = _SAVE_S + _SAVE_PARAMETER_S * params(network)
        looking, before, count = 0.0, rungs[position - 1].until if position else 0.0, len(alive)
        for rung in rungs[position:]:
            points = (rung.until - before) / every + 1
            looking += count * sampling * (points + (1 / field.sampled if rung.until >= 1 else 1))
            looking += count * saving * points
            count, before = min(count, rung.keep), rung.until
        # from nothing: what the alive ones have done is added on the other side
        trainings = work(len(alive), rungs[position:])
        return max(
            1.0,
            ((field.budget - field.spent() - looking) / (1.0 + saving / _SAVED_S) + done)
            / trainings,
        )

    return float(field.decide(f"{field.arm}/rung{position}/seconds", fit))


def _every(field: Field, share: float = _CURVE) -> float:
    """Of the training, from one point of its learning curve to the next: as was decided first."""
    return float(field.decide(f"{field.arm}/curve", lambda: share))


def _sampling_seconds(network: nn.Module, field: Field) -> float:
    """What one point of a learning curve takes, found with an untrained network; the second look
    counts, the first warms up."""
    network = network.to(device=field.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    taken: list[float] = []
    while len(taken) < 2 and (not taken or taken[0] < _SLOW_S):
        began = field.now()
        field.sample(network)
        taken.append(field.now() - began)
    return taken[-1]


def checkpoint_path(field: Field, name: str) -> Path:
    """Where an entrant's training is kept."""
    return field.folder / f"{field.arm}-{name}.safetensors"


def _resumed(entrant: Entrant, field: Field) -> TrainState:
    """The entrant's training as far as it came; a torn or changed checkpoint is put aside and the
    training starts anew."""
    of = {**field.of, "arm": field.arm, "network": entrant.name}
    begin = partial(_started, entrant, field, of)
    path = checkpoint_path(field, entrant.name)
    state = resumed_or_started(
        path, entrant.make, begin, device=field.device, tell=field.note, of=of
    )
    state.history = current(state.history)  # an earlier version may have begun it
    return state


def _started(entrant: Entrant, field: Field, of: Mapping[str, Any]) -> TrainState:
    network, recipe = (entrant.begin or entrant.make)(), _recipe(entrant, field)
    if recipe.identity and field.fresh:
        pass_on(network)
    if recipe.whiten and field.fresh:
        whiten(
            network, torch.cat([x for x, _ in itertools.islice(field.stream(0), _WHITENING)]).cpu()
        )
    return start(
        network,
        recipe,
        seed=field.seed,
        device=field.device,
        class_counts=field.class_counts,
        fresh=field.fresh,
        of=of,
    )


def _recipe(entrant: Entrant, field: Field) -> Recipe:
    """The field's, in the precision in which this network trains fastest.

    Whole images where it takes no other ones, or has weights that know what whole ones look like.
    """
    recipe = (
        replace(field.recipe, precision=paced(entrant, field)["precision"])
        if field.precisions
        else field.recipe
    )
    if recipe.grow >= 1:
        return recipe
    grows = field.fresh and field.decide(
        f"{field.arm}/grows/{entrant.name}", lambda: _grows(entrant, field)
    )
    return recipe if grows else replace(recipe, grow=1.0)


def _grows(entrant: Entrant, field: Field) -> bool:
    x = next(iter(field.stream(0)))[0][:2]
    return takes(entrant.make().to(field.device), field.recipe, x.to(field.device))


def paced(entrant: Entrant, field: Field) -> dict[str, Any]:
    """In which precision a network trains fastest, and the milliseconds per image in each; found
    once, read back."""

    def fastest() -> dict[str, Any]:
        batches = list(itertools.islice(field.stream(0), _TRIED))
        trial = tried(
            entrant.make(),
            batches,
            field.recipe,
            device=field.device,
            precisions=field.precisions,
            class_counts=field.class_counts,
            backward=field.step(),
            now=field.now,
            judge=time.process_time if field.device.type == "cpu" else None,
        )
        return {"precision": trial.fastest, "ms": dict(trial.ms)}

    return field.decide(f"{field.arm}/precision/{entrant.name}", fastest)


def _run(entrant: Entrant, field: Field, until: float, length: float) -> Standing:
    """Trains one entrant to `until` and evaluates it; whatever the network does wrong becomes the
    reason in its standing."""
    state = None
    try:
        state = _resumed(entrant, field)
        share = lambda s: s.seconds / length if field.timed else s.step / length  # noqa: E731
        advance(
            state,
            field.stream(state.step),
            total_steps=None if field.timed else int(length),
            total_seconds=length if field.timed else None,
            until=until,
            evaluate=(lambda network: field.sample(Smaller(network, state.recipe, share(state))))
            if field.looks
            else None,
            evaluate_every=_every(field),
            on_progress=lambda s, p: field.tell(
                f"{entrant.name}: step {s.step}", min(1.0, p / until)
            ),
            checkpoint=checkpoint_path(field, entrant.name),
            every=_SAVED_S,
            now=field.now,
            backward=field.step(),
        )
        metrics = (
            field.evaluate(state.network)
            if until >= 1
            else field.sample(_calibrated(state, field, until))
        )
        above = against_constant(metrics)["above"] if "interval" in metrics else None
        progress = min(until, share(state))
        return Standing(
            entrant.name,
            progress,
            state.step,
            seconds=state.seconds,
            val_measure=metrics["accuracy"],
            above=above,
            precision=state.recipe.precision,
            curve=state.history,
        )
    except UserError:
        raise
    except (EvaluationFailed, RuntimeError, ValueError, TypeError) as error:
        steps, seconds, history = (
            (state.step, state.seconds, state.history) if state else (0, 0.0, [])
        )
        failed = f"{type(error).__name__}: {error}"
        return Standing(entrant.name, 0.0, steps, seconds, curve=history, failed=failed)


def _calibrated(state: TrainState, field: Field, share: float) -> nn.Module:
    """A copy of its network whose BatchNorm statistics are those of its own weights, for images as
    large as at that share.

    While weights still move fast the averaged statistics lag: a cut after 30 % of the training saw
    accuracies 1 to 5 points too low (CIFAR-10). At the end they are the better ones.
    """
    first = itertools.islice(field.stream(0), _CALIBRATION)
    return calibrate(
        Smaller(copy.deepcopy(state.network), state.recipe, share), (x for x, _ in first)
    )


def served(entrants: Sequence[Entrant], field: Field) -> list[Standing]:
    """Networks that are good as they are, best first: BatchNorm's statistics set anew, nothing
    trained, each looked at once.

    Their weights are kept as those of a race, so that `trained` gives them back. Raises
    EvaluationFailed where all failed.
    """
    standings = [
        Standing(
            **field.decide(
                f"{field.arm}/served/{entrant.name}",
                lambda one=entrant: vars(_serve(one, field)),  # type: ignore[misc]
            )
        )
        for entrant in entrants
    ]
    if all(standing.failed for standing in standings):
        raise EvaluationFailed(
            "no network could be looked at: "
            + "; ".join(f"{s.name}: {s.failed}" for s in standings)
        )
    return sorted(standings, key=lambda s: (s.failed is not None, -(s.val_measure or 0.0)))


def _serve(entrant: Entrant, field: Field) -> Standing:
    recipe = replace(field.recipe, ema=0.0, whiten=False, identity=False, grow=1.0)
    began = field.now()
    try:
        network = (entrant.begin or entrant.make)().to(field.device)
        calibrate(network, (x for x, _ in itertools.islice(field.stream(0), _CALIBRATION)))
        metrics = field.evaluate(network.eval())
        of = {**field.of, "arm": field.arm, "network": entrant.name}
        state = start(
            network,
            recipe,
            seed=field.seed,
            device=field.device,
            class_counts=field.class_counts,
            fresh=False,
            of=of,
        )
        save(state, checkpoint_path(field, entrant.name))
    except UserError:
        raise
    except (EvaluationFailed, RuntimeError, ValueError, TypeError) as error:
        return Standing(entrant.name, failed=f"{type(error).__name__}: {error}")
    above = against_constant(metrics)["above"] if "interval" in metrics else None
    return Standing(
        entrant.name, 1.0, 0, field.now() - began, val_measure=metrics["accuracy"], above=above
    )


def alone(entrant: Entrant, field: Field, length: float) -> Standing:
    """One network trained to the end of `length`, steps or training seconds, without a race, and
    looked at then. Resumable as a race is."""
    run = partial(_run, entrant, field, until=1.0, length=length)
    return Standing(**field.decide(f"{field.arm}/alone/{entrant.name}", lambda: vars(run())))


def trained_alone(entrant: Entrant, field: Field, length: float, steps: int) -> nn.Module:
    """The network as `alone` left it after so many steps, in eval mode; trained again where its
    checkpoint is lost or behind."""
    state = _resumed(entrant, field)
    if state.step < steps:
        _announce_again(entrant, field, state.step)
        rerun = _run(entrant, field, 1.0, length)
        if rerun.failed is not None:
            raise EvaluationFailed(f"{entrant.name} could not be trained again: {rerun.failed}")
        state = _resumed(entrant, field)
    return state.network.eval()


def _announce_again(entrant: Entrant, field: Field, step: int) -> None:
    field.note(
        f"the checkpoint of {entrant.name} is lost or behind; it is trained again from step {step}"
    )


def trained(
    entrant: Entrant, field: Field, entrants: int, standing: Mapping[str, Any]
) -> nn.Module:
    """An entrant's network as the race of so many `entrants` left it, in eval mode, from its
    checkpoint.

    Where that is lost, or behind the entrant's `standing` ("steps", "progress"), it trains on to
    there by the lengths that were decided: the same to the bit where steps are counted, one that
    took as long where time is.
    """
    state = _resumed(entrant, field)
    if state.step < standing["steps"]:
        _announce_again(entrant, field, state.step)
        rungs = rungs_for(entrants)
        for position, rung in enumerate(rungs):
            if rung.until > standing["progress"] + 1e-6 and position:
                break
            length = _length(
                field, [entrant], rungs=rungs, position=position, entrants=entrants, done=0.0
            )
            rerun = _run(entrant, field, rung.until, length)
            if rerun.failed is not None:
                raise EvaluationFailed(f"{entrant.name} could not be trained again: {rerun.failed}")
        state = _resumed(entrant, field)
    return state.network.eval()
