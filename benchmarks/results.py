"""What was measured: `benchmarks/results/TOPIC.jsonl`, a line a result; how it is read, checked,
and quoted elsewhere.

A text quotes a result as `NUMBERS (result ID)`, e.g. `90.66 % (result cifar10-15m-any-size-2)`: the
numbers right before the bracket (several with `,` `/` `to` `and` `+-` or brackets between them, a
unit after them) stand in the claim, the value, the detail or the spread of that record, digit for
digit. `(results ID, ID)` cites several; after words alone it quotes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent
RECORDS, NOTES = BENCHMARKS / "results", BENCHMARKS.parent / "docs" / "notes"
VERDICTS = ("won", "tie", "lost", "met", "missed", "null", "fact")
TOPICS = {  # file -> heading; the order of the page
    "outcome": "Whole searches: what ships, beside hand-made networks and plain scripts",
    "clock": "Whether --time is kept, and what it went to",
    "training": "How hand-made networks train: form, size, recipe",
    "proxies": "Training-free scores",
    "searchers": "Search algorithms and predictors",
    "supernets": "Shared weights: one-shot, few-shot, DDPNAS",
    "robustness": "Kills, damage, bad input",
    "speed": "Speed on this CPU",
    "spaces": "Counting, drawing, latency of architectures",
}
RENAMED = {"faults.py": "campaign.py"}  # scripts that have another name since
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SCRIPT = re.compile(r"benchmarks/(?:[a-z]+/)?([a-z_0-9]+\.py)")
_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_CITED = re.compile(r"\(results? ([a-z0-9-]+(?:, [a-z0-9-]+)*)\)")
_QUOTED = re.compile(
    rf"(?<![\w.+-])({_NUMBER}(?:(?: %)?\)?(?: \+- |, |; | / | to | and | "
    rf"\(){_NUMBER})*)\)?[^\d.;|()]{{0,24}}$"
)


@dataclass(frozen=True)
class Result:
    """One result.

    `value` is the headline number, and `detail` then all that was found; or `value` is the text and
    `detail` empty. "" or None: not recorded. `n` says how often (seeds, runs, kills), `spread` how
    far these lay apart. `command`, `commit` and `hardware` are as it was run: a script may lie
    elsewhere since (`place`). `seconds` is wall clock, a text where that says more. `supersedes`:
    the id of the earlier result that this one replaces. `story`: the page of docs/notes that tells
    about it.
    """

    topic: str
    id: str
    date: str
    claim: str
    value: Decimal | int | str
    unit: str
    detail: str
    spread: str
    n: str
    verdict: str
    command: str
    commit: str
    hardware: str
    seconds: int | Decimal | str | None
    story: str
    supersedes: str | None

    @property
    def headline(self) -> str:
        """The number and its unit, or the text."""
        return f"{self.value} {self.unit}".strip()

    @property
    def numbers(self) -> set[Decimal]:
        """What may be quoted."""
        return numbers(f"{self.claim} | {self.value} | {self.detail} | {self.spread}")


# of a line; the topic is the file's name
FIELDS = tuple(field.name for field in fields(Result))[1:]


def parse(line: str, topic: str) -> Result:
    """One line of `topic`.jsonl; raises ValueError that says what is wrong with it."""
    given = json.loads(line, parse_float=Decimal)
    if not isinstance(given, Mapping):
        raise ValueError("it is no object")
    if missing := [name for name in FIELDS if name not in given]:
        raise ValueError(f"no field {', '.join(missing)}")
    if unknown := [name for name in given if name not in FIELDS]:
        raise ValueError(f"unknown field {', '.join(unknown)}; there are {', '.join(FIELDS)}")
    for name, kinds in _KINDS.items():
        if not isinstance(given[name], kinds) or isinstance(given[name], bool):
            raise ValueError(
                f"{name} is {given[name]!r}, not {' or '.join(kind.__name__ for kind in kinds)}"
            )
    for name in ("claim", "value", "hardware"):
        if given[name] == "":
            raise ValueError(f"{name} is empty")
    if not _ID.fullmatch(given["id"]):
        raise ValueError(f"id is {given['id']!r}; it is words of a-z and 0-9 with '-' between them")
    if given["verdict"] not in VERDICTS:
        raise ValueError(f"verdict is {given['verdict']!r}, not one of {', '.join(VERDICTS)}")
    date.fromisoformat(given["date"])
    return Result(topic=topic, **given)


_KINDS: dict[str, tuple[type, ...]] = dict.fromkeys(FIELDS, (str,)) | {
    "value": (int, Decimal, str),
    "seconds": (int, Decimal, str, type(None)),
    "supersedes": (str, type(None)),
}


def read(folder: Path = RECORDS) -> tuple[list[Result], list[str]]:
    """The results by topic, each topic in the order of its file, and what is wrong with lines that
    are none."""
    found, faults = [], []
    for topic in TOPICS:
        path = folder / f"{topic}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for row, line in enumerate(lines, start=1):
            try:
                found.append(parse(line, topic))
            except ValueError as error:
                faults.append(f"{path.name}, line {row}: {error}")
    faults += [
        f"{path.name}: no topic of {', '.join(TOPICS)}"
        for path in folder.glob("*.jsonl")
        if path.stem not in TOPICS
    ]
    return found, faults


def headlines(folder: Path = RECORDS) -> list[str]:
    """The ids of the first table of the page, in its order."""
    return (folder / "headlines.txt").read_text(encoding="utf-8").split()


def faults_of(results: Iterable[Result], first: Iterable[str]) -> list[str]:
    """What is wrong with the results together, `first` being the ids of the first table."""
    results = list(results)
    by_id = {result.id: result for result in results}
    faults = [
        f"{id}: two results have this id"
        for id in by_id
        if sum(result.id == id for result in results) > 1
    ]
    later = {result.supersedes: result.id for result in results if result.supersedes}
    for result in results:
        if result.supersedes and result.supersedes not in by_id:
            faults.append(f"{result.id}: supersedes {result.supersedes}, which is no result")
        if _circular(result, by_id):
            faults.append(f"{result.id}: it supersedes itself, by way of others or not")
        if result.story and not (NOTES / result.story).is_file():
            faults.append(f"{result.id}: its story, docs/notes/{result.story}, is not there")
        faults += [
            f"{result.id}: {name} is nowhere in benchmarks/"
            for name in _scripts(result)
            if place(name) is None
        ]
    faults += [f"headlines.txt: {id} is no result" for id in first if id not in by_id]
    faults += [f"headlines.txt: {id} is superseded by {later[id]}" for id in first if id in later]
    return faults


def _circular(result: Result, by_id: Mapping[str, Result]) -> bool:
    seen, now = {result.id}, by_id.get(result.supersedes or "")
    while now is not None and now.id not in seen:
        seen.add(now.id)
        now = by_id.get(now.supersedes or "")
    return now is not None


def scripts() -> dict[str, Path]:
    """Benchmark -> its file: every script below benchmarks/ that can be run by itself."""
    found = sorted(
        path for path in BENCHMARKS.glob("*/*.py") if "__main__" in path.read_text(encoding="utf-8")
    )
    return {path.stem: path for path in found}


def place(name: str) -> str | None:
    """Where a script lies now, seen from the root of the repository; None where there is none of
    this name."""
    found = sorted(BENCHMARKS.glob(f"*/{RENAMED.get(name, name)}"))
    return found[0].relative_to(BENCHMARKS.parent).as_posix() if found else None


def _scripts(result: Result) -> list[str]:
    return list(dict.fromkeys(_SCRIPT.findall(result.command)))


def moved(result: Result) -> list[str]:
    """Where the scripts of a command lie now, of those that lay elsewhere when it was run."""
    return [
        there for name in _scripts(result) if (there := place(name)) and there not in result.command
    ]


def numbers(text: str) -> set[Decimal]:
    """The numbers in a text, with their signs; those within words (CIFAR-10) are none."""
    found = re.findall(rf"(?<![\w.])(?<!\w-)({_NUMBER})", text.replace("**", ""))
    return {Decimal(number.replace(",", "")) for number in found}


def quotations(text: str) -> Iterator[tuple[tuple[str, ...], set[Decimal]]]:
    """What a text cites: ids, and the numbers right before them. Line breaks count as spaces, `#`
    of comments too."""
    text = re.sub(r"\s*\n\s*(?:#\s)?\s*", " ", text).replace("**", "")
    for cited in _CITED.finditer(text):
        quoted = _QUOTED.search(text[max(0, cited.start() - 160) : cited.start()])
        yield tuple(cited[1].split(", ")), numbers(quoted[1]) if quoted else set()


def misquoted(text: str, results: Iterable[Result]) -> list[str]:
    """What a text says of results that they do not say."""
    by_id: dict[str, Any] = {result.id: result for result in results}
    text = re.sub(r"\n\s*# ", " ", text)  # a comment goes on in the next line
    loose = [
        cited
        for cited in re.findall(r"\(results? [^()]*\)", " ".join(text.split()))
        if "-" in cited and not _CITED.match(cited)
    ]
    faults = [f"{cited} is not of the form (result ID) or (results ID, ID)" for cited in loose]
    for ids, quoted in quotations(text):
        faults += [f"{id} is no result" for id in ids if id not in by_id]
        recorded: set[Decimal] = set().union(*(by_id[id].numbers for id in ids if id in by_id))
        faults += [f"{number} is not in {', '.join(ids)}" for number in sorted(quoted - recorded)]
    return faults
