"""Finish of `archsmith train`: a network of another run is trained further, or kept as it was if
that is no gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from archsmith.elastic.supernet import extract
from archsmith.errors import Damaged
from archsmith.run.decisions import BEGUN_WITH, TRAINING_PASSES, TRAINING_PLAN, BegunWith
from archsmith.run.records import Finished
from archsmith.run.records.finish import Finalist, Rung, TrainingPlan
from archsmith.run.records.ship import Tested
from archsmith.space import Architecture
from archsmith.spaces.reference import HAND_MADE, by_description
from archsmith.stages.finish import field_of, passes_of, reached, recipe_for, standing_facts
from archsmith.stages.teacher import by_file, taught_text
from archsmith.stages.work import Work
from archsmith.training.finalists import Entrant, Field, train_finalists, trained

ARM = "further"  # what its checkpoints are called by
WEIGHTS = "begun-with.safetensors"  # in the run's checkpoints
_RATE = 0.5  # of the recipe's learning rate: the weights are good already


def further(work: Work) -> Finished:
    """The `finish` of such a run: the network with its curve, and which weights are kept."""
    by_file(work)
    begun, entrant, field = begun_with(work), entrant_of(work), _field(work)
    work.run.decide(TRAINING_PASSES, lambda: passes_of(work, [entrant], field))
    field = _field(work)
    standing = train_finalists([entrant], field)[0]
    before = begun.val_measure
    kept = standing.failed is None and (before is None or (standing.val_measure or 0.0) >= before)
    facts = standing_facts(standing)
    if not kept:
        facts |= {"val_measure": before, "above": begun.above}
    network = Finalist(
        costs=begun.costs,
        **facts,
        origin=begun.origin,
        options=begun.options,
        before=before,
        after=standing.val_measure,
        kept=kept,
    )
    return Finished(
        recipe={
            **field.recipe.to_json(),
            "precision": standing.precision,
            "augment": asdict(work.augment),
        },
        plan=_plan(work),
        rungs=(Rung(until=1.0, keep=1, entries=(entrant.name,)),),
        chosen=entrant.name,
        networks={entrant.name: network},
        ranking=(entrant.name,),
        reference=None,
        further=True,
        taught=taught_text(work),
    )


def begun_with(work: Work) -> BegunWith:
    """The network that is trained further; only in such a run."""
    begun = work.run.decided(BEGUN_WITH)
    assert begun is not None
    return begun


def entrant_of(work: Work) -> Entrant:
    """The network with the weights that it came with."""
    begun = begun_with(work)
    return Entrant(begun.key, lambda: with_weights(work, begun))


def with_weights(work: Work, begun: BegunWith) -> nn.Module:
    """Rebuilt, with the weights it came with; Damaged where those are not there any more."""
    path = weights_path(work.run.folder)
    network = described(work, begun.arm, begun.options)
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # torn, gone, or another network's
        raise Damaged(
            f"{path} cannot be used ({type(error).__name__}); begin again with `archsmith train`"
        ) from error
    return network


def described(work: Work, arm: str, options: Mapping[str, Any]) -> nn.Module:
    """The plain network of an architecture of the space, or of a hand-made one's description."""
    if arm == "reference":
        return by_description(options).make(0, work.images.task.headed)
    return extract(
        work.model,
        work.space.check(Architecture.from_json(options)),
        "fresh" if work.begins.weights is None else "shared",
    )


def maker(work: Work, finalist: Finalist) -> Callable[[], nn.Module]:
    """What ships: the network as its further training left it, or as it came."""
    entrant = entrant_of(work)
    if not finalist.kept:
        return lambda: entrant.make().to(work.device).eval()
    return lambda: trained(entrant, _field(work), 1, reached(finalist))


def verdict(work: Work, test: Tested) -> str:
    """What the further training was worth, in one sentence."""
    low, high = test.interval
    text = (
        f"test {work.images.task.measure} {test.accuracy:.2%} (95 % interval {low:.2%} to "
        f"{high:.2%})"
    )
    if not test.above:
        text += (
            f": no better than giving the same answer always ({test.constant:.2%}). This is no "
            f"result"
        )
    before = begun_with(work).test
    return (
        text
        if before is None
        else (f"{text}; {before:.2%} before it was trained further, on the same images")
    )


def arm_of(work: Work) -> str:
    """Where its network came from: search or reference."""
    return begun_with(work).arm


def space_of(work: Work) -> str:
    """What its architecture is of."""
    return HAND_MADE if arm_of(work) == "reference" else work.space_name


def weights_path(folder: Path) -> Path:
    """Where a run keeps the weights it begins with."""
    return folder / "checkpoints" / WEIGHTS


def _field(work: Work) -> Field:
    """As it trains, or trains again where its checkpoint is lost: recipe and budget are those of
    the first time."""
    recipe = recipe_for(work)
    recipe = recipe if "lr" in work.run.request.training else replace(recipe, lr=recipe.lr * _RATE)
    return replace(field_of(work, ARM, recipe, float(_plan(work).search)), fresh=False)


def _plan(work: Work) -> TrainingPlan:
    def made() -> TrainingPlan:
        if work.timed:
            return TrainingPlan(
                unit="seconds", search=max(2.0, work.left_s), reference=0.0, scoring_s=0.0
            )
        return TrainingPlan(
            unit="steps", search=work.run.request.steps or 0, reference=0, scoring_s=None
        )

    return work.run.decide(TRAINING_PLAN, made)
