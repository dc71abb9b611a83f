"""Stage 6, finish: train the short-list by successive halving, and the hand-made reference at equal
cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archsmith._internal.progress import duration
from archsmith.errors import UserError
from archsmith.methods.hand_made import places
from archsmith.methods.job import Training
from archsmith.methods.protocol import FinishPlan
from archsmith.metrics.chance import against_constant
from archsmith.problem import Candidate, Trial
from archsmith.run import clock
from archsmith.run.decisions import (
    ORIGINAL,
    REFERENCE_BEGAN,
    REFERENCE_SECONDS,
    REFERENCES,
    SHARING_STEPS,
    SHIP_LOOKS,
    TRAINING_PASSES,
    TRAINING_PLAN,
)
from archsmith.run.records import Finished
from archsmith.run.records.finish import (
    Finalist,
    Original,
    ReferenceArm,
    Rival,
    Rung,
    TrainedNetwork,
    TrainingPlan,
)
from archsmith.run.records.profile import HandMade, ThinnedByHand
from archsmith.run.records.search import Listed
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture
from archsmith.spaces.reference import Reference, by_description, costs
from archsmith.spaces.thinning import Thinned
from archsmith.stages.profile import scaled
from archsmith.stages.teacher import by_original, taught_text
from archsmith.stages.work import Work
from archsmith.training.finalists import Entrant, Field, Standing, paced, served, train_finalists
from archsmith.training.halving import rungs_for
from archsmith.training.halving import work as rounds
from archsmith.training.recipe import Recipe, default_recipe, growth

# images of so many pixels grow in training, from so much (result recipe-growing-whitening)
_GROWING, _GROW = 24, 0.5
_GIVEN_RATE = 0.1  # of a fresh network's learning rate, for weights that are given
_LEAST_RATE, _PASSES = 1 / 3, (20.0, 30.0)
# the network that the training of an architecture begins with
Start = Callable[[Architecture], nn.Module | None]
# images, to see how long looking takes, more where those would take no longer than this
_LOOKED, _LOOK_S = 32, 0.5
_LOOKS = 1.25  # times what the test images take, for those of which the answers are shown


def finalists(work: Work) -> int:
    """How many networks the time, or the steps, can train side by side."""
    if work.timed:
        return work.plan.finalists
    return 4 if (work.run.request.steps or 0) < 4000 else 6


def training(work: Work) -> Training | None:
    """What the network that wins the race will get of the time; None where steps are counted."""
    if not work.timed:
        return None
    return Training(
        seconds=work.plan.training,
        images=len(work.images.parts["train"]),
        class_counts=class_counts(work),
        recipe=recipe_for(work),
        precisions=work.precisions,
    )


def class_counts(work: Work) -> tuple[int, ...]:
    """Training images of each class."""
    labels = work.images.parts["train"].labels
    return tuple(int((labels == label).sum()) for label in range(len(work.images.classes)))


def recipe_for(work: Work) -> Recipe:
    """The default recipe for this data on this device, with what was asked for."""
    facts, task = work.images.facts, work.images.task
    asked = work.run.request.training
    recipe = default_recipe(
        len(work.images.parts["train"]), imbalance=facts["imbalance"], device=work.device
    )
    if "batch" in asked:  # by the root of the batch, as the default is
        batch = int(asked["batch"])
        recipe = replace(
            recipe, batch_size=batch, lr=round(recipe.lr * math.sqrt(batch / recipe.batch_size), 4)
        )
    if "precision" in asked:
        recipe = replace(recipe, precision=asked["precision"])  # type: ignore[arg-type]
    if work.begins.weights is not None:
        recipe = replace(recipe, lr=round(_GIVEN_RATE * recipe.lr, 6))
    elif work.timed:
        recipe = replace(
            recipe, lr=round(recipe.lr * rate_for(work.run.decided(TRAINING_PASSES)), 4)
        )
    if "lr" in asked:
        recipe = replace(recipe, lr=float(asked["lr"]))
    recipe = replace(recipe, whiten=True, identity=True)
    if own := work.run.loss:
        recipe = replace(recipe, own_loss=own, label_smoothing=0.0, class_balance=False)
    if work.timed and task.kind != "reconstruction" and work.images.size >= _GROWING:
        recipe = replace(recipe, grow=_GROW)
    if task.loss == "cross-entropy":
        return recipe
    # squared errors have no bound: one outlier must not throw the weights away
    return replace(recipe, loss=task.loss, label_smoothing=0.0, clip_norm=1.0)


def rate_for(passes: float | None) -> float:
    """The part of the recipe's learning rate for so many passes over the training images: a third
    up to 20, all from 30 on.

    Images that are seldom seen twice need no noise against learning them by heart (results
    rate-cifar10, rate-by-passes).
    """
    if passes is None:
        return 1.0
    low, high = _PASSES
    return _LEAST_RATE + (1 - _LEAST_RATE) * min(1.0, max(0.0, (passes - low) / (high - low)))


def finish(work: Work, start: Start | None = None, how: FinishPlan = FinishPlan()) -> Finished:  # noqa: B008  frozen
    """Both arms of the comparison. Nothing here looks at the test images.

    `start`: what a network of the short-list begins with instead of fresh weights; `how` it is
    finished.
    """
    shortlist = listed(work)
    recipe = recipe_for(work)
    entrants = shortlisted(work, shortlist, start)
    original = _original(work)
    by_original(work, original.val_measure if original is not None and how.distill else None)
    if work.timed:
        work.run.decide(SHIP_LOOKS, lambda: _looks_seconds(work, entrants[0].make()))
    plan = work.run.decide(TRAINING_PLAN, lambda: _plan(work))
    given = start is not None
    field = field_of(work, "search", recipe, plan.search, given=given)
    work.run.decide(TRAINING_PASSES, lambda: passes_of(work, entrants, field))
    recipe = recipe_for(work)  # which they decide, too
    if how.how == "fine-tune":
        recipe = replace(recipe, lr=round(recipe.lr * how.rate, 6))
    field = field_of(work, "search", recipe, plan.search, given=given)
    standings = (
        served(entrants, field) if how.how == "calibrate" else train_finalists(entrants, field)
    )
    _record(work, shortlist, standings)
    chosen = standings[0].name
    by_key = {entry.key: entry for entry in shortlist}
    networks = {s.name: _network(work, s, by_key[s.name]) for s in standings}
    return Finished(
        recipe={
            **recipe.to_json(),
            "precision": standings[0].precision,
            "augment": asdict(work.augment),
        },
        plan=plan,
        rungs=tuple(_rungs(standings, len(entrants))),
        chosen=chosen,
        networks=networks,
        ranking=tuple(s.name for s in standings if s.failed is None),
        reference=_reference(work, recipe, plan, networks[chosen]) if work.referenced else None,
        original=original,
        taught=taught_text(work),
    )


def _original(work: Work) -> Original | None:
    """The network whose weights were given, as it came; None where there is none, or where it is no
    better than a constant: its outputs are others. Looked at once in a run."""
    if work.begins.weights is None or work.begins.published:
        return None

    def looked() -> list[Any]:
        whole = work.space.extreme(-1)
        metrics = work.evaluated(work.plain(whole).to(work.device).eval(), work.part("val"))
        if not against_constant(metrics)["above"]:
            return []
        return [Original(costs=work.costs(whole), val_measure=metrics["accuracy"]).to_json()]

    originals = work.run.decide(ORIGINAL, looked)
    return originals[0] if originals else None


def passes_of(work: Work, entrants: Sequence[Entrant], field: Field) -> float:
    """How often the network that is trained to the end will see each image, as fast as the first
    one is."""
    length = field.budget / rounds(len(entrants), rungs_for(len(entrants)))
    if not work.timed:
        return length * field.recipe.batch_size / len(work.images.parts["train"])
    each = min(paced(entrants[0], field)["ms"].values()) / 1e3
    grown = growth(field.recipe) if field.fresh else 1.0
    return clock.TRIED * length * grown / each / len(work.images.parts["train"])


def listed(work: Work) -> Sequence[Listed]:
    """The short-list; only after search."""
    searched = work.run.searched
    assert searched is not None
    return searched.shortlist


def shortlisted(
    work: Work, shortlist: Sequence[Listed], start: Start | None = None
) -> list[Entrant]:
    """The short-list as entrants; the architectures are checked against the space."""

    def begin(arch: Architecture) -> nn.Module:
        network = None if start is None else start(arch)
        return work.plain(arch) if network is None else network

    archs = [work.space.check(Architecture.from_json(entry.options)) for entry in shortlist]
    return [
        Entrant(
            arch.key,
            partial(work.plain, arch),
            begin=None if start is None else partial(begin, arch),
        )
        for arch in archs
    ]


def _looks_seconds(work: Work, network: nn.Module) -> float:
    """To be kept for shipping beside the export of a small network: more layers, as busy as the
    machine is, and the look of each network that may ship (the reference, where one is trained, and
    the one trained once more) at the test images, reckoned from one batch."""
    image_s = _look_s(network.to(work.device).eval(), next(work.validation_sample())[0])
    work.sample_size(image_s)
    timings = 4.0 if any(limit.metric == "latency" for limit in work.limits) else 0.0
    networks = 1 + work.referenced + work.run.request.refit
    looks = _LOOKS * networks * image_s * len(work.images.parts["test"])
    layers = sum(1 for module in network.modules() if next(module.children(), None) is None)
    return timings + looks + clock.shipping_layers(layers) * work.slowdown


def _look_s(network: nn.Module, x: Tensor) -> float:
    """Seconds that an image takes in a batch: a small one, and all of x, where that is fast."""
    seconds = math.inf
    for images in (x[:_LOOKED], x[:_LOOKED], x):
        began = time.monotonic()
        with torch.inference_mode():
            network(images)
        seconds = min(seconds, (time.monotonic() - began) / len(images))
        if seconds * len(x) > _LOOK_S:
            break
    return seconds


def _plan(work: Work) -> TrainingPlan:
    """The budget of each arm: equal totals, scoring counted on the search's side."""
    request = work.run.request
    if request.reference and work.same_as_reference:
        work.note("no hand-made network is trained beside: it is what the search trains")
    if not work.timed:
        steps = request.steps or 0
        search_steps = steps - (work.run.decided(SHARING_STEPS) or 0)
        other = steps if work.referenced else 0
        kept, rivals_kept = 0, 0
        if request.refit:
            profiled, count = work.run.profiled, len(listed(work))
            hand_made = profiled.references if profiled is not None else None
            kept = clock.refit_steps(search_steps, count)
            rivals = len(hand_made.networks) if hand_made and hand_made.networks else count
            rivals_kept = clock.refit_steps(other, rivals)
        return TrainingPlan(
            unit="steps",
            search=search_steps - kept,
            reference=other - rivals_kept,
            scoring_s=None,
            refit=kept,
        )
    seconds = work.run.seconds()
    scoring = sum(seconds.get(name, 0.0) for name in ("screen", "train", "search"))
    refit = work.plan.refit
    left = max(4.0, work.left_s - refit)
    if not work.referenced:
        return TrainingPlan(
            unit="seconds", search=left, reference=0.0, scoring_s=scoring, refit=refit
        )
    arm = (left + scoring) / 2
    search = max(0.25 * left, arm - scoring)
    return TrainingPlan(
        unit="seconds", search=search, reference=left - search, scoring_s=scoring, refit=refit
    )


def field_for(
    work: Work,
    finished: Finished,
    arm: Literal["search", "reference"],
    *,
    given: bool = False,
) -> Field:
    """An arm as it was trained: to read a network back, or to train it again where its checkpoint
    is lost. `given`: a method gave the first weights."""
    recipe = recipe_of(work, finished)
    plan = finished.plan
    budget = plan.search if arm == "search" else plan.reference
    return field_of(work, arm, recipe, budget, began=0.0, given=given and arm == "search")


def recipe_of(work: Work, finished: Finished) -> Recipe:
    """What its networks were trained with; each in a precision of its own. A loss of the user's own
    is that of the request, whose file is trusted; a record decides no code."""
    settings = {name: value for name, value in finished.recipe.items() if name != "augment"}
    return replace(Recipe.from_json(settings), own_loss=work.run.loss)


def field_of(
    work: Work, arm: str, recipe: Recipe, budget: float, began: float = 0.0, *, given: bool = False
) -> Field:
    """What the entrants of an arm share. `began`: seconds of the stage before it; `given`: a method
    gives the first weights."""
    watch, plan = work.stopwatch, work.run.decided(TRAINING_PLAN)
    timed = plan is not None and plan.unit == "seconds"
    # progress is told by the clock then
    whole = plan.search + plan.reference + plan.refit if plan is not None and timed else 0.0
    return Field(
        arm,
        recipe,
        budget,
        work.timed,
        stream=lambda start: work.stream(recipe.batch_size, start),
        evaluate=lambda network: work.evaluated(network, work.part("val")),
        sample=lambda network: work.evaluated(network, work.validation_sample()),
        sampled=1 / work.sample_every,
        looking=clock.LOOKING,
        folder=work.run.folder / "checkpoints",
        decide=work.run.decide,
        device=work.device,
        note=work.note,
        of={**work.identity, "run": work.run.record["id"]},
        seed=work.run.request.seed,
        class_counts=class_counts(work),
        fresh=work.begins.weights is None and not given,
        precisions=work.precisions,
        step=lambda: work.step,
        spent=lambda: watch.seconds - began,
        tell=lambda text, share: work.tell(
            f"{arm}: {text}", min(1.0, watch.seconds / whole) if whole and watch.stage else share
        ),
    )


def _network(work: Work, standing: Standing, entry: Listed) -> Finalist:
    arch = Architecture.from_json(entry.options)
    return Finalist(
        costs=work.costs(arch), **standing_facts(standing), origin=entry.origin, options=dict(arch)
    )


def standing_facts(standing: Standing) -> dict[str, Any]:
    """What is recorded of a trained network, whatever it is: fields of
    `run.records.finish.TrainedNetwork`."""
    return {
        "curve": standing.curve,
        "val_measure": standing.val_measure,
        "seconds": standing.seconds,
        "steps": standing.steps,
        "progress": standing.progress,
        "failed": standing.failed,
        "above": standing.above,
        "precision": standing.precision,
    }


def reached(network: TrainedNetwork) -> dict[str, float]:
    """How far it was trained, as `race.trained` asks for it."""
    return {"steps": network.steps, "progress": network.progress}


def _rungs(standings: Sequence[Standing], entrants: int) -> list[Rung]:
    """Who was where after each rung."""
    rungs = []
    for rung in rungs_for(entrants):
        there = [s for s in standings if s.failed is None and s.progress >= rung.until - 1e-6]
        rungs.append(Rung(until=rung.until, keep=rung.keep, entries=tuple(s.name for s in there)))
    return rungs


def _record(work: Work, shortlist: Sequence[Listed], standings: Sequence[Standing]) -> None:
    """Every network's last state as a trial, once."""
    archive: SqliteArchive = work.run.archive
    known = {t.arch.key for t in archive.stage("finish")}
    by_key = {entry.key: entry for entry in shortlist}
    for standing in standings:
        if standing.name in known:
            continue
        arch = Architecture.from_json(by_key[standing.name].options)
        metrics: dict[str, float] = {**work.costs(arch)}
        if standing.val_measure is not None:
            metrics["val_measure"] = standing.val_measure
        cost = {"seconds": standing.seconds, "steps": float(standing.steps)}
        losses = (-standing.val_measure,) if standing.val_measure is not None else ()
        candidate = Candidate(arch, fidelity=standing.progress, origin=by_key[standing.name].origin)
        archive.extend(
            [
                Trial(
                    candidate,
                    metrics,
                    losses,
                    0.0,
                    cost=cost,
                    stage="finish",
                    measured=True,
                    reason=standing.failed,
                )
            ]
        )


def references(work: Work, chosen: TrainedNetwork) -> list[Reference | Thinned]:
    """Hand-made networks that use the budget; without one, as large as the chosen network. Found
    once, then read back.

    None where no hand-made network is as small as that: a run goes on without.
    """
    profiled = work.run.profiled
    if profiled is not None and profiled.references is not None:
        return [by_description(one.to_json()) for one in profiled.references.networks]
    limits = {"params": chosen.costs["params"], "macs": chosen.costs["macs"]}

    def hand_made() -> list[ThinnedByHand | HandMade]:
        try:
            return [HandMade(**asdict(network)) for network in scaled(work, limits)]
        except UserError as error:
            work.note(f"no hand-made reference: {str(error).partition(';')[0]}")
            return []

    return [by_description(one.to_json()) for one in work.run.decide(REFERENCES, hand_made)]


def reference_entrants(work: Work, rivals: Sequence[Reference | Thinned]) -> list[Entrant]:
    """They start from what the search's networks start from: weights that are given, or the same
    kind of fresh ones."""

    def make(one: Reference | Thinned) -> nn.Module:
        if isinstance(one, Thinned):
            return work.plain(work.space.check(one.arch))
        return one.make(work.run.request.seed, work.images.task.headed)

    return [Entrant(one.name, partial(make, one)) for one in rivals]


def _reference(
    work: Work, recipe: Recipe, plan: TrainingPlan, chosen: TrainedNetwork
) -> ReferenceArm | None:
    rivals = references(work, chosen)
    if not rivals:
        return None
    # of few seconds a race of many takes what the winner lacks: as few as where they are the
    # search's own
    if work.timed:
        rivals = rivals[: places(work.plan.finalists, work.plan.training, 1, alone=False)]
    began = work.run.decide(REFERENCE_BEGAN, lambda: work.stopwatch.seconds)
    budget = plan.reference
    # as the machine is by now: shipping must not come late because others keep it busy
    if work.timed:
        budget = work.run.decide(
            REFERENCE_SECONDS, lambda: max(1.0, min(budget, work.left_s - plan.refit))
        )
    standings = train_finalists(
        reference_entrants(work, rivals), field_of(work, "reference", recipe, budget, began=began)
    )
    by_name = {r.name: r for r in rivals}
    networks = {}
    for s in standings:
        counted = costs(by_name[s.name].make(None, work.images.task.headed), work.shape)
        networks[s.name] = Rival(costs=counted, **standing_facts(s), text=by_name[s.name].text)
    return ReferenceArm(
        name="the network that was begun with, all its layers made narrower by one share"
        if isinstance(rivals[0], Thinned)
        else "networks of one block throughout, scaled by hand to the budget",
        chosen=standings[0].name,
        networks=networks,
        seconds=sum(s.seconds for s in standings),
        steps=sum(s.steps for s in standings),
    )


def line(finished: Finished) -> str:
    """The line for the progress table."""
    best = finished.best
    if finished.further:
        after = f"{best.after:.2%}" if best.after is not None else f"failed: {best.failed}"
        text = (
            f"trained further for {duration(best.seconds)}: {after} on validation, "
            f"{best.before:.2%} before"
        )
        return text if best.kept else f"{text}; no gain, so it ships as it was"
    text = f"{len(finished.networks)} networks trained; best {best.val_measure:.2%} on validation"
    text += f" after {duration(best.seconds)}"
    if finished.reference is not None:
        text += f"; hand-made reference {finished.reference.best.val_measure:.2%}"
    arms = finished.reference.networks.values() if finished.reference is not None else ()
    for net in (*finished.networks.values(), *arms):
        if net.refit is not None and net.refit.failed is None:
            text += f"; what ships trained once more on {net.refit.images:,} images"
    if best.above is False:
        text += "; NO BETTER than the same answer always"
    return text
