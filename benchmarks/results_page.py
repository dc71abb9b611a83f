"""The page `benchmarks/RESULTS.md`: a table of headlines, then a section a topic, superseded
results at the end of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from results import TOPICS, Result, moved

PAGE = Path(__file__).with_name("RESULTS.md")
_TOP = """# Results

Every number we claim, with the command that gave it: wins, ties, losses and nulls alike. This page
is made of `benchmarks/results/*.jsonl` by `python benchmarks/run.py render`; edit those: a line a
result, its fields are described in `benchmarks/results.py`. Texts quote a result by its id, and a
test compares them. What a result told, and what was changed for it, stands in
[docs/notes](../docs/notes/README.md).

Hardware "2-core EPYC": AMD EPYC, 2 cores, 24 GiB, no GPU, Python 3.11, torch 2.13.0 (CPU). Seconds
are wall clock unless they say CPU. Verdicts: won, tie, lost (against something), met, missed (a
target), null (it makes no difference), fact. Commands stand as they were run; where a script lies
elsewhere since, that is said. `python benchmarks/run.py list` names the scripts.
"""


def rendered(results: Sequence[Result], first: Sequence[str]) -> str:
    """The page; `first` are the ids of its first table."""
    by_id = {result.id: result for result in results}
    later = {result.supersedes: result.id for result in results if result.supersedes}
    parts = [
        _TOP,
        "\n## In short\n\n",
        *_table(("result", "", "value", "verdict", "date"), _short(by_id[id] for id in first)),
    ]
    parts += ["\nTopics: ", ", ".join(f"[{topic}](#{topic})" for topic in TOPICS), ".\n"]
    for topic, heading in TOPICS.items():
        here = [result for result in results if result.topic == topic]
        parts += [f'\n<a id="{topic}"></a>\n\n## {heading}\n\n', *_section(here, later)]
    return "".join(parts)


def _short(results: Iterable[Result]) -> list[tuple[str, ...]]:
    return [(f"[{r.id}](#{r.id})", r.claim, r.headline, r.verdict, r.date) for r in results]


def _section(results: Sequence[Result], later: dict[str, str]) -> list[str]:
    runs = list(dict.fromkeys(map(_run, results)))
    now = [result for result in results if result.id not in later]
    old = [result for result in results if result.id in later]
    head = ("id", "claim", "value", "spread", "n", "verdict", "run")
    parts = _table(head, [_row(result, runs) for result in now])
    if old:
        rows = [
            (*_row(result, runs), f"[{later[result.id]}](#{later[result.id]})") for result in old
        ]
        parts += ["\n### Superseded\n\n", *_table((*head, "by"), rows)]
    return [
        *parts,
        "\n### Runs\n\n",
        *(f"{count}. {run}\n" for count, run in enumerate(runs, start=1)),
    ]


def _row(result: Result, runs: Sequence[str]) -> tuple[str, ...]:
    value = f"**{result.headline}**: {result.detail}" if result.detail else result.headline
    anchor = f'<a id="{result.id}"></a>{result.id}'
    return (
        anchor,
        result.claim,
        value,
        result.spread,
        result.n,
        result.verdict,
        str(runs.index(_run(result)) + 1),
    )


def _run(result: Result) -> str:
    """How it was run: the same for results of one go."""
    seconds = "" if result.seconds is None else f"seconds: {result.seconds}"
    command = f"`{result.command}`" if result.command else "(command not recorded)"
    since = f"(now {', '.join(there)})" if (there := moved(result)) else ""
    story = f"[notes](../docs/notes/{result.story})" if result.story else ""
    commit = f"commit {result.commit}" if result.commit else "commit not recorded"
    return ", ".join(
        filter(
            None,
            (result.date, f"{command} {since}".strip(), commit, result.hardware, seconds, story),
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines]
