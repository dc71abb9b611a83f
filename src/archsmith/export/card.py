"""card.md: what a shipped model is, what it achieves, how to use it, what to be careful about."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from archsmith._version import __version__
from archsmith.export.files import WHAT
from archsmith.problem.budget import human

_PURPOSES = {
    "model.onnx": "bytes in, {answer} out; runs in any ONNX runtime (opset 18)",
    "picture.onnx": "the same for pictures of any height and width: how they become square is "
    "inside",
    "predict.py": "`python predict.py IMAGE`; needs onnxruntime, numpy, pillow",
    "model.py": "the same network as plain PyTorch source; needs torch",
    "model.safetensors": "its weights",
    "model.pt2": "bytes in, {answer} out; `torch.export.load`",
    "architecture.json": "what the search decided",
    "preprocess.json": "how a picture becomes the input",
    "labels.json": "names in the order of the outputs",
}
TITLES = {
    "classification": "An image classifier",
    "regression": "An image regressor",
    "reconstruction": "An image autoencoder",
}
_ANSWERS = {
    "probabilities": "class probabilities",
    "values": "values in their units",
    "pixels": "pixels in 0..1",
}
_COSTS = ("params", "macs", "memory")
_SHOWN = (
    "name",
    "summary",
    "warning",
    "classes",
    "shape",
    "task",
    "answer",
    "measure",
    "how",
    "mirrored",
    "architecture",
    "budget",
    "accuracy",
    "test",
    "costs",
    "caveats",
    *_COSTS,
)


# Ends of lines, and what turns the writing about.
_BROKEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_SIGNS = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")


def plain(text: Any) -> str:
    """Text of somebody else's, names of classes and files among it, as Markdown that shows it and
    does nothing: on one line, no HTML, link, code or emphasis, no end of a table's cell.
    """
    line = _BROKEN.sub(" ", str(text)).encode("utf-8", "backslashreplace").decode().strip()
    line = _SIGNS.sub(lambda sign: "\\" + sign[0], line)
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)


def _opening(text: Any) -> str:
    """The same at the beginning of a line, where a few signs more have a meaning."""
    return re.sub(r"^(\d+)(?=[.)])|^(?=[#>+=-])", lambda match: f"{match[1] or ''}\\", plain(text))


def card(
    facts: Mapping[str, Any],
    files: Mapping[str, bytes],
    skipped: Sequence[Mapping[str, str]],
    differences: Mapping[str, float],
    latency: Mapping[str, Any] | None,
) -> str:
    """The text. facts as `ship` takes them: what is not known is left out."""
    labels, task = list(facts["classes"]), facts.get("task", "classification")
    answer, listed = facts.get("answer", "probabilities"), ", ".join(map(str, labels))
    sections = [
        f"# {plain(facts.get('name') or TITLES[task])}",
        f"**{plain(facts['warning'])}**" if facts.get("warning") else "",
        _opening(facts.get("summary") or ""),
        _table("Results", _results(facts)),
        _table("Size and speed", _costs(facts, latency)),
        _budget(facts.get("budget") or ()),
        "## Use\n\n```\npip install onnxruntime numpy pillow\npython predict.py "
        "picture.jpg\n```\n\n"
        "From Python with torch alone:\n\n```python\nimport torch, model\n\nnetwork = "
        "model.load()\n"
        f"images = torch.zeros(1, {', '.join(map(str, facts['shape']))}, dtype=torch.uint8)\n"
        f"{answer} = model.predict(network, images)\n```\n\n"
        f"A picture becomes the input like this: "
        f"{plain(facts['how'])}." + (_TWICE if facts.get("mirrored") else ""),
        f"## {'Classes' if task == 'classification' else 'Values'}\n\n{_opening(listed)}"
        if labels
        else "",
        _files(files, skipped, differences, answer),
        _list(
            "Be careful",
            (
                *(facts.get("caveats") or ()),
                *(_CAVEATS if task == "classification" else _CAVEATS_ELSE),
            ),
        ),
        f"Made by archsmith {__version__}, torch {torch.__version__}, Python "
        f"{sys.version.split()[0]}.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


_TWICE = (
    " The network looks at it and at its mirror image, and answers by the mean of both; its MACs, "
    "memory and time are those of "
    "both."
)
_CAVEATS = (
    "The probabilities are the network's own; whether they are calibrated was not checked.",
    "A picture of anything else is given one of these classes all the same.",
)
_CAVEATS_ELSE = ("A picture of anything else is answered all the same.",)


def _table(title: str, rows: Iterable[tuple[str, str]], shown: Callable[[str], str] = plain) -> str:
    lines = [f"| {shown(name)} | {shown(value)} |" for name, value in rows]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines]) if lines else ""


def _list(title: str, items: Iterable[str], shown: Callable[[str], str] = _opening) -> str:
    lines = [f"- {shown(item)}" for item in items]
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {_value(v)}" for k, v in value.items())
    return str(value)


def _percent(value: Any) -> str:
    return f"{100 * value:.2f} %"


def _results(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Accuracy (a number, or what `metrics.accuracy` returns) first, then any other plain fact."""
    measured = facts.get("accuracy", facts.get("test"))
    measured = (
        measured
        if isinstance(measured, Mapping)
        else {}
        if measured is None
        else {"accuracy": measured}
    )
    rows = []
    if "accuracy" in measured:
        measure = facts.get("measure", "accuracy")
        text = _percent(measured["accuracy"])
        if measured.get("interval"):
            text += f" (95 % interval {' to '.join(_percent(v) for v in measured['interval'])})"
        if measured.get("n"):
            text += f" on {measured['n']:,} test images"
        rows.append((f"test {measure}", text))
        rows += [
            (f"root mean squared error, {name}", f"{value:.4g}")
            for name, value in (measured.get("rmse") or {}).items()
        ]
    if "balanced_accuracy" in measured:
        rows.append(("balanced accuracy", _percent(measured["balanced_accuracy"])))
    rest = {k: v for k, v in facts.items() if k not in _SHOWN and v is not None}
    for name, value in rest.items():
        heading = name.replace("_", " ")
        if name == "val_measure":
            heading = f"val {facts.get('measure', 'accuracy')}"
        share = name.endswith("accuracy") or name == "val_measure"
        rows.append((heading, _percent(value) if share else _value(value)))
    return rows


def _costs(facts: Mapping[str, Any], latency: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    costs = {name: facts[name] for name in _COSTS if name in facts} | dict(facts.get("costs") or {})
    rows = [
        (name if name != "macs" else "MACs", human(name, value)) for name, value in costs.items()
    ]
    if latency:
        median, low, high = (f"{latency[name]:.3g}" for name in ("median_ms", "p10_ms", "p90_ms"))
        text = (
            f"{median} ms median, {low} to {high} ms in 80 % of {latency['runs']} runs; batch "
            f"{latency['batch']}, "
        )
        rows.append(
            (
                "latency",
                text + f"threads {latency['threads']}, {latency['runtime']}, {latency['machine']}",
            )
        )
    return rows


def _budget(budget: Any) -> str:
    if isinstance(budget, str):
        return f"Budget: {plain(budget)}."
    texts = []
    for row in budget:
        text = str(
            row.get("text") or f"{row.get('metric')} {row.get('op', '<=')} {row.get('limit')}"
        )
        if row.get("value") is not None:
            text += (
                f" ({'met' if row.get('met') else 'MISSED'}: "
                f"{human(str(row.get('metric')), row['value'])})"
            )
        texts.append(text)
    return f"Budget: {plain(', '.join(texts))}." if texts else ""


def _files(
    files: Mapping[str, bytes],
    skipped: Sequence[Mapping[str, str]],
    differences: Mapping[str, float],
    answer: str,
) -> str:
    known = {name: data for name, data in files.items() if name in _PURPOSES}
    rows = [
        (
            f"`{name}`",
            f"{_PURPOSES[name].format(answer=_ANSWERS[answer])}; {-(-len(data) // 1024):,} KiB",
        )
        for name, data in known.items()
    ]
    text = _table("Files", rows, str)
    if differences:
        listed = ", ".join(f"{name} {worst:.1e}" for name, worst in differences.items())
        text += f"\n\nLargest difference of {WHAT[answer]} from PyTorch: {listed}."
    missing = _list("Not shipped", (f"`{s['name']}`: {plain(s['why'])}" for s in skipped), str)
    return text + (f"\n\n{missing}" if missing else "")
