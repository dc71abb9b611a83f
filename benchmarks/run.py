"""Benchmarks and their results: `list`, `ID [arguments]` runs one, `render` writes RESULTS.md,
`check` says what is wrong.

- `python benchmarks/run.py list`
- `python benchmarks/run.py outcome --seconds 600 --seeds 0`: as `python
  benchmarks/outcome/outcome.py ...`
- `python benchmarks/run.py outcome --help`
- `python benchmarks/run.py render`: after a line was added to benchmarks/results/TOPIC.jsonl
- `python benchmarks/run.py check`: exit code 1 where something is wrong
"""

from __future__ import annotations

import ast
import difflib
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from results import BENCHMARKS, Result, faults_of, headlines, moved, read, scripts
from results_page import PAGE, rendered


def main(words: Sequence[str] | None = None) -> int:
    """The exit code: that of the benchmark, 0 where all is well, 1 where something is wrong, 2
    where the words are."""
    words = sys.argv[1:] if words is None else words
    commands = {"list": listed, "render": render, "check": check}
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    if words[0] in commands:
        return commands[words[0]]()
    known = scripts()
    if words[0] not in known:
        near = difflib.get_close_matches(words[0], [*known, *commands], 1)
        print(
            f"no benchmark '{words[0]}'"
            + (f"; did you mean '{near[0]}'?" if near else "")
            + " (list names them)",
            file=sys.stderr,
        )
        return 2
    return subprocess.run(
        [sys.executable, str(known[words[0]]), *words[1:]], check=False
    ).returncode


def listed() -> int:
    """A line a benchmark: id, minutes of its last recorded run, what it is about; by topic."""
    results, topic = read()[0], ""
    for id, path in sorted(scripts().items(), key=lambda item: (item[1].parent.name, item[0])):
        if path.parent.name != topic:
            topic = path.parent.name
            print(f"{topic}/")
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"  {id:20} {_minutes(path, results):>9}  {said.splitlines()[0]}")
    return 0


def _minutes(path: Path, results: Iterable[Result]) -> str:
    """How long the last recorded run took that says so in a number."""
    here = path.relative_to(BENCHMARKS.parent).as_posix()
    took = [
        (r.date, r.seconds)
        for r in results
        if (here in r.command or here in moved(r)) and isinstance(r.seconds, int)
    ]
    return f"{max(took, key=lambda pair: pair[0])[1] / 60:.1f} min" if took else "-"


def render() -> int:
    """Writes the page, unless something is wrong with what it is made of."""
    results, faults = read()
    faults += faults_of(results, headlines())
    if not faults:
        PAGE.write_text(rendered(results, headlines()), encoding="utf-8")
    return _told(faults, f"{len(results)} results in {PAGE.name}")


def check() -> int:
    """What is wrong with the records and the page."""
    results, faults = read()
    faults += faults_of(results, headlines())
    if not faults and rendered(results, headlines()) != PAGE.read_text(encoding="utf-8"):
        faults.append(
            f"{PAGE.name} is not what the records say; python benchmarks/run.py render writes it"
        )
    return _told(faults, f"{len(results)} results, {PAGE.name} is up to date")


def _told(faults: Sequence[str], otherwise: str) -> int:
    print("\n".join(faults) or otherwise, file=sys.stderr if faults else sys.stdout)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
