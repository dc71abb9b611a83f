"""What came out: headline numbers, budget, verdict, comparison, mistakes; plain values, None before
they exist."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archsmith._internal.statistics import wilson
from archsmith.report import text
from archsmith.report.figures import RANDOM
from archsmith.report.front import FULL, share, trained
from archsmith.report.run_record import RunRecord
from archsmith.report.verdict import Comparison, compare
from archsmith.run.records.finish import Finalist, TrainedNetwork
from archsmith.run.records.ship import Classified, Tested

TITLES = {
    "won": "The search paid",
    "lost": "The hand-made network did better",
    "tie": "A tie with the hand-made network",
}
_BELOW = "The search\u2019s network cannot be told from one that gives the same answer always. "


def tiles(record: RunRecord) -> list[dict[str, Any]]:
    """The few numbers everybody wants first. `predicted` ones are shown differently from measured
    ones."""
    ship, test, chosen = record.shipped, record.test, _costs(record)
    entries = []
    if test is not None:
        note = f"{text.LEVEL} interval {text.span(*test.interval)}, {text.plural(test.n, 'image')}"
        entries.append(
            {"label": f"test {record.measure}", "value": text.percent(test.accuracy), "note": note}
        )
    for metric in ("params", "macs"):
        if metric in chosen:
            entries.append(
                {
                    "label": text.name(metric),
                    "value": text.short(chosen[metric]),
                    "note": _of_limit(record, metric),
                }
            )
    for row in ship.budget if ship is not None else ():  # what else the user bounded
        if row.metric in ("memory", "depth", "layers") and text.is_number(row.value):
            value = text.metric(row.value, row.metric)
            entries.append(
                {
                    "label": text.name(row.metric),
                    "value": value,
                    "note": _of_limit(record, row.metric),
                }
            )
    timing = ship.latency_ms if ship is not None else None
    if timing is not None:
        spread = (
            f"{text.milliseconds(timing.p10_ms)} to {text.milliseconds(timing.p90_ms)} in most runs"
        )
        note = f"{spread}, {text.plural(timing.threads, 'thread')}"
        entries.append(
            {
                "label": "latency, one image",
                "value": text.milliseconds(timing.median_ms),
                "note": note,
            }
        )
    elif "latency" in chosen:
        value = f"\u2248 {text.milliseconds(chosen['latency'])}"
        entries.append(
            {
                "label": "latency, one image",
                "value": value,
                "note": "by the table, not measured",
                "predicted": "yes",
            }
        )
    model = (
        next((file for file in ship.files if file.name == "model.onnx"), None)
        if ship is not None
        else None
    )
    if model is not None:
        entries.append({"label": "file", "value": text.size(model.bytes), "note": "model.onnx"})
    return entries


def _costs(record: RunRecord) -> Mapping[str, float]:
    """Of the network in best/, the hand-made one where that shipped."""
    # one that was trained further stands alone
    if not record.hand_made or record.reference is None:
        return _costs_of_chosen(record)
    return record.reference.best.costs


def _costs_of_chosen(record: RunRecord) -> Mapping[str, float]:
    costs = dict(record.chosen_network.costs) if record.chosen_network is not None else {}
    for trial in trained(record):
        if trial.arch.key == record.chosen:
            costs = {**trial.metrics, **costs}
    return costs


def _of_limit(record: RunRecord, metric: str) -> str:
    limit = record.profiled.bound(metric) if record.profiled is not None else None
    if limit is None:
        return "not limited"
    return (
        f"allowed: {'at most' if limit.op != '>=' else 'at least'} "
        f"{text.metric(limit.limit, metric)}"
    )


def budget(record: RunRecord) -> list[dict[str, Any]]:
    """Each limit with the value of what was shipped (or chosen, until then) and the part of the
    limit that it uses."""
    shipped = (
        {(row.metric, row.op): row for row in record.shipped.budget}
        if record.shipped is not None
        else {}
    )
    chosen, limits = _costs(record), []
    for limit in record.profiled.budget if record.profiled is not None else ():
        metric, bound, row = limit.metric, limit.limit, shipped.get((limit.metric, limit.op))
        value, met = (row.value, row.met) if row is not None else (chosen.get(metric), None)
        if met is None and text.is_number(value) and text.is_number(bound):
            met = limit.as_limit.met(value)
        limits.append(
            {
                "name": text.name(metric),
                "limit": text.bound(limit),
                "of": "" if not limit.share else text.share_of_largest(limit),
                "value": text.metric(value, metric),
                "met": met,
                "predicted": metric == "latency" and row is None,
                "share": min(1.0, value / bound)
                if text.is_number(value) and text.is_number(bound) and bound
                else None,
            }
        )
    return limits


def verdict(record: RunRecord) -> dict[str, Any] | None:
    """Whether the search paid: the chosen network's test accuracy against the hand-made
    reference's, with its uncertainty."""
    test, other = record.search_test, record.reference_test
    if test is None or other is None:
        return None
    result = compare(test.accuracy, test.interval, other.accuracy, other.interval)
    below = not test.above
    nothing = below and not other.above
    outcome = "lost" if below else result.outcome
    effort = "number of training steps" if record.request.steps else "time, scoring included"
    entries = [
        {
            "label": "chosen network",
            "role": "chosen",
            "accuracy": test.accuracy,
            "interval": test.interval,
        },
        {
            "label": "hand-made reference",
            "role": "reference",
            "accuracy": other.accuracy,
            "interval": other.interval,
        },
    ]
    if (whole := record.original_test) is not None:
        entries.append(
            {
                "label": "the network it was made from",
                "role": "original",
                "accuracy": whole.accuracy,
                "interval": whole.interval,
            }
        )
    return {
        "outcome": outcome,
        "title": "No result: neither is better than the same answer always"
        if nothing
        else TITLES[outcome],
        "text": (_BELOW if below else "")
        + _verdict_text(result, test, other, effort, record=record)
        + _cost_text(record)
        + _shipped_text(record)
        + _refit_text(record),
        "whiskers": whiskers(entries),
    }


def _verdict_text(
    result: Comparison, test: Tested, other: Tested, effort: str, record: RunRecord
) -> str:
    of = (
        "of the test images right"
        if record.task == "classification"
        else ("of the variance over the test images")
    )
    verb = "gets" if record.task == "classification" else "explains"
    accuracies = (
        f"The chosen network {verb} {text.percent(test.accuracy)} {of}, the hand-made one "
        f"{text.percent(other.accuracy)}, trained with the same recipe for the same total {effort}."
    )
    difference, low, high = (
        text.points(value) for value in (result.difference, result.low, result.high)
    )
    span = f"{difference} points ({text.LEVEL} interval {low} to {high})"
    if result.outcome == "tie":
        return (
            f"{accuracies} The difference, {span}, is within what {text.count(test.n)} test "
            f"images can tell apart."
        )
    if result.outcome == "won":
        return f"{accuracies} The difference, {span}, is more than chance would give."
    return (
        f"{accuracies} The difference, {span}, is more than chance would give: here the search "
        f"did not pay."
    )


def _shipped_text(record: RunRecord) -> str:
    """Which of the two lies in best/, where it is not the search's."""
    if not record.hand_made:
        return ""
    return " On the validation images the hand-made network was better, so it is the one in best/."


def _refit_text(record: RunRecord) -> str:
    """What was trained once more, and how it does."""
    if record.shipped is None or not record.shipped.refit or record.test is None:
        return ""
    return (
        f" Both as trained on the training images alone; what lies in best/ was trained once more, "
        f"on the validation images as well: {text.percent(record.test.accuracy)}."
    )


def _cost_text(record: RunRecord) -> str:
    """How the chosen network's costs compare with the reference's, where they differ by more than a
    tenth."""
    other, chosen = (
        record.reference.best.costs if record.reference is not None else {},
        _costs_of_chosen(record),
    )
    parts = []
    for cost in ("params", "macs"):
        if cost in chosen and other.get(cost):
            ratio = chosen[cost] / other[cost]
            if not 0.9 <= ratio <= 1.1:
                parts.append(
                    f"{text.percent(abs(1 - ratio), 0)} "
                    f"{'fewer' if ratio < 1 else 'more'} {text.name(cost)}"
                )
    return f" The chosen one has {' and '.join(parts)}." if parts else ""


def whiskers(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Dots with their intervals on one axis, positions in percent of its width."""
    low = min(entry["interval"][0] for entry in entries)
    high = max(entry["interval"][1] for entry in entries)
    step = next(
        (s for s in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 5), 0.5
    )
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    start, width = first * step, max(last - first, 1) * step

    def place(share: float) -> float:
        return round(100 * (share - start) / width, 2)

    ticks = [(round(start + i * step, 6)) for i in range(max(last - first, 1) + 1)]
    return {
        "ticks": [
            {"at": place(t), "label": text.percent(t, 1 if step < 0.01 else 0)} for t in ticks
        ],
        "rows": [
            {
                "label": e["label"],
                "role": e["role"],
                "at": place(e["accuracy"]),
                "from": place(e["interval"][0]),
                "to": place(e["interval"][1]),
                "value": text.percent(e["accuracy"]),
                "span": text.span(*e["interval"]),
            }
            for e in entries
        ],
    }


def comparison(record: RunRecord) -> list[dict[str, Any]] | None:
    """The chosen network, the best that random search proposed and the reference, one column
    each."""
    if record.finished is None:
        return None
    chosen = record.chosen_network
    columns = [
        _column("chosen", "chosen", _costs_of_chosen(record), chosen, test=record.search_test)
    ]
    drawn = [
        (net, value)
        for net, value in _in_full(record)
        if net.origin in RANDOM and net is not chosen
    ]
    if drawn:
        best, _ = max(drawn, key=lambda pair: pair[1])
        columns.append(_column("random search\u2019s best", "random", best.costs, best, test=None))
    if record.reference is not None:
        by_hand = record.reference.best
        columns.append(
            _column("hand-made", "reference", by_hand.costs, by_hand, test=record.reference_test)
        )
    if (original := record.original) is not None:
        column = _column("made from", "original", original.costs, None, test=record.original_test)
        columns.append({**column, "validation": text.percent(original.val_measure)})
    return columns


def _in_full(record: RunRecord) -> list[tuple[Finalist, float]]:
    """The networks of the short-list that were trained to the end, each with its accuracy on the
    validation images."""
    complete = (net for net in record.networks.values() if net.progress >= FULL)
    return [(net, net.val_measure) for net in complete if text.is_number(net.val_measure)]


def _column(
    title: str,
    role: str,
    costs: Mapping[str, float],
    network: TrainedNetwork | None,
    test: Tested | None,
) -> dict[str, Any]:
    return {
        "title": title,
        "role": role,
        "test": text.percent(test.accuracy) if test is not None else text.DASH,
        "interval": text.span(*test.interval) if test is not None else text.DASH,
        "balanced": text.percent(test.balanced_accuracy if isinstance(test, Classified) else None),
        "validation": text.percent(
            network.val_measure if network is not None else costs.get("val_measure")
        ),
        "params": text.count(costs.get("params")),
        "macs": text.short(costs.get("macs")),
        "steps": text.count(network.steps if network is not None else None),
        "seconds": text.duration(network.seconds if network is not None else None),
    }


def against_random(record: RunRecord) -> str | None:
    """The search against random search at equal cost, by the score and, where both were trained, on
    validation images."""
    search = record.searched
    if search is None or search.best is None or search.random is None or search.random.best is None:
        return None
    ours, theirs = text.short(search.best.score), text.short(search.random.best.score)
    trials, others, proxy = (
        search.trials,
        search.random.trials,
        text.name(record.proxy or "training-free"),
    )
    both = (f"with {text.count(trials)} scored networks ") + (
        "each" if trials == others else f"against {text.count(others)}"
    )
    sentence = (
        f"Search and random search, {both}: the best {proxy} score of the search is {ours}, "
        f"of random search {theirs}."
    )
    complete = _in_full(record)
    best: dict[bool, Any] = {
        blind: max(
            (value for net, value in complete if (net.origin in RANDOM) == blind), default=None
        )
        for blind in (False, True)
    }
    images = sum(record.looked.counts.val) if record.looked is not None else 0
    if best[False] is None or best[True] is None or not images:
        return f"{sentence} A score is not a result."
    if record.task != "classification":
        return (
            f"{sentence} Trained, the best network of the search reaches "
            f"{text.percent(best[False])} {record.measure} on the "
            f"validation images, the best of random search {text.percent(best[True])}."
        )
    known = {blind: wilson(accuracy * images, images) for blind, accuracy in best.items()}
    result = compare(best[False], known[False], best[True], known[True])
    end = {"tie": "a tie", "won": "the search won", "lost": "random search won"}[result.outcome]
    return (
        f"{sentence} Trained, the best network of the search reaches {text.percent(best[False])} "
        f"on the validation images, "
        f"the best of random search {text.percent(best[True])}: {end}, as far as "
        f"{text.count(images)} images can tell."
    )


def networks(record: RunRecord) -> list[dict[str, Any]]:
    """Every network that was trained, the reference's included, best on validation first."""
    longest = {trial.arch.key: share(trial) for trial in trained(record)}
    rows = []
    for key, net in record.networks.items():
        origin = "random draw" if net.origin in RANDOM else net.origin or "search"
        role = "chosen" if key == record.chosen else ""
        rows.append(_network(key[:8], role, net, origin, how_far=longest.get(key, net.progress)))
    for name, rival in record.rivals.items():
        rows.append(_network(name, "reference", rival, "hand-made", how_far=rival.progress))
    return sorted(rows, key=lambda n: (n["share"] >= FULL, n["order"]), reverse=True)


def _network(
    name: str, role: str, net: TrainedNetwork, origin: str, how_far: float
) -> dict[str, Any]:
    accuracy = net.val_measure
    return {
        "name": name,
        "role": role,
        "origin": origin,
        "params": text.count(net.costs.get("params")),
        "macs": text.short(net.costs.get("macs")),
        "validation": text.percent(accuracy),
        "trained": f"failed: {net.failed}" if net.failed else text.percent(how_far, 0),
        "share": how_far,
        "order": accuracy if text.is_number(accuracy) else -1.0,
    }


def arms(record: RunRecord) -> str | None:
    """What each side of the comparison was given and what it used."""
    if record.finished is None or record.reference is None:
        return None
    plan, both = record.finished.plan, (record.networks, record.rivals)
    if plan.unit == "steps":
        steps = [sum(net.steps for net in arm.values()) for arm in both]
        given = [
            f"{text.count(total)} training steps (used: {text.count(n)})"
            for total, n in zip((plan.search, plan.reference), steps, strict=True)
        ]
        kept = f" {text.count(plan.refit)} more were kept for what ships." if plan.refit else ""
        return (
            f"The search was given {given[0]}, the hand-made network {given[1]}. Scoring comes "
            f"on top of the search\u2019s.{kept}"
        )
    used = [sum(net.seconds for net in arm.values()) for arm in both]
    given = [f"{text.duration(total)} of training" for total in (plan.search, plan.reference)]
    scoring = (
        (f" after {text.duration(plan.scoring_s)} of scoring")
        if text.is_number(plan.scoring_s)
        else ""
    )
    return (
        f"The search was given {given[0]}{scoring} (spent on training steps: "
        f"{text.duration(used[0])}), the hand-made network "
        f"{given[1]} ({text.duration(used[1])})."
        + (
            f" {text.duration(plan.refit)} more were kept to train what ships once more."
            if plan.refit
            else ""
        )
    )
