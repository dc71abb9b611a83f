"""A CSV file as rows of text, whatever wrote it (encoding, separator), and the image files that its
cells name."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from archsmith.data.contents import is_regular
from archsmith.errors import UserError, printable, quoted

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_OPENED = re.compile(r'\s+"')
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True)
class Rows:
    """`lines`: the line of the file on which each row begins, the first being 1."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    encoding: str
    notes: list[str]


def read_rows(path: Path) -> Rows:
    """Header and rows; UserError for a file that is no table, naming the line."""
    where = printable(str(path), 200)
    if not is_regular(str(path)):
        raise UserError(f"{where} is no regular file; give a CSV file.")
    text, encoding, notes = _decoded(path.read_bytes(), where)
    skipped = 0
    if mark := re.match(r"sep=(.)\r?\n", text):  # Excel's own first line
        text, skipped = text[mark.end() :], 1
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = mark[1] if mark else max(_SEPARATORS, key=first.count)
    if separator != "," and not (separator == "\t" and path.suffix.lower() == ".tsv"):
        notes.append(
            f"the columns of {where} are separated by "
            f"{_SEPARATORS.get(separator, quoted(separator))}"
        )
    rows, lines = _parsed(text, separator, where, skipped)
    # "a", "b": the quote after a space is no quote by RFC 4180
    if any(_OPENED.match(cell) for row in rows for cell in row):
        again, begins = _parsed(text, separator, where, skipped, spaced=True)
        if all(len(row) == len(again[0]) for row in again) and not any(
            cell.startswith('"') for row in again for cell in row
        ):
            rows, lines = again, begins
            notes.append(f"spaces before quotes in {where} were taken as no part of the cells")
    if len(rows) < 2:
        raise UserError(
            f"{where} holds no rows; expected a header line such as path,label and one "
            f"line per image."
        )
    header = [name.strip() for name in rows[0]]
    for line, row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(header):
            raise UserError(
                f"{where}, line {line}: {len(row)} cells where the header has {len(header)}; "
                f"quote cells that hold {_SEPARATORS.get(separator, quoted(separator))}."
            )
    return Rows(header, rows[1:], lines[1:], encoding=encoding, notes=notes)


def _parsed(
    text: str, separator: str, where: str, skipped: int, *, spaced: bool = False
) -> tuple[list[list[str]], list[int]]:
    """Rows that are not blank, and the line on which each begins. spaced: spaces before a cell are
    none of it."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaced)
    begins = 1 + skipped
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(begins)
            begins = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise UserError(
            f"{where} is not a CSV file (line {reader.line_num + skipped}: {error}); expected a "
            f"header line such as path,label."
        ) from error
    if (
        lines
        and begins - lines[-1] > 1
        and text.count('"') % 2
        and any("\n" in cell for cell in rows[-1])
    ):
        raise UserError(
            f"{where}, line {lines[-1]}: a quote opens there that is not closed until the end of "
            f"the file; "
            "close it, or leave it out."
        )
    return rows, lines


def _decoded(data: bytes, where: str) -> tuple[str, str, list[str]]:
    """Text, its encoding and remarks. UTF-8, or what a byte order mark or NULs say; Windows-1252
    where it makes sense."""
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:4096]:
        encoding = "utf-16-le" if data[1:4096:2].count(0) > data[:4096:2].count(0) else "utf-16-be"
    notes = (
        [f"{where} was read as {encoding.upper()}"]
        if encoding.startswith(("utf-16", "utf-32"))
        else []
    )
    try:
        text = data.decode(encoding)
        if "\0" not in text:
            return text, encoding, notes
        line, what = text[: text.index("\0")].count("\n") + 1, "a NUL"
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and (western := _western(data)) is not None:
            example = next(word for word in re.findall(r"\w+", western) if not word.isascii())
            note = f"{where} is not UTF-8: it was read as Windows-1252, such as {quoted(example)}"
            return western, "cp1252", [f"{note}; save it as UTF-8 if that is wrong"]
        line, what = data[: error.start].count(b"\n") + 1, f"the byte 0x{data[error.start]:02x}"
    raise UserError(
        f"{where}, line {line}: {what} makes no sense as {encoding.upper()}; save the file as "
        f"UTF-8 "
        "(in a spreadsheet: CSV UTF-8) and try again."
    )


def _western(data: bytes) -> str | None:
    """The text in Windows-1252 where it reads like a western language: accents among plain letters;
    otherwise None.

    Texts of other alphabets (Cyrillic, Greek, Chinese) consist of such bytes, and would come out as
    nonsense.
    """
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    odd = [c for c in text if not c.isascii()]
    letters = [c for c in odd if c.isalpha()]
    if any(not c.isalpha() and c not in "–—‘’“”„…°²³µ½¼€£§©®·«»´\xa0" for c in odd) or not letters:
        return None
    words = {word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()}
    plain = sum(c.isascii() for word in words for c in word)
    if plain < sum(len(word) for word in words) / 2 or any(
        re.search(r"[^\W\d_a-zA-Z]{3}", word) for word in words
    ):
        return None
    return text


# ------------------------------------------------------------------------------------------ files


def located(
    names: Sequence[str], base: str, encoding: str, where: str
) -> tuple[list[str], list[str]]:
    """The file that each cell names, and remarks on those that are written for another system.

    Paths are relative to the folder `base` of the table. UserError where none of the files is
    there.
    """
    files: list[str] = []
    examples: dict[str, str] = {}
    # of paths on another machine: what stands before the part that is found here
    begins: list[str] = []
    missing = 0
    for name in names:
        candidate = next(
            (
                pair
                for pair in _candidates(name, base, encoding, begins)
                if os.path.lexists(pair[0])
            ),
            None,
        )
        path, how = candidate or _elsewhere(name, base, begins)
        missing += not candidate and not how
        if how:
            examples.setdefault(how, name)
        files.append(path)
    if missing == len(names):
        raise UserError(
            f"{where}: none of the {len(names)} files it names is there, such as "
            f"{quoted(names[0])}; "
            f"{_advice(names[0])}paths count from the folder of the table, "
            f"{printable(base, 200) or '.'}."
        )
    return files, [f"{where}: {how}, such as {quoted(name)}" for how, name in examples.items()]


def _candidates(
    name: str, base: str, encoding: str, begins: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Paths that a cell may stand for, the likeliest first, and what is said of them."""
    yield os.path.join(base, name), ""
    yield os.path.join(base, name.strip()), ""
    plain = name.strip().replace("\\", "/")
    for begin in begins:
        if plain.startswith(begin):
            yield os.path.join(base, plain[len(begin) :]), _note(begin)
    if plain != name.strip():
        yield os.path.join(base, plain), "paths with backslashes were read as those of Windows"
    for form in ("NFC", "NFD"):
        yield (
            os.path.join(base, unicodedata.normalize(form, plain)),
            ("names were found in another Unicode form"),
        )
    try:
        yield os.path.join(base, os.fsdecode(plain.encode(encoding))), ""
    except UnicodeEncodeError:
        return


def _elsewhere(name: str, base: str, begins: list[str]) -> tuple[str, str]:
    """For an absolute path of another machine the longest end of it that is found below `base`."""
    plain = name.strip().replace("\\", "/")
    if _WINDOWS.match(name.strip()) or plain.startswith("/"):
        pieces = plain.split("/")
        for count in range(1, len(pieces)):
            path = os.path.join(base, *pieces[count:])
            if pieces[count] and os.path.isfile(path):
                begins.append("/".join(pieces[:count]) + "/")
                return path, _note(begins[-1])
    return os.path.join(base, name), ""


def _note(begin: str) -> str:
    return f"paths that begin with {quoted(begin)} were looked for in the folder of the table"


def _advice(name: str) -> str:
    if re.match(r"[a-z]{2,}://", name.strip(), re.IGNORECASE):
        return "addresses are not fetched: download the images; "
    return "this is a path of Windows: copy the images beside the table; " if "\\" in name else ""
