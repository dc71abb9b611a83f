"""Class names that people take for one another: written in two Unicode forms, in other letters,
case or notation."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from archsmith.errors import UNSEEN, UserError, quoted

_TWINS = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABESIJKMHOPCTXYaeopcyxijsABEZHIKMNOPTYXo"
)
_QUOTES = "\"'`´“”„‟‘’‚‛«»‹›"
# what `printable` makes of unseen characters
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


def check_names(classes: Sequence[str]) -> list[str]:
    """Notes on classes that differ by little; UserError for two that no reader could tell apart."""
    notes: list[str] = []
    for first, second in _pairs(classes, seen):
        raise UserError(
            f"classes {quoted(first)} and {quoted(second)} look the same but are written "
            f"differently "
            f"({written(first)}; {written(second)}); give them one spelling to make them one "
            f"class, or another name."
        )
    kinds = (
        (str.casefold, "differ in upper and lower case alone"),
        (
            lambda name: unicodedata.normalize("NFKC", name).translate(_TWINS),
            "look alike, in letters of another alphabet",
        ),
        (_number, "are the same number"),
        (lambda name: name.strip(_QUOTES), "differ in quotes alone"),
    )
    pairs: set[tuple[str, str]] = set()
    for key, how in kinds:
        for first, second in _pairs(classes, key):
            if (first, second) not in pairs:
                pairs.add((first, second))
                notes.append(
                    f"classes {quoted(first)} and {quoted(second)} {how}; they are kept apart"
                )
    notes = notes[:5] + (
        [f"{len(notes) - 5} more pairs of class names are as close"] if len(notes) > 5 else []
    )
    held = [
        name for name in classes if len(name) > 1 and (name[0] in _QUOTES or name[-1] in _QUOTES)
    ]
    if held:
        some = (
            f"class {quoted(held[0])} holds"
            if len(held) == 1
            else (f"{len(held)} classes such as {quoted(held[0])} hold")
        )
        notes.append(f"{some} a quote at an end; it was read as part of the name")
    return notes


def near(name: str, known: Sequence[str]) -> str:
    """'; near: 'Blue'' for the known name that is most like `name`, or ''; how both are written
    where they look the same."""
    for key in (seen, str.casefold, lambda text: text.translate(_TWINS), _number):
        for other in known:
            if key(other) == key(name):
                forms = f" ({written(name)}; {written(other)})" if key is seen else ""
                return f"; near: {quoted(other)}{forms}"
    close = difflib.get_close_matches(
        name[:200].casefold(), [other[:200].casefold() for other in known], n=1, cutoff=0.6
    )
    nearest = next((other for other in known if close and other[:200].casefold() == close[0]), None)
    return f"; near: {quoted(nearest)}" if nearest is not None else ""


def seen(name: str) -> str:
    """What a reader sees of a name: one Unicode form, nothing invisible, single spaces."""
    kept = "".join(
        c
        for c in _plain(name)
        if unicodedata.category(c) != "Cf" and not 0xFE00 <= ord(c) <= 0xFE0F
    )
    return " ".join(unicodedata.normalize("NFC", kept).split())


def written(name: str) -> str:
    """The code points of a name that are no ASCII, and its Unicode form: "U+00E9, NFC"."""
    name = _plain(name)
    odd = [f"U+{ord(c):04X}" for c in name if not c.isascii()]
    if not odd:
        return "ASCII" if name == " ".join(name.split()) else "ASCII with more spaces"
    forms = [form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)]
    return " ".join(odd[:6]) + (f", {forms[0]}" if len(forms) == 1 else "")


def _plain(name: str) -> str:
    """The characters that were there before unseen ones were written as escapes."""

    def character(match: re.Match[str]) -> str:
        there = chr(min(int(next(filter(None, match.groups())), 16), 0x10FFFF))
        return there if unicodedata.category(there) in UNSEEN else match[0]

    return _ESCAPE.sub(character, name)


def _number(name: str) -> object:
    """The value of a name that is a number; of another one the name."""
    try:
        return float(name.replace(",", ".").replace("_", "x")) + 0.0
    except ValueError:
        return name


def _pairs(names: Iterable[str], key: object) -> list[tuple[str, str]]:
    """Each name with the first one that has the same key."""
    first: dict[object, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(key(name), name)  # type: ignore[operator]
        if other != name:
            pairs.append((other, name))
    return pairs
