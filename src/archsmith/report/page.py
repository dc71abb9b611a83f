"""report.html: one page that needs nothing but itself, whatever the run has got to; safe to write
while the run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from archsmith._internal.files import write_text
from archsmith.report import (
    account,
    caveats,
    drawing,
    estimates,
    figures,
    mistakes,
    narrowing,
    results,
    text,
)
from archsmith.report.front import rows_of, save
from archsmith.report.run_record import STAGES, RunRecord, read
from archsmith.run.records import Trained


def write(run_folder: Path) -> Path:
    """Writes report.html and front.csv of the run in `run_folder` and returns the page's path.

    Raises UserError where the folder is no run or cannot be written, Damaged where its files are
    torn.
    """
    folder = Path(run_folder)
    record = read(folder)
    save(folder, rows_of(record))
    path = folder / "report.html"
    write_text(path, render(record))
    return path


def render(record: RunRecord) -> str:
    """The page as HTML."""
    return _environment().get_template("page.html").render(_context(record))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("archsmith.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for name in (
        "count",
        "short",
        "percent",
        "milliseconds",
        "size",
        "duration",
        "plural",
        "metric",
        "name",
    ):
        environment.filters[f"as_{name}"] = getattr(text, name)
    return environment


def _context(record: RunRecord) -> dict[str, Any]:
    drawn = {
        "trained": figures.trained_front(record),
        "scored": figures.scored_front(record),
        "accuracy": figures.accuracy_curves(record),
        "section": figures.of_section(record),
        "loss": figures.loss_curves(record),
    }
    return {
        "title": _title(record),
        "measure": record.measure,
        "errors": mistakes.errors(record),
        "lede": _lede(record),
        "headline": _headline(record),
        "date": _date(record.run.created),
        "status": _status(record),
        "tiles": results.tiles(record),
        "budget": results.budget(record),
        "verdict": results.verdict(record),
        "estimates": estimates.estimates(record),
        "narrowing": narrowing.narrowing(record),
        "section": record.section,
        "hint": caveats.pretrained_hint(record),
        "specs": {name: _json(figure) for name, figure in drawn.items() if figure},
        "legends": {
            name: figures.legend(figure)
            for name, figure in drawn.items()
            if figure and name != "section"  # it has its own
        },
        "figures": {name: figure for name, figure in drawn.items() if figure},
        "proxy": text.name(record.proxy or "score"),
        "networks": results.networks(record),
        "drawing": drawing.network(record.shipped.layers if record.shipped is not None else ()),
        "mistakes": mistakes.mistakes(record),
        "comparison": results.comparison(record),
        "arms": results.arms(record),
        "against_random": results.against_random(record),
        "cost": account.cost(record),
        "data": account.data(record),
        "profile": account.profile(record),
        "ship": record.shipped,
        "latency_table": record.profiled.latency_table if record.profiled is not None else None,
        "caveats": caveats.caveats(record),
        "finish": record.finished,
        "reference": record.reference,
        "hand_made": record.hand_made,
        "searched": record.searched is not None,
        "request": {k: v for k, v in record.run.request.items() if v is not None and v != ""},
        "run": record.run,
        "folder": record.folder.name,
        "plotly": _plotly() if any(drawn.values()) else "",
        "style": _asset("page.css"),
        "script": _asset("page.js"),
    }


def _json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no `<` in it."""
    dumped = json.dumps(figures.finite(value), separators=(",", ":"), allow_nan=False)
    return Markup(
        dumped.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


@cache
def _asset(name: str) -> Markup:
    return Markup(resources.files("archsmith.report").joinpath(name).read_text(encoding="utf-8"))


@cache
def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _title(record: RunRecord) -> str:
    data = (
        (record.looked.name if record.looked is not None else "")
        or record.request.data
        or record.folder.name
    )
    return Path(data).name or data


def _date(created: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(created)):%-d %B %Y, %H:%M}"
    except ValueError:
        return ""


def _headline(record: RunRecord) -> str:
    test = record.test
    if test is not None:
        right = "right" if record.task == "classification" else "of the variance explained"
        if not test.above:
            return f"{text.percent(test.accuracy)} {right}, no better than the same answer always"
        return f"{text.percent(test.accuracy)} {right} on images it had never seen"
    return "a search that failed" if record.run.status == "failed" else "a search on its way"


def _status(record: RunRecord) -> Mapping[str, str] | None:
    """A banner for a run that is not complete."""
    status, done = record.run.status, record.done
    if status == "done" and len(done) == len(STAGES):
        warning = record.shipped.warning if record.shipped is not None else None
        return {"kind": "failed", "text": warning} if warning else None
    so_far = f"{len(done)} of {len(STAGES)} stages are done" + (
        f", the last of them: {done[-1]}" if done else ""
    )
    if status == "failed":
        why = f": {record.run.error}" if record.run.error else ""
        return {
            "kind": "failed",
            "text": f"This run stopped{why}. {so_far}; what it found is below.",
        }
    return {
        "kind": "running",
        "text": f"This run is not complete: {so_far}. What is still missing says so below.",
    }


def _lede(record: RunRecord) -> str:
    """What was done, for somebody who has never heard of it."""
    parts = [_asked_for(record), _searched(record)]
    search, finish = record.searched, record.finished
    if finish is not None:
        kept = "the one that did best on validation images was kept and tested once"
        ranked = (search is not None and search.best is not None) or isinstance(
            record.trained, Trained
        )
        parts.append(
            f"It trained {text.count(len(finish.networks))} of "
            f"{'the best' if ranked else 'them'}; {kept}."
        )
    total = sum(record.seconds.values())
    if total:
        cores = record.request.threads or record.run.machine.get("cores")
        on = f" on {text.plural(cores, 'processor core')}" if cores else ""
        parts.append(f"That took {text.duration(total)}{on}.")
    return " ".join(part for part in parts if part)


def _asked_for(record: RunRecord) -> str:
    """What it looked for; "" before the images were looked at."""
    look = record.looked
    if look is None:
        return ""
    kind = "grey" if look.channels == 1 else "color"
    limits = [
        f"{text.name(b.metric)} {text.bound(b)}"
        for b in (record.profiled.budget if record.profiled is not None else ())
    ]
    within = f" within {' and '.join(limits)}" if limits else ""
    targets = (look.goal.targets if look.goal is not None else None) or ["a value"]
    does = {
        "classification": f"tells {text.plural(len(look.classes), 'class', 'classes')} apart in",
        "regression": f"predicts {' and '.join(targets)} from",
        "reconstruction": "gives again from few numbers",
    }[record.task]
    side = text.shape([look.size, look.size])
    return f"archsmith looked for the best network that {does} {side} {kind} images{within}."


def _searched(record: RunRecord) -> str:
    """How it chose what to train; "" before."""
    screen, search = record.screened, record.searched
    trials = search.trials if search is not None else 0
    if isinstance(record.trained, Trained):
        at_random = search.random.trials if search is not None and search.random is not None else 0
        supernets, estimated = (
            text.plural(len(record.trained.nodes), "supernet"),
            text.count(trials + at_random),
        )
        return (
            f"It trained {supernets}, whose weights many networks share, and estimated "
            f"{estimated} by them."
        )
    if screen is None:
        return ""
    if scored := screen.scored + trials:
        of = (
            (f" of {text.large(record.profiled.space_size)} possible")
            if record.profiled is not None
            else ""
        )
        return f"It scored {text.count(scored)}{of} networks without training them."
    if screen.why:
        return f"No network was scored: {screen.why}."
    if search is not None and search.searcher == "random":
        return "It chose networks at random, without scores."
    if search is not None and not {"hand-made", "neighbor"} & {
        entry.origin for entry in search.shortlist
    }:
        return f"It chose networks by its own rule ({search.searcher}), without scores."
    return (
        "It began with networks as one would make them by hand, and with neighbors of the "
        "first, without scores."
    )
