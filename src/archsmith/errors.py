"""The errors a caller may want to catch; every message names the thing, the value, what is allowed and the next step.

ArchsmithError
├── UserError        the request cannot be met as it stands (bad input, bad option, nothing feasible); exit code 2
│   ├── OutOfSpace       an architecture, choice or option that the search space does not hold
│   └── NothingFits      no architecture meets the constraints; carries the nearest one
├── Damaged          a file of a run was tampered with or is torn
└── EvaluationFailed an architecture could not be measured; becomes a failed trial
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class ArchsmithError(Exception):
    """Root of the family."""


class UserError(ArchsmithError, ValueError):
    """The request cannot be met as it stands; the command line prints it and exits with code 2."""


class OutOfSpace(UserError):
    """An architecture, a choice or an option that the search space does not hold."""


class NothingFits(UserError):
    """No architecture meets the constraints; `nearest` is the least violating one met, `relax` the limits it breaks."""

    def __init__(self, message: str, nearest: object = None, relax: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.relax = relax


class Damaged(UserError):
    """A file of a run was changed from outside or is torn."""


class EvaluationFailed(ArchsmithError):
    """An architecture could not be measured; the trial that records it carries the reason."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'x'?' for the closest known word, or ''."""
    close = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def visible(text: str) -> str:
    """The text on one line of a terminal: what would move the cursor, colour or hide something is written as an escape."""
    return "".join(c if c == " " or _prints(c) else _escaped(c) for c in text)


def _prints(c: str) -> bool:
    return unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escaped(c: str) -> str:
    return " " if c in "\n\r\t" else c.encode("unicode_escape", "surrogatepass").decode("ascii")


def shown(text: object, most: int = 80) -> str:
    """A value for a message: visible, and its middle left out where it is longer than `most` characters."""
    whole = str(text)
    if len(whole) > most:
        whole = f"{whole[: most * 2 // 3]}...{whole[-most // 6 :]} ({len(whole):,} characters)"
    return visible(whole)


def message(text: str, most: int = 120) -> str:
    """A whole message on one line: words longer than `most` characters are shortened, whatever put them there."""
    words = (word if len(word) <= most else shown(word, most) for word in text.split(" "))
    return shown(" ".join(visible(" ".join(words)).split()), 4000)
