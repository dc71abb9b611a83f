"""--refit: the network that ships trained once more, from where it began, on training and
validation images, for as long as it took to be best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from torch import nn

from archsmith._internal.statistics import apart
from archsmith.run import clock
from archsmith.run.decisions import REFITTING, Refitting
from archsmith.run.records import Finished
from archsmith.run.records.finish import Refit, TrainedNetwork
from archsmith.stages.finish import (
    Start,
    class_counts,
    field_of,
    listed,
    recipe_of,
    reference_entrants,
    references,
    shortlisted,
)
from archsmith.stages.work import Work
from archsmith.training.finalists import Entrant, Field, alone, trained_alone

ARM = "refit"  # what its checkpoints and decisions are called by
Arm = Literal["search", "reference"]


def refit(
    work: Work, finished: Finished, arm: Arm, name: str, *, start: Start | None = None
) -> Finished:
    """What finish leaves, with the network of that arm and name, which is what ships, trained once
    more.

    It stays as it was, and why is said, where no time is left, training fails, or it is worse on
    the validation images than before it had seen them. `start`: what networks of the search begin
    with. Nothing here looks at the test images.
    """
    plan = work.run.decide(REFITTING, partial(_planned, work, finished, arm=arm, name=name))
    if plan.length is None:
        return finished
    network = networks(finished, arm)[name]
    entrant, field = _entrant(work, finished, plan, start), _field(work, finished, plan, start)
    work.tell(f"{name} once more, on training and validation images", None)
    standing = alone(entrant, field, float(plan.length))
    before, seen = network.val_measure or 0.0, standing.val_measure
    failed = standing.failed
    if seen is not None and seen < before and apart(seen, before, len(work.images.parts["val"])):
        failed = f"{seen:.2%} on the validation images after training on them, {before:.2%} before"
    if failed is not None:
        work.note(f"what was trained on validation images as well does not ship: {failed}")
    refitted = Refit(
        images=sum(len(work.images.parts[part]) for part in ("train", "val")),
        steps=standing.steps,
        seconds=standing.seconds,
        look=plan.look,
        seen_accuracy=seen,
        failed=failed,
    )
    return _with(finished, arm, name, network.model_copy(update={"refit": refitted}))


def networks(finished: Finished, arm: Arm) -> Mapping[str, TrainedNetwork]:
    """Those of an arm, by name."""
    if arm == "search":
        return finished.networks
    assert finished.reference is not None
    return finished.reference.networks


def shipped(work: Work, finished: Finished, network: TrainedNetwork) -> nn.Module:
    """The network as it was trained once more, in eval mode; trained again where its checkpoint is
    lost."""
    plan = work.run.decided(REFITTING)
    assert plan is not None and plan.length is not None and network.refit is not None
    entrant, field = _entrant(work, finished, plan, None), _field(work, finished, plan, None)
    return trained_alone(entrant, field, float(plan.length), network.refit.steps)


def _planned(work: Work, finished: Finished, arm: Arm, name: str) -> Refitting:
    """For how long: until it was best on the validation images."""
    network = networks(finished, arm)[name]
    unit: Literal["steps", "seconds"] = "seconds" if work.timed else "steps"
    refitting = partial(Refitting, arm=arm, name=name, unit=unit)
    if network.steps == 0:
        return refitting(length=None, look=1.0, why=_noted(work, "it was served as it is"))
    steps, best_s, look = _best_look(network)
    length = clock.refit_s(best_s, work.left_s) if work.timed else float(max(1, steps))
    why = None if length is not None else _noted(work, "too little time is left")
    return refitting(length=length, look=look, why=why)


def _best_look(network: TrainedNetwork) -> tuple[int, float, float]:
    """Steps, seconds and share of its training up to the look at validation images at which it was
    best, the later one of equals; its end where nobody looked on the way."""
    best = max(network.curve, key=lambda point: (point.val_measure, point.step), default=None)
    if best is None:
        return network.steps, float(network.seconds), 1.0
    return best.step, float(best.seconds), min(1.0, float(best.progress))


def _noted(work: Work, why: str) -> str:
    work.note(f"the network that ships is not trained on the validation images as well: {why}")
    return why


def _entrant(work: Work, finished: Finished, plan: Refitting, start: Start | None) -> Entrant:
    """It, as it began."""
    if plan.arm == "search":
        entrants = shortlisted(work, listed(work), start)
    else:
        entrants = reference_entrants(work, references(work, finished.best))
    return next(entrant for entrant in entrants if entrant.name == plan.name)


def _field(work: Work, finished: Finished, plan: Refitting, start: Start | None) -> Field:
    """As it was trained in, with the validation images among those of training, and without looks
    at them on the way."""
    assert plan.length is not None
    recipe = recipe_of(work, finished)
    if (own := networks(finished, plan.arm)[plan.name].precision) is not None:
        recipe = replace(recipe, precision=own)  # type: ignore[arg-type]
    given = plan.arm == "search" and start is not None
    field = field_of(work, ARM, recipe, float(plan.length), given=given)
    labels = work.images.parts["val"].labels
    counts = np.bincount(labels, minlength=len(work.images.classes))
    both = zip(class_counts(work), counts.tolist(), strict=False)
    return replace(
        field,
        stream=lambda step: work.stream(recipe.batch_size, step, validation=True),
        class_counts=tuple(one + other for one, other in both),
        precisions=(),
        looks=False,
    )


def _with(finished: Finished, arm: Arm, name: str, network: TrainedNetwork) -> Finished:
    if arm == "search":
        return finished.model_copy(update={"networks": {**finished.networks, name: network}})
    assert finished.reference is not None
    rivals = {**finished.reference.networks, name: network}
    reference = finished.reference.model_copy(update={"networks": rivals})
    return finished.model_copy(update={"reference": reference})
