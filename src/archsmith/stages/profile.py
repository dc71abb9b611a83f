"""Stage 2, profile: what networks of the space cost, how many fit the budget, the latency table and
the hand-made networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from random import Random

from archsmith.elastic.conversion import fixed_widths
from archsmith.errors import UserError
from archsmith.metrics.timing import whole_ms
from archsmith.problem import Candidate, Problem
from archsmith.problem.budget import human
from archsmith.run import clock
from archsmith.run.records import Profiled
from archsmith.run.records.profile import HandMade, HandMades, ThinnedByHand
from archsmith.spaces import described
from archsmith.spaces.reference import BOUNDING, Reference, reference
from archsmith.spaces.thinning import Thinned
from archsmith.stages.profiling import share_text, space_costs
from archsmith.stages.teacher import by_file
from archsmith.stages.work import Work

_KEPT = 3  # layers that are named


def profile(work: Work) -> Profiled:
    """Costs over the space, the share that fits; raises NothingFits, naming the nearest network and
    the limit to relax."""
    total = work.run.request.time_s if work.timed else None
    if (table := work.latency) is not None:
        work.tell("timing blocks and whole networks with ONNX Runtime", None)
        if total is not None:
            table.allow(clock.timing_blocks(total))
        table.calibrate(Random(work.run.request.seed))
    _note_conversion(work)
    _larger(work)
    by_file(work)
    references = _references(work, total)
    work.tell("counting a sample of the space", None)
    profiled = space_costs(
        work.space_name,
        work.space,
        work.limits,
        work.costs,
        table=table,
        seed=work.run.request.seed,
        known=_known(work, references),
        seconds=math.inf if total is None else clock.profiling(total),
        tell=work.tell,
    )
    return Profiled(**profiled, init=work.init_remark, references=references)


def _note_conversion(work: Work) -> None:
    """Says what was made of a network that declares no Choice, and what of it stays as it is."""
    if (fixed := fixed_widths(work.model)) is None:
        return
    text = f"{work.space_name} declares no Choice: made elastic, {len(work.space)} decisions"
    if fixed:
        kept = "; ".join(f"{path}: {why}" for path, why in list(fixed.items())[:_KEPT])
        more = f" and {len(fixed) - _KEPT} more" if len(fixed) > _KEPT else ""
        text += f"; these keep their width: {kept}{more}"
    work.note(text)


def _larger(work: Work) -> None:
    """UserError where a network is to be made smaller that keeps the budget as it is."""
    if not work.asked_of_clock.kept:
        return
    whole = Problem(work.space, (), work.constraints)
    if whole.evaluate([Candidate(work.space.extreme(-1))])[0].feasible:
        reason = "it keeps the budget as it is" if work.limits else "there is no budget"
        raise UserError(f'nothing to shrink: {reason}; give a smaller one, as --budget "macs<=50%"')


def _known(work: Work, references: HandMades | None) -> int:
    """Hand-made networks that are in the space, too, and keep the budget."""
    upper = all(limit.op == "<=" and limit.metric in BOUNDING for limit in work.limits)
    return len(references.networks) if references and upper and work.dense else 0


def restore(work: Work, profiled: Profiled) -> None:
    """Leaves the latency table that was measured as it is."""
    if profiled.latency_table is not None and work.latency is not None and work.timed:
        work.latency.allow(0.0)


def _references(work: Work, total: float | None) -> HandMades | None:
    """The hand-made networks that use the budget, or as much of it as the time is good for, or why
    there are none; None where they are to follow the chosen network.

    The search begins with them, too, where the space has such.
    """
    limits = {
        limit.metric: limit.value
        for limit in work.limits
        if limit.op == "<=" and limit.metric in BOUNDING
    }
    if work.begins.weights is not None:
        return _thinned(work) if work.run.request.reference else None
    if not limits or not (work.run.request.reference or work.dense):
        return None
    if work.macs_of_time is not None:
        limits["macs"] = min(work.macs_of_time, limits.get("macs", math.inf))
    work.tell("scaling a hand-made network to the budget", None)
    try:
        seconds = None if total is None else clock.scaling_reference(total)
        networks = tuple(HandMade(**asdict(network)) for network in scaled(work, limits, seconds))
    except UserError as error:
        return HandMades(networks=(), why=str(error))
    return HandMades(networks=networks, why=None)


def _thinned(work: Work) -> HandMades:
    """The whole network that is begun with, narrower throughout, where something else is made of it
    by the search."""
    channels, size, _ = work.shape
    whole, published = work.thinned(), described(work.space_name).pretrained
    if whole is None:
        why = "no narrower version of the whole network keeps the budget"
        return HandMades(networks=(), why=why)
    # the search would train the same
    if whole == work.space.extreme(-1) or (published and whole == work.parts_by_hand()[0]):
        why = "the whole network that was begun with keeps the budget"
        return HandMades(networks=(), why=why)
    task, share = work.images.task, work.wide(whole)
    thin = Thinned(
        f"{work.space_name.rpartition(':')[2]}-thinned",
        work.space_name,
        classes=task.outputs,
        channels=channels,
        size=size,
        options=dict(whole),
        text=f"the whole network, its layers {share:.0%} as wide in the mean",
    )
    return HandMades(networks=(ThinnedByHand(**asdict(thin)),), why=None)


def scaled(work: Work, limits: dict[str, float], seconds: float | None = None) -> list[Reference]:
    """Hand-made networks as wide as the limits allow, as far as so many seconds let find that."""
    channels, size, _ = work.shape
    timed = (
        partial(whole_ms, shape=work.shape, threads=work.threads) if "latency" in limits else None
    )
    task = work.images.task
    return reference(
        task.outputs,
        channels,
        size,
        limits,
        latency_ms=timed,
        headed=task.headed,
        stop=_after(seconds),
    )


def _after(seconds: float | None) -> Callable[[], bool]:
    began = time.monotonic()
    return lambda: seconds is not None and time.monotonic() - began > seconds


def line(profiled: Profiled) -> str:
    """The line for the progress table."""
    costs = ", ".join(
        f"{n} {human(n, v.min)} to {human(n, v.max)}" for n, v in profiled.metrics.items()
    )
    text = f"{profiled.space_size} networks, {costs}"
    if profiled.budget:
        share = profiled.feasible_share
        text += "".join(f"; {bound.as_limit.text}" for bound in profiled.budget if bound.share)
        text += (
            f"; {share_text(share.share)} of the space fits"
            if share.share
            else (f"; what fits is rare, found {share.found}")
        )
    if table := profiled.latency_table:
        text += (
            (f"; latency table off by {table.mape:.0%} on {table.held_out} networks")
            if table.held_out
            else ""
        )
        if table.rough_mape is not None:
            text += f", by {table.rough_mape:.0%} where blocks were not timed"
    if profiled.init:
        text += f"; {profiled.init}"
    if profiled.references is not None and profiled.references.why:
        text += f"; no hand-made reference: {profiled.references.why}"
    return text
