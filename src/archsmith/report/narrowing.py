"""How a search by pruning narrowed the space: for each decision a column of bands after each
pruning, one band per option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsmith.report import text
from archsmith.report.run_record import RunRecord
from archsmith.run.records import Trained

# height of a column of bands, its width and the space after it, in CSS pixels
TALL, COLUMN, GAP = 104, 22, 3
LETTER, LEAST = 6.7, 11  # width of a letter of a label; a band lower than this has no label


def narrowing(record: RunRecord) -> dict[str, Any] | None:
    """What the section shows; None where no distribution was pruned, or not yet."""
    distribution = record.trained.distribution if isinstance(record.trained, Trained) else None
    if distribution is None or len(distribution.stages) < 2:
        return None
    options, stages = distribution.options, distribution.stages
    gutter = 8 + LETTER * max(len(short(option)) for row in options.values() for option in row)
    networks = [_count(options, stage.alive) for stage in stages]
    decisions = [
        _decision(
            name,
            row,
            [(stage.theta[name], stage.alive[name]) for stage in stages],
            distribution.survivor,
            gutter=gutter,
        )
        for name, row in options.items()
        if len(row) > 1
    ]
    return {
        "decisions": decisions,
        "height": TALL,
        "column": COLUMN,
        "prunings": len(stages) - 1,
        "from": text.count(networks[0]),
        "to": text.count(networks[-1]),
        "width": gutter + len(stages) * (COLUMN + GAP),
    }


def _count(options: Mapping[str, Sequence[str]], alive: Mapping[str, Sequence[int]]) -> int:
    """Combinations of the options that are alive; where decisions exist only beside others fewer
    networks differ."""
    total = 1
    for name in options:
        total *= len(alive[name])
    return total


def _decision(
    name: str,
    options: Sequence[str],
    stages: Sequence[tuple[Sequence[float], Sequence[int]]],
    survivor: Mapping[str, Any],
    gutter: float,
) -> dict[str, Any]:
    kept = str(survivor[name]) if name in survivor else None
    bands, labels = [], []
    for number, (theta, alive) in enumerate(stages):
        weights = {place: max(0.0, theta[place]) for place in alive}
        total = sum(weights.values())
        shares = {
            place: weight / total if total > 0 else 1 / len(alive)
            for place, weight in weights.items()
        }
        top = 0.0
        for place, share in shares.items():
            height = TALL * share
            bands.append(
                {
                    "x": gutter + number * (COLUMN + GAP),
                    "y": top,
                    "height": max(0.0, height - 1.5),
                    "kind": "kept" if options[place] == kept else ("odd" if place % 2 else "even"),
                    "title": f"{options[place]}: {text.percent(share, 0)} {_when(number)}",
                }
            )
            if number == 0 and height >= LEAST:
                labels.append(
                    {
                        "y": top + height / 2 + 4,
                        "text": short(options[place]),
                        "kept": options[place] == kept,
                    }
                )
            top += height
    return {"name": name, "kept": kept, "bands": bands, "labels": labels}


def _when(number: int) -> str:
    return "at the start" if number == 0 else f"after pruning {number}"


def short(option: str) -> str:
    """A label that fits beside the bands."""
    return option if len(option) <= 16 else option[:15] + "\u2026"
