"""The errors a caller may want to catch; every message names the thing, the value, what is allowed
and the next step.

ArchsmithError ├── UserError        the request cannot be met as it stands (bad input, bad option,
nothing feasible); exit code 2 │   ├── OutOfSpace       an architecture, choice or option that the
search space does not hold │   └── NothingFits      no architecture meets the constraints; carries
the nearest one ├── Damaged          a file of a run was tampered with or is torn └──
EvaluationFailed an architecture could not be measured; becomes a failed trial
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
    """No architecture meets the constraints; `nearest` is the least violating one met, `relax` the
    limits it breaks."""

    def __init__(self, message: str, nearest: object = None, relax: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.relax = relax


class Damaged(UserError):
    """A file of a run was changed from outside or is torn."""


class EvaluationFailed(ArchsmithError):
    """An architecture could not be measured; the trial that records it carries the reason."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line that is never empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'x'?' for the closest known word, or ''."""
    close = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.5)
    return f"; did you mean {quoted(close[0], 200)}?" if close else ""


UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_JOINING = frozenset("\u200c\u200d")  # parts of words and of pictures in several scripts


def printable(value: object, limit: int | None = None) -> str:
    """A user's value as one line that is safe to print, in at most `limit` characters (its middle
    is left out).

    Control characters, line ends, marks that turn the direction of text and what is no valid
    Unicode are written as escapes; bytes of a file name that are no UTF-8 as \\xff.
    """
    text = str(value)
    if limit is not None and len(text) > limit:  # before escaping: a value may hold megabytes
        text = f"{text[: limit - limit // 3 - 3]}...{text[-(limit // 3) :]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(c) if unicodedata.category(c) in UNSEEN and c not in _JOINING else c for c in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode(
        "unicode_escape" if code < 0xD800 or code > 0xDFFF else "ascii", "backslashreplace"
    ).decode("ascii")


def quoted(value: object, limit: int = 60) -> str:
    """The same in quotes, shortened: for messages."""
    return f"'{printable(value, limit)}'"


def shown(value: object, most: int = 80) -> str:
    """A value for a message: printable, and its middle left out where it is longer than `most`
    characters."""
    whole = str(value)
    return (
        printable(whole)
        if len(whole) <= most
        else (f"{printable(whole, most)} ({len(whole):,} characters)")
    )


def message(text: str, most: int = 120) -> str:
    """A whole message on one line: words longer than `most` characters are shortened, whatever put
    them there."""
    words = (
        word if len(word) <= most else shown(word, most)
        for word in " ".join(text.split()).split(" ")
    )
    return shown(" ".join(words), 4000)
