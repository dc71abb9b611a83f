"""report.html: one page that needs nothing but itself, whatever the run has got to; safe to write while the run goes on."""

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
from archsmith.report import account, caveats, drawing, estimates, figures, narrowing, results, text
from archsmith.report.front import rows_of, save
from archsmith.report.record import STAGES, Record, read


def write(run_folder: Path) -> Path:
    """Writes report.html and front.csv of the run in `run_folder` and returns the page's path.

    Raises UserError where the folder is no run or cannot be written, Damaged where its files are torn.
    """
    folder = Path(run_folder)
    record = read(folder)
    save(folder, rows_of(record))
    path = folder / "report.html"
    write_text(path, render(record))
    return path


def render(record: Record) -> str:
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
    for name in ("count", "short", "percent", "milliseconds", "size", "duration", "plural", "metric", "name"):
        environment.filters[f"as_{name}"] = getattr(text, name)
    return environment


def _context(record: Record) -> dict[str, Any]:
    drawn = {
        "trained": figures.trained_front(record),
        "scored": figures.scored_front(record),
        "accuracy": figures.accuracy_curves(record),
        "loss": figures.loss_curves(record),
    }
    return {
        "title": _title(record),
        "measure": record.measure,
        "errors": results.errors(record),
        "lede": _lede(record),
        "headline": _headline(record),
        "date": _date(record.run.get("created")),
        "status": _status(record),
        "tiles": results.tiles(record),
        "budget": results.budget(record),
        "verdict": results.verdict(record),
        "estimates": estimates.estimates(record),
        "narrowing": narrowing.narrowing(record),
        "hint": caveats.pretrained_hint(record),
        "specs": {name: _json(figure) for name, figure in drawn.items() if figure},
        "legends": {name: figures.legend(figure) for name, figure in drawn.items() if figure},
        "figures": {name: figure for name, figure in drawn.items() if figure},
        "proxy": text.name(record.proxy or "score"),
        "networks": results.networks(record),
        "drawing": drawing.network(record.stage("ship")),
        "mistakes": results.mistakes(record),
        "comparison": results.comparison(record),
        "arms": results.arms(record),
        "against_random": results.against_random(record),
        "cost": account.cost(record),
        "data": account.data(record),
        "profile": account.profile(record),
        "ship": record.stage("ship"),
        "latency_table": record.stage("profile").get("latency_table"),
        "caveats": caveats.caveats(record),
        "finish": record.stage("finish"),
        "reference": record.reference,
        "hand_made": record.hand_made,
        "searched": "search" in record.stages,
        "request": {k: v for k, v in record.request.items() if v is not None and v != ""},
        "run": record.run,
        "folder": record.folder.name,
        "plotly": _plotly() if any(drawn.values()) else "",
        "style": _asset("page.css"),
        "script": _asset("page.js"),
    }


def _json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no `<` in it."""
    dumped = json.dumps(figures.finite(value), separators=(",", ":"), allow_nan=False)
    return Markup(dumped.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


@cache
def _asset(name: str) -> Markup:
    return Markup(resources.files("archsmith.report").joinpath(name).read_text(encoding="utf-8"))


@cache
def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _title(record: Record) -> str:
    data = record.stage("look").get("name") or record.request.get("data") or record.folder.name
    return Path(str(data)).name or str(data)


def _date(created: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(created)):%-d %B %Y, %H:%M}"
    except ValueError:
        return ""


def _headline(record: Record) -> str:
    test = record.test
    if test:
        right = "right" if record.task == "classification" else "of the variance explained"
        if not test.get("above", True):
            return f"{text.percent(test['accuracy'])} {right}, no better than the same answer always"
        return f"{text.percent(test['accuracy'])} {right} on images it had never seen"
    return "a search that failed" if record.run.get("status") == "failed" else "a search on its way"


def _status(record: Record) -> Mapping[str, str] | None:
    """A banner for a run that is not complete."""
    status = str(record.run.get("status") or "running")
    done = [name for name in STAGES if name in record.stages]
    if status == "done" and len(done) == len(STAGES):
        warning = record.stage("ship").get("warning")
        return {"kind": "failed", "text": warning} if warning else None
    so_far = f"{len(done)} of {len(STAGES)} stages are done" + (f", the last of them: {done[-1]}" if done else "")
    if status == "failed":
        why = record.run.get("error") or record.run.get("reason")
        return {"kind": "failed", "text": f"This run stopped{f': {why}' if why else ''}. {so_far}; what it found is below."}
    return {"kind": "running", "text": f"This run is not complete: {so_far}. What is still missing says so below."}


def _lede(record: Record) -> str:
    """What was done, for somebody who has never heard of it."""
    look, profile, screen, search, finish = (record.stage(s) for s in ("look", "profile", "screen", "search", "finish"))
    parts = []
    if look:
        kind = "grey" if look.get("channels") == 1 else "color"
        side = text.shape([look.get("size"), look.get("size")])
        limits = [f"{text.name(b['metric'])} {text.bound(b)}" for b in profile.get("budget") or ()]
        within = f" within {' and '.join(limits)}" if limits else ""
        classes = text.plural(len(look.get("classes") or ()), "class", "classes")
        does = {
            "classification": f"tells {classes} apart in",
            "regression": f"predicts {' and '.join((look.get('goal') or {}).get('targets') or ['a value'])} from",
            "reconstruction": "gives again from few numbers",
        }[record.task]
        parts.append(f"archsmith looked for the best network that {does} {side} {kind} images{within}.")
    train = record.stage("train")
    if train.get("trust"):
        estimated = (search.get("trials") or 0) + ((search.get("random") or {}).get("trials") or 0)
        supernets = text.plural(len(train["nodes"]), "supernet")
        parts.append(
            f"It trained {supernets}, whose weights many networks share, and estimated {text.count(estimated)} by them."
        )
    elif screen:
        scored = (screen.get("scored") or 0) + (search.get("trials") or 0)
        of = f" of {text.large(profile['space_size'])} possible" if profile.get("space_size") else ""
        if scored:
            parts.append(f"It scored {text.count(scored)}{of} networks without training them.")
        elif screen.get("why"):
            parts.append(f"No network was scored: {screen['why']}.")
        elif search.get("searcher") == "random":
            parts.append("It chose networks at random, without scores.")
        elif not {"hand-made", "neighbor"} & {entry["origin"] for entry in search.get("shortlist") or ()}:
            parts.append(f"It chose networks by its own rule ({search.get('searcher') or 'not done yet'}), without scores.")
        else:
            parts.append(
                "It began with networks as one would make them by hand, and with neighbors of the first, without scores."
            )
    if finish:
        kept = "the one that did best on validation images was kept and tested once"
        trained, listed = len(finish.get("networks") or ()), "the best" if search.get("best") or train.get("trust") else "them"
        parts.append(f"It trained {text.count(trained)} of {listed}; {kept}.")
    total = sum(record.seconds.values())
    if total:
        cores = record.request.get("threads") or (record.run.get("machine") or {}).get("cores")
        on = f" on {text.plural(cores, 'processor core')}" if cores else ""
        parts.append(f"That took {text.duration(total)}{on}.")
    return " ".join(parts)
