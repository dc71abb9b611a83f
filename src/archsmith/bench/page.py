"""The comparisons as one offline HTML page each; pictures are plain SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from archsmith._internal.files import write_text
from archsmith.bench.judge import among, of_enough

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 150, 12, 40
_COLORS = ("--chosen", "--reference", "--good", "--search", "--bad")


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.ChoiceLoader(
        [
            jinja2.PackageLoader("archsmith.bench", "."),
            jinja2.PackageLoader("archsmith.report", "."),
        ]
    )
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["figure"] = _figure
    environment.filters["of_enough"] = of_enough
    return environment


def _figure(value: Any, digits: int = 3) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "\u2013"
    return f"{value:.{digits}f}".replace("-", "\u2212")


def write_proxies(comparison: Mapping[str, Any], path: Path) -> None:
    """The result of `bench.proxies.compare` as a page."""
    parts = []
    for name, truth in comparison["truths"].items():
        rows = [{"name": score, **row} for score, row in truth["scores"].items()]
        counts = among(truth["scores"])
        parts.append(
            {
                "name": name,
                "rows": rows,
                "zero": _place(rows),
                "differences": truth["differences"],
                "among": counts,
            }
        )
    title = f"Training-free scores on {comparison['benchmark']}"
    write_text(
        path,
        _environment()
        .get_template("page.html")
        .render(kind="proxies", title=title, comparison=comparison, parts=parts),
    )


def write_supernets(comparison: Mapping[str, Any], path: Path) -> None:
    """The result of `bench.supernets.compare` as a page."""
    rows = [{"name": name, **row} for name, row in comparison["scores"].items()]
    part = {
        "name": f"against {comparison['truth']}",
        "rows": rows,
        "zero": _place(rows),
        "differences": comparison["differences"],
        "among": among(comparison["scores"]),
    }
    title = f"Shared weights on {comparison['benchmark']}"
    write_text(
        path,
        _environment()
        .get_template("page.html")
        .render(kind="supernets", title=title, comparison=comparison, parts=[part]),
    )


def _place(rows: Sequence[dict[str, Any]]) -> float:
    """Adds `at`, in percent of a track from the lowest bound (or 0) to 1; gives the place of 0."""
    low = min([0.0, *(row["kendall_low"] for row in rows if math.isfinite(row["kendall_low"]))])
    for row in rows:
        row["at"] = {key: _share(row[f"kendall_{key}"], low) for key in ("low", "all", "high")}
    return _share(0.0, low)


def _share(value: float, low: float) -> float:
    """Where on a track from `low` to 1, in percent."""
    return 100.0 * (value - low) / (1.0 - low) if math.isfinite(value) else 0.0


def write_searchers(comparison: Mapping[str, Any], curves: Mapping[str, Any], path: Path) -> None:
    """The result of `bench.searchers.compare` as a page; `curves`: its curves.json."""
    parts = []
    for name, part in comparison["benchmarks"].items():
        rows = [{"name": searcher, **row} for searcher, row in part["rows"].items()]
        shown = _shown([row["name"] for row in rows])
        drawn = anytime(curves[name], part["optimum"], comparison["budget"], shown)
        parts.append(
            {
                "name": name,
                "rows": rows,
                "optimum": part["optimum"],
                "left_out": part["left_out"],
                "drawn": drawn,
            }
        )
    title = f"Search algorithms at equal cost: {', '.join(comparison['benchmarks'])}"
    write_text(
        path,
        _environment()
        .get_template("page.html")
        .render(kind="searchers", title=title, comparison=comparison, parts=parts),
    )


def _shown(ordered: Sequence[str]) -> dict[str, str]:
    """Colors: the best four and random search; the others stay grey."""
    best = [name for name in ordered if name != "random"][: len(_COLORS) - 1]
    return {**dict(zip(best, _COLORS, strict=False)), "random": "--random"}


def anytime(
    curves: Mapping[str, Any], optimum: float | None, budget: int, colors: Mapping[str, str]
) -> dict[str, Any]:
    """Regret (or, where no optimum is known, the accuracy) against the budget spent, as lines and
    bands in SVG units."""
    values = {
        name: [v if optimum is None else optimum - v for v in curve["mean"]]
        for name, curve in curves.items()
    }
    finite = [v for column in values.values() for v in column[2:] if _known(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    logarithmic = optimum is not None and low > 0 and high / low > 5
    scale = math.log10 if logarithmic else float
    bottom, top = scale(low), scale(high) if high > low else scale(low) + 1.0

    def y(value: float) -> float:
        share = (scale(min(max(value, low), high)) - bottom) / (top - bottom)
        return _TOP + (1.0 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def x(position: int, count: int) -> float:
        return _LEFT + (position + 1) / count * (_WIDTH - _LEFT - _RIGHT)

    lines = []
    for name in sorted(curves, key=lambda n: n in colors):
        column = values[name]
        points = [(x(i, len(column)), y(v)) for i, v in enumerate(column) if _known(v)]
        if points:
            band = _band(curves[name], optimum, x, y) if name in colors else ""
            lines.append(
                {
                    "name": name,
                    "color": colors.get(name),
                    "points": _path(points),
                    "band": band,
                    "end": points[-1],
                }
            )
    _spread(lines, _HEIGHT - _BOTTOM - 6)
    ticks = _ticks(low, high, logarithmic)
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "lines": lines,
        "logarithmic": logarithmic,
        "y": [(y(value), f"{value:g}") for value in ticks],
        "label": "accuracy" if optimum is None else "regret, points",
        "x": [
            (x(round(share * 40) - 1, 40), f"{round(share * budget)}")
            for share in (0.25, 0.5, 0.75, 1.0)
        ],
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
    }


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _band(
    curve: Mapping[str, Any],
    optimum: float | None,
    x: Callable[[int, int], float],
    y: Callable[[float], float],
) -> str:
    """The outline of the 95 % interval: along its upper values and back along its lower ones."""
    edges = []
    for side in ("high", "low"):
        values = [v if optimum is None or v is None else optimum - v for v in curve[side]]
        edges.append([(x(i, len(values)), y(v)) for i, v in enumerate(values) if _known(v)])
    return _path([*edges[0], *reversed(edges[1])])


def _spread(lines: list[dict[str, Any]], lowest: float, gap: float = 15.0) -> None:
    """Moves the names at the line ends apart, none below `lowest`."""
    named = sorted((line for line in lines if line["color"]), key=lambda line: line["end"][1])
    last = -gap
    for line in named:
        last = line["text_y"] = max(line["end"][1], last + gap)
    last = lowest + gap
    for line in reversed(named):
        last = line["text_y"] = min(line["text_y"], last - gap)


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
    step = step / 2 if (high - low) / step < 3 else step
    first = math.ceil(low / step)
    return [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]
