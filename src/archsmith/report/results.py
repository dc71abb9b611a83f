"""What came out: headline numbers, budget, verdict, comparison, mistakes; plain values, None before they exist."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archsmith._internal.statistics import wilson
from archsmith.problem.budget import Limit
from archsmith.report import text
from archsmith.report.figures import RANDOM, progress
from archsmith.report.front import FULL, share, trained
from archsmith.report.record import Record
from archsmith.report.verdict import Comparison, compare

TITLES = {"won": "The search paid", "lost": "The hand-made network did better", "tie": "A tie with the hand-made network"}
_BELOW = "The search\u2019s network cannot be told from one that gives the same answer always. "
MANY = 12  # classes up to which the confusion matrix carries numbers
DRAWN = 60  # classes up to which it is drawn at all


def tiles(record: Record) -> list[dict[str, Any]]:
    """The few numbers everybody wants first. `predicted` ones are shown differently from measured ones."""
    ship = record.stage("ship")
    test, chosen = record.test, _shipped(record)
    found = []
    if test:
        low, high = interval(test)
        note = f"{text.LEVEL} interval {text.span(low, high)}, {text.plural(test['n'], 'image')}"
        found.append({"label": f"test {record.measure}", "value": text.percent(test["accuracy"]), "note": note})
    for metric in ("params", "macs"):
        if metric in chosen:
            found.append({"label": text.name(metric), "value": text.short(chosen[metric]), "note": _of_limit(record, metric)})
    for row in ship.get("budget") or ():  # what else the user bounded
        if row["metric"] in ("memory", "depth", "layers") and text.is_number(row.get("value")):
            value = text.metric(row["value"], row["metric"])
            found.append({"label": text.name(row["metric"]), "value": value, "note": _of_limit(record, row["metric"])})
    timing = ship.get("latency_ms") or {}
    if timing:
        spread = f"{text.milliseconds(timing.get('p10_ms'))} to {text.milliseconds(timing.get('p90_ms'))} in most runs"
        note = f"{spread}, {text.plural(timing.get('threads'), 'thread')}"
        found.append({"label": "latency, one image", "value": text.milliseconds(timing.get("median_ms")), "note": note})
    elif "latency" in chosen:
        value = f"\u2248 {text.milliseconds(chosen['latency'])}"
        found.append({"label": "latency, one image", "value": value, "note": "by the table, not measured", "predicted": "yes"})
    model = next((f for f in ship.get("files") or () if f.get("name") == "model.onnx"), None)
    if model:
        found.append({"label": "file", "value": text.size(model.get("bytes")), "note": "model.onnx"})
    return found


def _shipped(record: Record) -> Mapping[str, Any]:
    """What finish recorded of the network in best/, the hand-made one where that shipped."""
    reference = record.reference
    if not record.hand_made or not reference:  # one that was trained further stands alone
        return _chosen(record)
    return (reference.get("networks") or {}).get(reference.get("chosen")) or {}


def _chosen(record: Record) -> Mapping[str, Any]:
    finish = record.stage("finish")
    network = dict((finish.get("networks") or {}).get(record.chosen) or {})
    for trial in trained(record):
        if trial.arch.key == record.chosen:
            network = {**trial.metrics, **network}
    return network


def _of_limit(record: Record, metric: str) -> str:
    for limit in record.stage("profile").get("budget") or ():
        if limit.get("metric") == metric:
            return f"allowed: {'at most' if limit.get('op') != '>=' else 'at least'} {text.metric(limit.get('limit'), metric)}"
    return "not limited"


def interval(test: Mapping[str, Any]) -> tuple[float, float]:
    """The 95 % interval of a test accuracy, as recorded or by Wilson's formula."""
    given = test.get("interval")
    if isinstance(given, list | tuple) and len(given) == 2:
        return float(given[0]), float(given[1])
    return wilson(test["accuracy"] * test["n"], test["n"])


def budget(record: Record) -> list[dict[str, Any]]:
    """Each limit with the value of what was shipped (or chosen, until then) and the part of the limit that it uses."""
    shipped = {(limit.get("metric"), limit.get("op")): limit for limit in record.stage("ship").get("budget") or ()}
    chosen, found = _shipped(record), []
    for limit in record.stage("profile").get("budget") or ():
        metric, op, bound = limit.get("metric"), limit.get("op"), limit.get("limit")
        of_shipped = shipped.get((metric, op)) or {}
        value = of_shipped.get("value", chosen.get(metric))
        met = of_shipped.get("met")
        if met is None and text.is_number(value) and text.is_number(bound):
            met = Limit(str(metric), str(op), float(bound)).met(value)
        found.append(
            {
                "name": text.name(metric),
                "limit": text.bound(limit),
                "value": text.metric(value, metric),
                "met": met,
                "predicted": metric == "latency" and not of_shipped,
                "share": min(1.0, value / bound) if text.is_number(value) and text.is_number(bound) and bound else None,
            }
        )
    return found


def verdict(record: Record) -> dict[str, Any] | None:
    """Whether the search paid: the chosen network's test accuracy against the hand-made reference's, with its uncertainty."""
    test, other = record.search_test, record.reference_test
    if not test or not other:
        return None
    result = compare(test["accuracy"], interval(test), other["accuracy"], interval(other))
    below = not test.get("above", True)
    nothing = below and not other.get("above", True)
    outcome = "lost" if below else result.outcome
    effort = "number of training steps" if record.request.get("steps") else "time, scoring included"
    entries = [
        {"label": "chosen network", "role": "chosen", "accuracy": test["accuracy"], "interval": interval(test)},
        {"label": "hand-made reference", "role": "reference", "accuracy": other["accuracy"], "interval": interval(other)},
    ]
    return {
        "outcome": outcome,
        "title": "No result: neither is better than the same answer always" if nothing else TITLES[outcome],
        "text": (_BELOW if below else "")
        + _verdict_text(result, test["accuracy"], other["accuracy"], test["n"], effort, record)
        + _cost_text(record)
        + _shipped_text(record),
        "whiskers": whiskers(entries),
    }


def _verdict_text(result: Comparison, accuracy: float, other: float, n: int, effort: str, record: Record) -> str:
    of = "of the test images right" if record.task == "classification" else "of the variance over the test images"
    verb = "gets" if record.task == "classification" else "explains"
    accuracies = (
        f"The chosen network {verb} {text.percent(accuracy)} {of}, the hand-made one "
        f"{text.percent(other)}, trained with the same recipe for the same total {effort}."
    )
    difference, low, high = (text.points(value) for value in (result.difference, result.low, result.high))
    span = f"{difference} points ({text.LEVEL} interval {low} to {high})"
    if result.outcome == "tie":
        return f"{accuracies} The difference, {span}, is within what {text.count(n)} test images can tell apart."
    if result.outcome == "won":
        return f"{accuracies} The difference, {span}, is more than chance would give."
    return f"{accuracies} The difference, {span}, is more than chance would give: here the search did not pay."


def _shipped_text(record: Record) -> str:
    """Which of the two lies in best/, where it is not the search's."""
    if not record.hand_made:
        return ""
    return " On the validation images the hand-made network was better, so it is the one in best/."


def _cost_text(record: Record) -> str:
    """How the chosen network's costs compare with the reference's, where they differ by more than a tenth."""
    reference = record.reference
    other, chosen = (reference.get("networks") or {}).get(reference.get("chosen")) or {}, _chosen(record)
    parts = []
    for cost in ("params", "macs"):
        if text.is_number(chosen.get(cost)) and text.is_number(other.get(cost)) and other[cost]:
            ratio = chosen[cost] / other[cost]
            if not 0.9 <= ratio <= 1.1:
                parts.append(f"{text.percent(abs(1 - ratio), 0)} {'fewer' if ratio < 1 else 'more'} {text.name(cost)}")
    return f" The chosen one has {' and '.join(parts)}." if parts else ""


def whiskers(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Dots with their intervals on one axis, positions in percent of its width."""
    low = min(entry["interval"][0] for entry in entries)
    high = max(entry["interval"][1] for entry in entries)
    step = next((s for s in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 5), 0.5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    start, width = first * step, max(last - first, 1) * step

    def place(share: float) -> float:
        return round(100 * (share - start) / width, 2)

    ticks = [(round(start + i * step, 6)) for i in range(max(last - first, 1) + 1)]
    return {
        "ticks": [{"at": place(t), "label": text.percent(t, 1 if step < 0.01 else 0)} for t in ticks],
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


def comparison(record: Record) -> list[dict[str, Any]] | None:
    """The chosen network, the best that random search proposed and the reference, one column each."""
    finish = record.stage("finish")
    if not finish:
        return None
    networks, reference = finish.get("networks") or {}, record.reference
    columns = [_column("chosen", "chosen", _chosen(record), record.search_test)]
    drawn = [
        net for key, net in networks.items() if net.get("origin") in RANDOM and key != record.chosen and progress(net) >= FULL
    ]
    best = max((net for net in drawn if text.is_number(net.get("val_accuracy"))), key=lambda n: n["val_accuracy"], default=None)
    if best:
        columns.append(_column("random search\u2019s best", "random", best, {}))
    hand_made = (reference.get("networks") or {}).get(reference.get("chosen"))
    if hand_made:
        columns.append(_column("hand-made", "reference", hand_made, record.reference_test))
    return columns


def _column(title: str, role: str, network: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    low, high = interval(test) if test else (None, None)
    return {
        "title": title,
        "role": role,
        "test": text.percent(test["accuracy"]) if test else text.DASH,
        "interval": text.span(low, high),
        "balanced": text.percent(test.get("balanced_accuracy")),
        "validation": text.percent(network.get("val_accuracy")),
        "params": text.count(network.get("params")),
        "macs": text.short(network.get("macs")),
        "steps": text.count(network.get("steps")),
        "seconds": text.duration(network.get("seconds")),
    }


def against_random(record: Record) -> str | None:
    """The search against random search at equal cost, by the score and, where both were trained, on validation images."""
    search, finish = record.stage("search"), record.stage("finish")
    random = search.get("random") or {}
    if not (random.get("best") and search.get("best")):
        return None
    ours, theirs = (text.short(found["best"].get("score")) for found in (search, random))
    trials, proxy = search.get("trials"), text.name(record.proxy or "training-free")
    both = f"with {text.count(trials)} scored networks each" if trials == random.get("trials") else (
        f"with {text.count(trials)} scored networks against {text.count(random.get('trials'))}"
    )  # fmt: skip
    sentence = f"Search and random search, {both}: the best {proxy} score of the search is {ours}, of random search {theirs}."
    complete = [
        n for n in (finish.get("networks") or {}).values() if progress(n) >= FULL and text.is_number(n.get("val_accuracy"))
    ]
    best: dict[bool, Any] = {
        blind: max((n["val_accuracy"] for n in complete if (n.get("origin") in RANDOM) == blind), default=None)
        for blind in (False, True)
    }
    images = sum((record.stage("look").get("counts") or {}).get("val") or ())
    if best[False] is None or best[True] is None or not images:
        return f"{sentence} A score is not a result."
    if record.task != "classification":
        return (
            f"{sentence} Trained, the best network of the search reaches {text.percent(best[False])} {record.measure} on the "
            f"validation images, the best of random search {text.percent(best[True])}."
        )
    known = {blind: interval({"accuracy": accuracy, "n": images}) for blind, accuracy in best.items()}
    result = compare(best[False], known[False], best[True], known[True])
    end = {"tie": "a tie", "won": "the search won", "lost": "random search won"}[result.outcome]
    return (
        f"{sentence} Trained, the best network of the search reaches {text.percent(best[False])} on the validation images, "
        f"the best of random search {text.percent(best[True])}: {end}, as far as {text.count(images)} images can tell."
    )


def networks(record: Record) -> list[dict[str, Any]]:
    """Every network that was trained, the reference's included, best on validation first."""
    finish = record.stage("finish")
    chosen, reference = record.chosen, record.reference
    longest = {trial.arch.key: share(trial) for trial in trained(record)}
    found = []
    for key, net in (finish.get("networks") or {}).items():
        origin = "random draw" if net.get("origin") in RANDOM else net.get("origin") or "search"
        found.append(_network(key[:8], "chosen" if key == chosen else "", net, origin, longest.get(key, progress(net))))
    for name, net in (reference.get("networks") or {}).items():
        found.append(_network(name, "reference", net, "hand-made", progress(net)))
    return sorted(found, key=lambda n: (n["share"] >= FULL, n["order"]), reverse=True)


def _network(name: str, role: str, net: Mapping[str, Any], origin: str, how_far: float) -> dict[str, Any]:
    accuracy = net.get("val_accuracy")
    return {
        "name": name,
        "role": role,
        "origin": origin,
        "params": text.count(net.get("params")),
        "macs": text.short(net.get("macs")),
        "validation": text.percent(accuracy),
        "trained": f"failed: {net['failed']}" if net.get("failed") else text.percent(how_far, 0),
        "share": how_far,
        "order": accuracy if text.is_number(accuracy) else -1.0,
    }


def errors(record: Record) -> dict[str, Any] | None:
    """How far off numbers and pixels are, in their units; None for classes, and before the test."""
    test = record.test
    if not test.get("rmse"):
        return None
    rows = [
        {"value": f"{value:.3g}", "of": "of pixels from 0 to 1" if record.task == "reconstruction" else f"of {name}"}
        for name, value in test["rmse"].items()
    ]
    psnr = f"{test['psnr']:.1f}" if text.is_number(test.get("psnr")) else ""
    return {"rows": rows, "psnr": psnr, "n": test["n"], "left": text.percent(1 - test["accuracy"])}


def mistakes(record: Record) -> dict[str, Any] | None:
    """The confusion matrix (true class down, predicted across), recall by class from the worst, the commonest confusions."""
    test, classes = record.test, record.stage("look").get("classes") or []
    matrix = test.get("confusion")
    if not matrix:
        return None
    names = [str(c) for c in classes] if len(classes) == len(matrix) else [str(i) for i in range(len(matrix))]
    totals = [sum(row) for row in matrix]
    recalls = []
    for i, (name, total) in enumerate(zip(names, totals, strict=True)):
        recall = matrix[i][i] / total if total else None
        low, high = wilson(matrix[i][i], total)
        recalls.append(
            {"name": name, "recall": recall, "right": matrix[i][i], "n": total, "low": 100 * low, "high": 100 * high}
        )
    recalls.sort(key=lambda r: (r["recall"] is None, r["recall"]))
    wrong = [(n, names[i], names[j], totals[i]) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    return {
        "names": names,
        "numbered": [n if len(n) <= 2 else str(i + 1) for i, n in enumerate(names)],
        "short": all(len(n) <= 2 for n in names),
        "cells": [[{"n": n, "share": n / totals[i] if totals[i] else 0.0} for n in row] for i, row in enumerate(matrix)]
        if len(matrix) <= DRAWN
        else None,
        "with_numbers": len(matrix) <= MANY,
        "recalls": recalls[:20],
        "left_out": max(0, len(recalls) - 20),
        "worst": [{"n": n, "true": t, "predicted": p, "of": of} for n, t, p, of in sorted(wrong, key=lambda w: -w[0])[:6]],
        "total_wrong": sum(w[0] for w in wrong),
        "examples": [{**row, "share": text.percent(row["share"], 0)} for row in record.stage("ship").get("mistakes") or ()],
        "n": sum(totals),
    }


def arms(record: Record) -> str | None:
    """What each side of the comparison was given and what it used."""
    finish = record.stage("finish")
    plan, nets, others = finish.get("plan") or {}, finish.get("networks") or {}, record.reference.get("networks") or {}
    if not text.is_number(plan.get("search")) or not others:
        return None
    if plan.get("unit") == "steps":
        used = [sum(net.get("steps") or 0 for net in arm.values()) for arm in (nets, others)]
        given = [
            f"{text.count(plan[arm])} training steps (used: {text.count(n)})"
            for arm, n in zip(("search", "reference"), used, strict=True)
        ]
        return f"The search was given {given[0]}, the hand-made network {given[1]}. Scoring comes on top of the search\u2019s."
    used = [sum(net.get("seconds") or 0.0 for net in arm.values()) for arm in (nets, others)]
    given = [f"{text.duration(plan[arm])} of training" for arm in ("search", "reference")]
    scoring = f" after {text.duration(plan['scoring_s'])} of scoring" if text.is_number(plan.get("scoring_s")) else ""
    return (
        f"The search was given {given[0]}{scoring} (spent on training steps: {text.duration(used[0])}), the hand-made network "
        f"{given[1]} ({text.duration(used[1])})."
    )
