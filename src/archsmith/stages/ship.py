"""Stage 7, ship: re-check the budget on the exported file, one look at the test images, the package, the front, the report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from archsmith import export
from archsmith.budget import Limit, human
from archsmith.metrics.cost import LAYERS, OWN, layer_sums
from archsmith.metrics.latency import time_onnx
from archsmith.models.reference import costs
from archsmith.onnx_export import onnx_bytes
from archsmith.report.front import write_front
from archsmith.report.verdict import compare
from archsmith.space import Architecture
from archsmith.stages.finish import field_for, reference_entrants, references, shortlisted
from archsmith.stages.work import Work
from archsmith.survey import as_json
from archsmith.training.race import trained


def ship(work: Work) -> dict[str, Any]:
    """Takes the best network by validation whose exported file keeps to the budget; a miss falls to the next."""
    finish = work.run.stage("finish") or {}
    network, arch, checks, fell_back = _choose(work, finish["ranking"])
    work.tell("one look at the test images", 0.2)
    test = work.judged(network, work.part("test"))
    reference_test = _reference_test(work, finish)
    work.tell("exporting and verifying", 0.4)
    facts = {
        "test": test, "budget": checks, "data": work.images.name, "val_accuracy": finish["networks"][arch.key]["val_accuracy"],
        **costs(network, work.shape), "space": work.space_name,
    }  # fmt: skip
    network, some = network.cpu(), work.images.parts["val"]
    package = export.ship(
        work.run.folder / "best", network, shape=work.shape, goal=work.images.goal, mean=work.images.mean,
        std=work.images.std, architecture=arch, facts=facts, threads=work.threads,
        images=some.images(range(min(16, len(some)))), preprocessing=work.images.how,
    )  # fmt: skip
    return {
        **package,
        "key": arch.key,
        "architecture": {"space": work.space_name, "key": arch.key, "options": dict(arch)},
        "budget": checks,
        "fell_back": fell_back,
        "test": test,
        "reference_test": reference_test,
        "verdict": verdict(test, reference_test, work.images.goal.measure),
        "measure": work.images.goal.measure,
    }


def verdict(test: dict[str, Any], reference: dict[str, Any] | None, measure: str = "accuracy") -> str:
    """Whether the search paid, in one sentence."""
    text = f"test {measure} {test['accuracy']:.2%} (95 % interval {test['interval'][0]:.2%} to {test['interval'][1]:.2%})"
    if reference is None:
        return f"{text}; no hand-made reference was trained"
    found = compare(test["accuracy"], test["interval"], reference["accuracy"], reference["interval"])
    word = {"won": "the search won", "lost": "the search lost", "tie": "a tie within the interval"}[found.outcome]
    return f"{text}; the hand-made reference at equal cost {reference['accuracy']:.2%}: {word}"


def _choose(work: Work, ranking: Sequence[str]) -> tuple[nn.Module, Architecture, list[dict[str, Any]], list[dict[str, Any]]]:
    """The first that keeps every limit; where none does, the one of the least violation, and its misses stand in `budget`."""
    shortlist = (work.run.stage("search") or {})["shortlist"]
    options = {entry["key"]: entry["options"] for entry in shortlist}
    entrants = {entrant.name: entrant for entrant in shortlisted(work, shortlist)}
    tried: list[tuple[float, int, nn.Module, Architecture, list[dict[str, Any]]]] = []
    fell_back: list[dict[str, Any]] = []
    finished = (work.run.stage("finish") or {})["networks"]
    for name in ranking:
        network = trained(entrants[name], field_for(work, "search"), len(entrants), finished[name])
        arch = Architecture.from_json(options[name])
        checks = work.run.decide(f"ship/{name}", partial(check, work, network, arch))
        if all(row["met"] for row in checks):
            return network, arch, checks, fell_back
        missed = [row for row in checks if not row["met"]]
        why = "; ".join(f"{row['text']} but measured {human(row['metric'], row['value'])}" for row in missed)
        fell_back.append({"key": name, "why": why})
        tried.append((violation(work.limits, checks), len(tried), network, arch, checks))
    _, _, network, arch, checks = min(tried, key=lambda entry: entry[:2])
    return network, arch, checks, fell_back


def violation(limits: Sequence[Limit], checks: Sequence[dict[str, Any]]) -> float:
    """By how much the measured values break their limits, as `Problem` counts it; 0 where all are kept."""
    return sum(limit.excess(row["value"]) for limit, row in zip(limits, checks, strict=True))


def check(work: Work, network: nn.Module, arch: Architecture) -> list[dict[str, Any]]:
    """Each limit against what the network really has; latency on the exported file, up to three times where it misses."""
    found, around = [], export.deployment_of(work.images.goal, work.images.mean, work.images.std)
    for limit in work.limits:
        if limit.metric == "latency":
            work.tell("timing the exported file", 0.1)
            medians: list[float] = []
            while len(medians) < 3 and not (medians and limit.met(statistics.median(medians))):
                model = onnx_bytes(network.cpu(), work.shape, around)
                medians.append(time_onnx(model, work.shape, threads=work.threads)["median_ms"])
            value = statistics.median(medians)
        elif limit.metric in OWN:
            value = work.costs(arch)[limit.metric]
        elif limit.metric in LAYERS:
            value = layer_sums(network, work.shape)[limit.metric]
        else:
            value = costs(network, work.shape)[limit.metric]
        found.append({**as_json(limit), "value": value, "met": limit.met(value)})
    return found


def _reference_test(work: Work, finish: dict[str, Any]) -> dict[str, Any] | None:
    reference = finish["reference"]
    if reference is None:
        return None
    entrants = reference_entrants(work, references(work, finish["networks"][finish["chosen"]]))
    entrant = next(e for e in entrants if e.name == reference["chosen"])
    network = trained(entrant, field_for(work, "reference"), len(entrants), reference["networks"][entrant.name])
    return work.judged(network, work.part("test"))


def finished(work: Work) -> None:
    """After the stage is committed: the front as a table."""
    write_front(work.run.folder)


def said(payload: dict[str, Any]) -> str:
    """The line for the progress table."""
    test = payload["test"]
    measure = payload.get("measure", "accuracy")
    text = f"test {measure} {test['accuracy']:.2%} on {test['n']:,} images; {len(payload['files'])} files in best/"
    latency = payload["latency_ms"]
    if latency:
        text += f"; {latency['median_ms']:.2f} ms per image"
    if any(not row["met"] for row in payload["budget"]):
        text += "; BUDGET MISSED"
    return text
