"""Shared weights in the report: the supernets, and their estimates against networks that were
trained by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archsmith.report import text
from archsmith.report.run_record import RunRecord
from archsmith.run.records import Trained
from archsmith.run.records.search import Supernet, Trust, TrustCheck

SIDE, EDGE = 300, 44  # of the drawing and its margin, in CSS pixels


def estimates(record: RunRecord) -> dict[str, Any] | None:
    """What the section shows; None where no weights were shared, or not yet."""
    if not isinstance(record.trained, Trained) or not record.trained.trust.networks:
        return None
    trust = record.trained.trust
    return {
        "nodes": [_node(node) for node in record.trained.nodes],
        "verdict": verdict(trust),
        "drawn": _drawn(trust.networks),
    }


def verdict(trust: Trust) -> str:
    """How far to trust the ranking, in words."""
    count, tau, p = len(trust.networks), trust.kendall, trust.p
    figures = f"Kendall's \u03c4 {tau:.2f}, p {p:.2g} by chance".replace("-", "\u2212")
    checked = f"{text.count(count)} random networks were trained by themselves for a short time"
    if p > 0.1:
        return (
            f"{checked}: the estimates do not order them better than chance could ({figures}). "
            f"Take the short-list as "
            "little more than a random one; what decided is the training that followed."
        )
    if tau < 0.6:
        return (
            f"{checked}: the estimates order them roughly ({figures}). They tell good from bad, "
            f"not the best from the good."
        )
    return f"{checked}: the estimates order them much as their own training does ({figures})."


def _node(node: Supernet) -> dict[str, str]:
    options = "; ".join(
        f"{name}: {', '.join(map(str, allowed))}" for name, allowed in node.options.items()
    )
    holds = options or ("all networks" if node.parent is None else "a part that no decision tells")
    macs = text.short(node.macs) if node.macs else text.DASH
    return {"name": node.name, "holds": holds, "images": text.count(node.images), "macs": macs}


def _drawn(rows: Sequence[TrustCheck]) -> dict[str, Any]:
    """Estimated accuracy across, own accuracy up, each on a scale of its own."""
    xs, ys = [float(row.estimate) for row in rows], [float(row.accuracy) for row in rows]

    def scale(values: Sequence[float], value: float) -> float:
        low, high = min(values), max(values)
        return EDGE + (SIDE - 2 * EDGE) * ((value - low) / (high - low) if high > low else 0.5)

    points = [
        {
            "x": scale(xs, x),
            "y": SIDE - scale(ys, y),
            "title": f"estimated {text.percent(x)}, by itself {text.percent(y)}",
        }
        for x, y in zip(xs, ys, strict=True)
    ]
    return {
        "side": SIDE,
        "edge": EDGE,
        "points": points,
        "x": [(scale(xs, v), text.percent(v)) for v in sorted({min(xs), max(xs)})],
        "y": [(SIDE - scale(ys, v), text.percent(v)) for v in sorted({min(ys), max(ys)})],
    }
