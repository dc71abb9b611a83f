"""The interactive figures as Plotly specifications; a color is a token such as "$chosen" until the
page knows its theme."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from archsmith.problem import Trial
from archsmith.report import text
from archsmith.report.front import COSTS, FULL, best_of, scored, share, trained
from archsmith.report.run_record import RunRecord
from archsmith.run.records.finish import Rival, TrainedNetwork

RANDOM = ("screen", "search-random", "random")  # origins and stages of networks drawn blindly
SHOWN = 1500  # scored networks drawn at most; the front is always among them
AXES = {
    "params": "parameters",
    "macs": "MACs for one image",
    "memory": "peak memory, bytes",
    "latency": "latency by table, ms (predicted)",
}

# {"data": [...], "layout": {...}, "axes": {cost: title}, "axis": the one shown,
#  "limits": {cost: limit}, "xs": {trace index: {cost: values}},
#  "ys": likewise for the few traces whose y depends on the cost}
Figure = dict[str, Any]


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "standoff": 8, "font": {"color": "$soft", "size": 13}},
        "gridcolor": "$grid",
        "linecolor": "$line",
        "tickcolor": "$line",
        "tickfont": {"color": "$soft", "size": 12},
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        **more,
    }


def _layout(x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "xaxis": dict(x),
        "yaxis": dict(y),
        "showlegend": False,
        "hovermode": "closest",
        "margin": {"l": 48, "r": 12, "t": 10, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {
            "bgcolor": "$raised",
            "bordercolor": "$line",
            "font": {"color": "$ink", "size": 13},
        },
        "shapes": [],
    }


def _marker(color: str, symbol: str, size: float, **more: Any) -> dict[str, Any]:
    return {
        "color": color,
        "symbol": symbol,
        "size": size,
        "line": {"color": "$paper", "width": 1.5},
    } | more


def _points(
    figure: Figure, name: str, values: Sequence[Mapping[str, Any]], y: Sequence[float], **style: Any
) -> None:
    """Adds a trace whose x follows the reader's choice of cost; `values` hold the costs and the
    hover text."""
    figure["xs"][str(len(figure["data"]))] = {
        cost: [row.get(cost) for row in values]
        for cost in figure["axes"]
        if any(row.get(cost) is not None for row in values)
    }
    figure["data"].append(
        {
            "type": "scatter",
            "name": name,
            "legendgroup": name,
            "x": [row.get(figure["axis"]) for row in values],
            "y": list(y),
            "text": [row["hover"] for row in values],
            "hovertemplate": "%{text}<extra></extra>",
            **style,
        }
    )


def _hover(title: str, metrics: Mapping[str, Any], *more: str) -> str:
    """Plotly reads a few tags in its texts, so everything from outside is escaped."""
    costs = [
        f"{text.name(c)} {'≈ ' if c == 'latency' else ''}{text.metric(metrics[c], c)}"
        for c in COSTS
        if text.is_number(metrics.get(c))
    ]
    return "<br>".join(
        [
            f"<b>{html.escape(title, quote=False)}</b>",
            *(html.escape(m, quote=False) for m in more),
            *costs,
        ]
    )


def _figure(costs: Sequence[str], y_title: str, limits: Mapping[str, float], **y: Any) -> Figure:
    log = {
        "type": "log",
        "nticks": 6,
        "minor": {"ticks": "outside", "ticklen": 2, "tickcolor": "$line"},
    }
    axes = {cost: AXES[cost] for cost in costs}
    figure: Figure = {
        "data": [],
        "layout": _layout(_axis(axes[costs[0]], **log), _axis(y_title, **y)),
        "xs": {},
        "axes": axes,
        "axis": costs[0],
        "limits": {cost: limit for cost, limit in limits.items() if cost in axes},
    }
    return figure


def _limits(record: RunRecord) -> dict[str, float]:
    budget = record.profiled.budget if record.profiled is not None else ()
    return {
        bound.metric: bound.limit
        for bound in budget
        if bound.op == "<=" and text.is_number(bound.limit)
    }


def _ordered_costs(costs: Sequence[str], limits: Mapping[str, float]) -> list[str]:
    """The costs a reader can choose as x axis, limited ones first."""
    return sorted(costs, key=lambda cost: cost not in limits)


def trained_front(record: RunRecord) -> Figure | None:
    """Validation accuracy against cost of every network that was trained, in full or in part, and
    of the reference."""
    points = [row for row in trained(record) if "params" in row.metrics]
    if not points:
        return None
    limits = _limits(record)
    costs = _ordered_costs([c for c in COSTS if all(c in row.metrics for row in points)], limits)
    figure = _figure(costs, f"validation {record.measure}", limits, tickformat=".1%")
    chosen = record.chosen

    def add(name: str, some: Sequence[Trial], **style: Any) -> None:
        shown = [{**row.metrics, "hover": _hover_trained(row, name)} for row in some]
        if shown:
            _points(
                figure,
                name,
                shown,
                [row.metrics["val_measure"] for row in some],
                mode="markers",
                **style,
            )

    rest = [row for row in points if row.arch.key != chosen]
    part = [row for row in rest if share(row) < FULL]
    full = [row for row in rest if share(row) >= FULL]
    add(
        "stopped early",
        part,
        marker=_marker("$search", "circle-open", 9, line={"color": "$search", "width": 1.5}),
    )
    add("trained in full", full, marker=_marker("$search", "circle", 10))
    # filled ones on top
    for symbol, hand_made in sorted(_squares(record.rivals).items(), reverse=True):
        outline = {"color": "$reference" if "open" in symbol else "$paper", "width": 1.5}
        shown = [{**net.costs, "hover": _hover_rival(name, net)} for name, net in hand_made]
        marker = _marker("$reference", symbol, 10, line=outline)
        _points(
            figure,
            "hand-made",
            shown,
            [net.val_measure or 0.0 for _, net in hand_made],
            mode="markers",
            marker=marker,
        )
    add(
        "chosen",
        [row for row in points if row.arch.key == chosen],
        marker=_marker("$chosen", "diamond", 15),
    )
    _within_shares(figure)
    return figure


def _squares(rivals: Mapping[str, Rival]) -> dict[str, list[tuple[str, Rival]]]:
    """Hand-made networks by symbol: open where they were stopped early."""
    groups: dict[str, list[tuple[str, Rival]]] = {}
    for name, net in rivals.items():
        if text.is_number(net.val_measure) and "params" in net.costs:
            groups.setdefault("square" if net.progress >= FULL else "square-open", []).append(
                (name, net)
            )
    return groups


def _hover_rival(name: str, net: Rival) -> str:
    return _hover(f"hand-made {name}", net.costs, f"validation {text.percent(net.val_measure)}")


def _hover_trained(row: Trial, name: str) -> str:
    how_far = "in full" if share(row) >= FULL else f"for {text.percent(share(row), 0)} of the plan"
    title = "chosen network" if name == "chosen" else f"network {row.arch.key[:8]}"
    origin = " (drawn at random)" if row.candidate.origin in RANDOM else ""
    return _hover(
        title,
        row.metrics,
        f"validation {text.percent(row.metrics['val_measure'])}, trained {how_far}{origin}",
    )


def scored_front(record: RunRecord) -> Figure | None:
    """The training-free score against cost: the sample that was screened, the search, random
    search, their best, the front."""
    proxy, points = record.proxy, [row for row in scored(record) if "params" in row.metrics]
    if not points or not proxy:
        return None
    limits, chosen = _limits(record), record.chosen
    costs = _ordered_costs([c for c in COSTS if all(c in row.metrics for row in points)], limits)
    figure = _figure(costs, f"{text.name(proxy)} score", limits)
    fronts = {cost: best_of(points, proxy, [cost]) for cost in costs}
    kept = {row.arch.key for best in fronts.values() for row in best}
    groups = {
        "screen": ("screened", "$quiet", 5),
        "search-random": ("random search", "$random", 6),
        "search": ("search", "$search", 6),
    }
    for stage, (name, color, size) in groups.items():
        some = [row for row in points if row.stage == stage and row.arch.key != chosen]
        marker = _marker(color, "circle", size, opacity=0.75, line={"width": 0})
        _add_scored(figure, name, _thinned(some, kept), proxy, mode="markers", marker=marker)
    line = {"color": "$search", "width": 1.5, "shape": "hv"}
    _add_scored(
        figure,
        "best at its size",
        fronts[costs[0]],
        proxy,
        mode="lines",
        line=line,
        hoverinfo="skip",
        legendgroup="",
    )
    last = str(len(figure["data"]) - 1)
    figure["xs"][last] = {
        cost: [row.metrics[cost] for row in best] for cost, best in fronts.items()
    }
    figure["ys"] = {
        last: {cost: [row.metrics[proxy] for row in best] for cost, best in fronts.items()}
    }
    picked = [row for row in points if row.arch.key == chosen]
    _add_scored(
        figure, "chosen", picked, proxy, mode="markers", marker=_marker("$chosen", "diamond", 15)
    )
    return figure


def _add_scored(figure: Figure, name: str, some: Sequence[Trial], proxy: str, **style: Any) -> None:
    if some:
        shown = [
            {
                **row.metrics,
                "hover": _hover(
                    f"{name}, {row.arch.key[:8]}",
                    row.metrics,
                    f"score {text.short(row.metrics[proxy])}",
                ),
            }
            for row in some
        ]
        _points(figure, name, shown, [row.metrics[proxy] for row in some], **style)


def _thinned(some: Sequence[Trial], always: set[str]) -> list[Trial]:
    """At most SHOWN rows, the same ones every time."""
    if len(some) <= SHOWN:
        return list(some)
    kept = [row for row in some if row.arch.key in always]
    return kept + Random(0).sample(
        [row for row in some if row.arch.key not in always], max(0, SHOWN - len(kept))
    )


def accuracy_curves(record: RunRecord) -> Figure | None:
    """Validation accuracy over the course of training, of every network."""
    return _curves(
        record, "val_measure", f"validation {record.measure}", others=True, tickformat=".2~%"
    )


def loss_curves(record: RunRecord) -> Figure | None:
    """Training loss of the chosen network and the reference, on a logarithmic axis."""
    return _curves(record, "train_loss", "training loss", others=False, type="log")


def of_section(record: RunRecord) -> Figure | None:
    """The picture that the method adds, in the page's colors and letters where it says nothing."""
    if record.section is None or record.section.figure is None:
        return None
    own = record.section.figure.get("layout", {})
    layout = {**_layout(_axis(""), _axis("")), **own}
    for axis in ("xaxis", "yaxis"):
        if isinstance(own.get(axis), Mapping):
            layout[axis] = {**_axis(""), **own[axis]}
    return {
        "data": list(record.section.figure["data"]),
        "layout": layout,
        "xs": {},
        "axes": {},
        "limits": {},
    }


def _curves(record: RunRecord, what: str, title: str, *, others: bool, **y: Any) -> Figure | None:
    x = _axis("share of the training", tickformat=".0%", range=[0, 1.02])
    figure: Figure = {
        "data": [],
        "layout": _layout(x, _axis(title, **y)),
        "xs": {},
        "axes": {},
        "limits": {},
    }
    for group, name, trained_one, line in _lines(record, others):
        curve = [(p, value) for p in trained_one.curve if text.is_number(value := getattr(p, what))]
        if not curve:
            continue
        shown = text.percent if what == "val_measure" else text.short
        figure["data"].append(
            {
                "type": "scatter",
                "mode": "lines" if len(curve) > 1 else "markers",
                "name": html.escape(name, quote=False),
                "legendgroup": group,
                "x": [p.progress for p, _ in curve],
                "y": [value for _, value in curve],
                "line": line,
                "marker": {"color": line["color"], "size": 6},
                "text": [
                    f"<b>{html.escape(name, quote=False)}</b><br>step {text.count(p.step)}: "
                    f"{shown(value)}"
                    for p, value in curve
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    values = [v for trace in figure["data"] for v in trace["y"]]
    if y.get("type") == "log" and (above := [v for v in values if v > 0]):
        figure["layout"]["yaxis"] |= _log_ticks(min(above), max(above))
    elif values:
        _within_shares(figure)
    return figure if figure["data"] else None


def _lines(
    record: RunRecord, others: bool
) -> list[tuple[str, str, TrainedNetwork, dict[str, Any]]]:
    """The networks whose curves are drawn, the chosen one last: what the legend calls it, its own
    name, it, its line."""
    chosen, best = record.chosen, record.reference.chosen if record.reference is not None else None
    drawn: list[tuple[str, str, TrainedNetwork, dict[str, Any]]] = []
    for key, net in record.networks.items():
        if key != chosen and others:
            drawn.append(("others", f"network {key[:8]}", net, {"color": "$quiet", "width": 1.2}))
    for name, rival in sorted(record.rivals.items(), key=lambda item: item[0] == best):
        if name == best or others:
            width, dash = (2, "dash") if name == best else (1, "dot")
            line = {"color": "$reference", "width": width, "dash": dash}
            drawn.append(("hand-made", f"hand-made {name}", rival, line))
    if record.chosen_network is not None:
        drawn.append(
            ("chosen", "chosen network", record.chosen_network, {"color": "$chosen", "width": 2.5})
        )
    return drawn


def _within_shares(figure: Figure) -> None:
    """Its y axis ends where shares do, and a mark there is drawn whole."""
    values = [value for trace in figure["data"] for value in trace["y"]]
    figure["layout"]["yaxis"]["range"] = _share_range(min(values), max(values))
    for trace in figure["data"]:
        trace["cliponaxis"] = False


def _share_range(low: float, high: float) -> list[float]:
    """A little beyond the values, but not where no share can be: below 0 (unless they are) or above
    1."""
    more = max(0.08 * (high - low), 0.01)
    return [max(0.0, low - more) if low >= 0 else low - more, min(high + more, 1.0)]


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each power of ten, written out in full; over more than two decades at
    the powers only, over less than one step at round numbers between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low > 100 else (1, 2, 5)
    ticks = [step * 10.0**power for power in powers for step in steps]
    if high > low and sum(low <= tick <= high for tick in ticks) < 3:
        step = next(
            s * 10.0**p
            for p in range(-9, 9)
            for s in (1, 2, 5)
            if (high - low) / (s * 10.0**p) <= 6
        )
        first = math.floor(low / step)
        ticks = [
            round((first + i) * step, 10)
            for i in range(math.ceil(high / step) - first + 1)
            if first + i > 0
        ]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def legend(figure: Figure) -> list[tuple[str, str, str]]:
    """(shape, color, label) of each kind of mark in a figure, the topmost first."""
    entries: dict[str, tuple[str, str, str]] = {}
    for trace in (trace for trace in reversed(figure["data"]) if trace["legendgroup"]):
        if trace["mode"] == "lines":
            shape, color = (
                "dashes" if trace["line"].get("dash") == "dash" else "line",
                trace["line"]["color"],
            )
        else:
            shape, color = trace["marker"].get("symbol", "line"), trace["marker"]["color"]
            shape = "small" if shape == "circle" and trace["marker"]["size"] <= 6 else shape
        entries.setdefault(
            trace["legendgroup"], (shape, color.removeprefix("$"), trace["legendgroup"])
        )
    return list(entries.values())


def finite(value: Any) -> Any:
    """The same with None for every number that JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(v) for key, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value
