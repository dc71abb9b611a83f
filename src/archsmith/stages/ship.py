"""Stage 7, ship: re-check the budget on the exported file, one look at the test images, the
package, the front, the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

from archsmith import export
from archsmith._internal.statistics import apart
from archsmith.elastic.resize import without_resize
from archsmith.graph.export import onnx_bytes
from archsmith.metrics.chance import against_constant, more_time
from archsmith.metrics.cost import LAYERS, OWN, layer_sums
from archsmith.metrics.limits import as_json
from archsmith.metrics.timing import time_onnx
from archsmith.problem.budget import Limit, human
from archsmith.report.front import write_front
from archsmith.report.verdict import compare
from archsmith.run.decisions import budget_of
from archsmith.run.records import Finished, Shipped
from archsmith.run.records.finish import TrainedNetwork
from archsmith.run.records.ship import (
    BudgetRow,
    PassedOver,
    SearchArm,
    ShippedArchitecture,
    Tested,
    tested,
)
from archsmith.space import Architecture
from archsmith.spaces.reference import HAND_MADE, costs
from archsmith.stages import further, refit
from archsmith.stages.finish import (
    Start,
    field_for,
    listed,
    reached,
    recipe_for,
    reference_entrants,
    references,
    shortlisted,
)
from archsmith.stages.mistakes import mistaken
from archsmith.stages.sizing import wanted as wanted_images
from archsmith.stages.work import Work
from archsmith.training.finalists import trained

_SEEN = (
    "The validation accuracy is that of before: the network was trained once more, on the "
    "validation images as well."
)
_LATE = 0.8  # of a training: looks from there on count where two ends cannot be told apart


@dataclass(frozen=True)
class Contender:
    """A trained network that may ship. `arm`: "search" or "reference"; `trained`: what
    finish recorded of it; `arch`: of the space, or what describes a hand-made network."""

    name: str
    arm: Literal["search", "reference"]
    trained: TrainedNetwork
    arch: Architecture
    make: Callable[[], nn.Module]


@dataclass(frozen=True)
class Checked:
    """A contender's network, its limits with what was measured, and how far it is from keeping
    them."""

    contender: Contender
    network: nn.Module
    checks: Sequence[BudgetRow]
    violation: float


def ship(work: Work, start: Start | None = None) -> Shipped:
    """Takes the best network by validation whose exported file keeps to the budget, the hand-made
    one among them. `start`: as `finish` was given it."""
    finish = work.run.finished
    assert finish is not None
    picked = choice(work, finish, start)
    searched, rival, chosen = picked.searched, picked.rival, picked.chosen
    work.tell("one look at the test images", 0.2)
    looked = {c.contender.arm: _tested(work, c.network) for c in (searched, rival) if c is not None}
    reference_test = looked.get("reference")
    original_test = None
    if finish.original is not None:
        whole = work.plain(work.space.extreme(-1)).to(work.device).eval()
        original_test = _tested(work, whole)
    network, test = chosen.network, looked[chosen.contender.arm]
    refitted = chosen.contender.trained.refit
    once_more = refitted is not None and refitted.failed is None
    if once_more:
        network = refit.shipped(work, finish, chosen.contender.trained)
        test = _tested(work, network)
    mistakes = mistaken(work, network)
    work.tell("exporting and verifying", 0.4)
    measure = work.images.task.measure
    sentence = verdict(looked["search"], reference_test, measure, hand_made=chosen is rival)
    sentence += _besides(test if once_more else None, original_test)
    if finish.further:
        sentence = further.verdict(work, test)
    warning = _warning(work, chosen.contender, test)
    space = (
        further.space_of(work)
        if finish.further
        else work.space_name
        if chosen is searched
        else HAND_MADE
    )
    facts = {
        "test": test.to_json(),
        "budget": [row.to_json() for row in chosen.checks],
        "data": work.images.name,
        "val_measure": chosen.contender.trained.val_measure,
        **costs(*without_resize(network, work.shape)),
        "warning": warning,
        "space": space,
        "caveats": [_SEEN] if once_more else [],
    }
    network, some = network.cpu(), work.images.parts["val"]
    package = export.ship(
        work.run.folder / "best",
        network,
        shape=work.shape,
        task=work.images.task,
        mean=work.images.mean,
        std=work.images.std,
        architecture=chosen.contender.arch,
        facts=facts,
        threads=work.threads,
        images=some.images(range(min(16, len(some)))),
        preprocessing=work.images.how,
    )
    own, arm = searched.contender, further.arm_of(work) if finish.further else chosen.contender.arm
    of_search = SearchArm(
        key=own.name, options=dict(own.arch), budget=tuple(searched.checks), test=looked["search"]
    )
    arch = chosen.contender.arch
    decided: dict[str, Any] = {
        "network": arm,
        "key": chosen.contender.name,
        "architecture": ShippedArchitecture(space=space, key=arch.key, options=dict(arch)),
        "budget": chosen.checks,
        "fell_back": picked.fell_back,
        "test": test,
        "search": None if finish.further and arm == "reference" else of_search,
        "reference_test": reference_test,
        "original_test": original_test,
        "verdict": sentence,
        "warning": warning,
        "mistakes": mistakes,
        "measure": measure,
        **({"refit": True} if once_more else {}),
    }
    return Shipped(**{**package, **decided})


@dataclass(frozen=True)
class Choice:
    """Which network ships: the search's best, the best hand-made one, the better of the two, and
    those that were passed over."""

    searched: Checked
    rival: Checked | None
    chosen: Checked
    fell_back: Sequence[PassedOver]


def choice(work: Work, finished: Finished, start: Start | None = None) -> Choice:
    """By what finish left, each limit measured on the exported file; nobody has looked at the test
    images. `start`: as `finish` was given it, for networks whose checkpoint is lost."""
    searched, fell_back = _choose(work, _searched(work, finished, start))
    by_hand = _by_hand(work, finished)
    rival = None if by_hand is None else _checked(work, by_hand)
    return Choice(searched, rival, _better(work, searched, rival), fell_back)


def _tested(work: Work, network: nn.Module) -> Tested:
    """The one look, and whether what was seen is better than an answer that never looks."""
    result = work.evaluated(network, work.part("test"))
    return tested({**result, **against_constant(result)})


def verdict(
    test: Tested, reference: Tested | None, measure: str = "accuracy", *, hand_made: bool = False
) -> str:
    """Whether the search paid, in one sentence. `hand_made`: the hand-made network ships, as
    validation had it better."""
    text = (
        f"test {measure} {test.accuracy:.2%} (95 % interval {test.interval[0]:.2%} to "
        f"{test.interval[1]:.2%})"
    )
    above, other = test.above, reference is not None and reference.above
    constant = f"no better than giving the same answer always ({test.constant:.2%})"
    if not above and not other:
        beside = (
            (f", nor is the hand-made reference at equal cost ({reference.accuracy:.2%})")
            if reference
            else ""
        )
        return f"{text}: {constant}{beside}. This is no result"
    end = (
        ("; the hand-made network was better on the validation images: it is what lies in best/")
        if hand_made
        else ""
    )
    if reference is None:
        return f"{text}; no hand-made reference was trained"
    beside = f"{text}; the hand-made reference at equal cost {reference.accuracy:.2%}"
    if not above:
        return f"{beside}: the search lost, its network is {constant}{end}"
    comparison = compare(test.accuracy, test.interval, reference.accuracy, reference.interval)
    word = {"won": "the search won", "lost": "the search lost", "tie": "a tie within the interval"}[
        comparison.outcome
    ]
    return f"{beside}: {word}{end}"


def _besides(refitted: Tested | None, original: Tested | None) -> str:
    """What the verdict says of a network that was trained once more, and of the one that was begun
    with."""
    text = ""
    if refitted is not None:
        text += f"; what ships, trained on the validation images as well, {refitted.accuracy:.2%}"
    if original is not None:
        text += f"; the network it was made from {original.accuracy:.2%}"
    return text


def _warning(work: Work, chosen: Contender, test: Tested) -> str | None:
    """What to say, loudly, of a network that is no better than a constant; None of one that is."""
    if test.above:
        return None
    images, recipe = len(work.images.parts["train"]), recipe_for(work)
    saw, should = (
        chosen.trained.steps * recipe.batch_size,
        wanted_images(images, recipe, dense=work.dense),
    )
    text = (
        f"No result: on {test.n:,} test images the network ({test.accuracy:.1%}) cannot be told "
        f"from one that gives the "
        f"same answer always ({test.constant:.1%})."
    )
    more = more_time(saw, should, work.run.request.time_s or 0.0) if work.timed else None
    if more is not None:
        each = (
            f"It saw each training image {saw / images:.1f} times in {chosen.trained.steps} steps"
        )
        return (
            f"{text} {each}; {should / images:.0f} times take about --time "
            f"{math.ceil(more / 60)}m at this pace."
        )
    if saw < should:
        return f"{text} It saw each training image {saw / images:.1f} times; give it more --steps."
    return (
        f"{text} It saw each training image {saw / images:.0f} times: look at the images and "
        f"their labels."
    )


def _searched(work: Work, finish: Finished, start: Start | None) -> list[Contender]:
    """The search's networks, best first; the one alone that was trained further."""
    if finish.further:
        ((name, alone),) = finish.networks.items()
        return [
            Contender(
                name,
                "search",
                alone,
                Architecture.from_json(alone.options),
                make=further.maker(work, alone),
            )
        ]
    shortlist = listed(work)
    options = {entry.key: entry.options for entry in shortlist}
    entrants = {entrant.name: entrant for entrant in shortlisted(work, shortlist, start)}
    networks = finish.networks
    field = field_for(work, finish, "search", given=start is not None)

    def make(name: str) -> nn.Module:
        return trained(entrants[name], field, len(entrants), reached(networks[name]))

    return [
        Contender(
            name,
            "search",
            networks[name],
            Architecture.from_json(options[name]),
            make=partial(make, name),
        )
        for name in finish.ranking
    ]


def _by_hand(work: Work, finish: Finished) -> Contender | None:
    """The best hand-made network, where there are any."""
    reference = finish.reference
    if reference is None:
        return None
    known = {r.name: r for r in references(work, finish.best)}
    entrants = reference_entrants(work, list(known.values()))
    entrant = next(e for e in entrants if e.name == reference.chosen)
    best = reference.best
    raced = [e for e in entrants if e.name in reference.networks]
    make = partial(
        trained, entrant, field_for(work, finish, "reference"), len(raced), standing=reached(best)
    )
    return Contender(
        entrant.name, "reference", best, Architecture(asdict(known[entrant.name])), make=make
    )


def _better(work: Work, searched: Checked, rival: Checked | None) -> Checked:
    """The smaller violation, then the higher accuracy on validation; the search's own where they
    are level.

    What one look at the validation images cannot tell apart goes by the mean of the last looks.
    """
    # what only a model of the space can count
    if rival is None or any(limit.metric in OWN for limit in work.limits):
        return searched
    ours, theirs = (c.contender.trained.val_measure or 0.0 for c in (searched, rival))
    if searched.violation != rival.violation:
        return searched if searched.violation < rival.violation else rival
    if apart(ours, theirs, len(work.images.parts["val"])):
        return rival if theirs > ours else searched
    ours, theirs = (_lately(c.contender.trained) for c in (searched, rival))
    return rival if theirs > ours else searched


def _lately(network: TrainedNetwork) -> float:
    """Mean accuracy of the end of a training and of the looks in its last fifth."""
    last = [point.val_measure for point in network.curve if 1 > point.progress >= _LATE]
    return statistics.mean([network.val_measure or 0.0, *last])


def _checked(work: Work, contender: Contender) -> Checked:
    network = contender.make()
    checks = work.run.decide(budget_of(contender.name), partial(check, work, network, contender))
    return Checked(contender, network, checks, violation(work.limits, checks))


def _choose(work: Work, contenders: Sequence[Contender]) -> tuple[Checked, list[PassedOver]]:
    """The first that keeps every limit; where none does, the one of the least violation, and its
    misses stand in `budget`."""
    tried: list[Checked] = []
    fell_back: list[PassedOver] = []
    for contender in contenders:
        checked = _checked(work, contender)
        tried.append(checked)
        missed = [row for row in checked.checks if not row.met]
        if not missed:
            return checked, fell_back
        why = "; ".join(f"{row.text} but measured {human(row.metric, row.value)}" for row in missed)
        fell_back.append(PassedOver(key=contender.name, why=why))
    return min(tried, key=lambda one: one.violation), fell_back


def violation(limits: Sequence[Limit], checks: Sequence[BudgetRow]) -> float:
    """By how much the measured values break their limits, as `Problem` counts it; 0 where all are
    kept."""
    return sum(limit.excess(row.value) for limit, row in zip(limits, checks, strict=True))


def check(work: Work, network: nn.Module, contender: Contender) -> list[BudgetRow]:
    """Each limit against what the network really has as it is shipped; latency on the exported
    file, up to three times where it misses."""
    plain, shape = without_resize(network, work.shape)
    rows, around = [], export.deployment_of(work.images.task, work.images.mean, work.images.std)
    for limit in work.limits:
        if limit.metric == "latency":
            work.tell("timing the exported file", 0.1)
            medians: list[float] = []
            while len(medians) < 3 and not (medians and limit.met(statistics.median(medians))):
                model = onnx_bytes(plain.cpu(), shape, around)
                medians.append(time_onnx(model, shape, threads=work.threads)["median_ms"])
            value = statistics.median(medians)
        elif limit.metric in OWN:
            value = (
                work.costs(contender.arch)[limit.metric]
                if work.space.contains(contender.arch)
                else math.nan
            )
        elif limit.metric in LAYERS:
            value = layer_sums(plain, shape)[limit.metric]
        else:
            value = costs(plain, shape)[limit.metric]
        rows.append(BudgetRow(**as_json(limit), value=value, met=limit.met(value)))
    return rows


def finished(work: Work) -> None:
    """After the stage is committed: the front as a table."""
    write_front(work.run.folder)


def line(shipped: Shipped) -> str:
    """The line for the progress table."""
    test = shipped.test
    text = (
        f"test {shipped.measure} {test.accuracy:.2%} on {test.n:,} images; {len(shipped.files)} "
        f"files in best/"
    )
    if shipped.latency_ms is not None:
        text += f"; {shipped.latency_ms.median_ms:.2f} ms per image"
    if shipped.network == "reference":
        text += "; the hand-made network ships"
    if any(not row.met for row in shipped.budget):
        text += "; BUDGET MISSED"
    if shipped.warning:
        text += "; NO RESULT"
    return text
