"""data/rows.py: CSV files of every encoding, separator and system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pictures import folder, picture

from archsmith.data.rows import read_rows
from archsmith.data.table import list_csv
from archsmith.errors import UserError


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("words", [("café", "grün"), ("été dernier", "façade")])
def test_class_names_come_out_as_they_were_written_in_any_encoding(
    encoding: str, words: tuple[str, str], tmp_path: Path
) -> None:
    path = folder(tmp_path, {"p": 2}) / "x.csv"
    path.write_bytes(
        "".join(["path,label", *(f"\r\np/00{i}.png,{w}" for i, w in enumerate(words))]).encode(
            encoding
        )
    )
    listing = list_csv(path, None)
    assert listing.labels == list(words)
    assert any("read as" in note for note in listing.notes) == (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("кошка", "cp1251"), ("大象长颈鹿", "gbk"), ("ねこいぬ", "shift-jis"), ("γάτα", "cp1253")],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    text: str, encoding: str, tmp_path: Path
) -> None:
    path = folder(tmp_path, {"p": 2}) / "x.csv"
    path.write_bytes(f"path,label\np/000.png,dog\np/001.png,{text}\n".encode(encoding))
    with pytest.raises(
        UserError, match="line 3: the byte 0x.. makes no sense as UTF-8; save the file as UTF-8"
    ):
        list_csv(path, None)


@pytest.mark.parametrize(
    "data", [b"path,label\na\0b,c\n", "path,label\na,b".encode("utf-16")[:-1], b"\xff\xfe\xff"]
)
def test_what_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(UserError):
        read_rows(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path;label\nx;a", "semicolons"),
        ("path\tlabel\nx\ta", "tabs"),
        ("path|label\nx|a", "bars"),
        ("sep=;\npath;label\nx;a", "semicolons"),
        ("path,label\nx,a", None),
    ],
)
def test_the_separator_is_found_and_said(text: str, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    found = read_rows(tmp_path / "x.csv")
    assert (found.header, found.rows) == (["path", "label"], [["x", "a"]])
    assert [note.rpartition(" ")[2] for note in found.notes] == ([said] if said else [])


@pytest.mark.parametrize(
    ("begin", "slash", "said"),
    [
        ("", "\\", "those of Windows"),
        ("C:\\old\\", "\\", "begin with 'C:/old/' were looked for in the folder of the table"),
        ("\\\\server\\share\\", "\\", "begin with '//server/share/'"),
        ("/home/x/", "/", "begin with '/home/x/'"),
        (" ", "/", None),
    ],
)
def test_paths_of_another_system_are_found_and_said(
    begin: str, slash: str, said: str | None, tmp_path: Path
) -> None:
    folder(tmp_path, {"p": 2})
    (tmp_path / "x.csv").write_text(
        "path,label\n" + "".join(f"{begin}p{slash}00{i}.png,a\n" for i in range(2))
    )
    listing = list_csv(tmp_path / "x.csv", None)
    assert [os.path.realpath(path) for path in listing.paths or []] == [
        str(tmp_path / "p" / f"00{i}.png") for i in range(2)
    ]
    assert (len(listing.notes) == 1 and said in listing.notes[0]) if said else not listing.notes


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [("caf\u00e9.png", "cafe\u0301.png"), ("cafe\u0301.png", "caf\u00e9.png")],
)
def test_a_name_in_another_unicode_form_is_found(
    written: str, on_disk: str, tmp_path: Path
) -> None:
    picture(0).save(tmp_path / on_disk)
    (tmp_path / "x.csv").write_text(f"path,label\n{written},a\n", encoding="utf-8")
    listing = list_csv(tmp_path / "x.csv", None)
    assert listing.paths == [str(tmp_path / on_disk)] and "Unicode form" in listing.notes[0]


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("C:\\a\\b.png", "path of Windows"),
        ("https://x.org/a.png", "not fetched"),
        ("gone.png", "count from the folder"),
    ],
)
def test_files_that_are_not_there_are_told_with_what_to_do(
    cell: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(f"path,label\n{cell},a\n")
    with pytest.raises(UserError, match=f"none of the 1 files it names is there.*{advice}"):
        list_csv(tmp_path / "x.csv", None)


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    folder(tmp_path, {"p": 1})
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "x.csv").write_text("path,label\np/000.png,a\npipe.png,a\n")
    with pytest.raises(OSError, match="a pipe, not a file"):
        list_csv(tmp_path / "x.csv", None).open(1)
    with pytest.raises(UserError, match="no regular file"):
        read_rows(tmp_path / "pipe.csv")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            'path, label\n"x.png", "cat"\n"y.png", "big, dog"\n',
            [["x.png", "cat"], ["y.png", "big, dog"]],
        ),
        ('path; label; split\nx.png; "cat"; "train"\n', [["x.png", "cat", "train"]]),
        (
            'path,label\nx.png,  "say ""cat"""\ny.png,dog\n',
            [["x.png", 'say "cat"'], ["y.png", "dog"]],
        ),
        ('path,label\nx.png,\t"two\nlines"\n', None),
    ],
)
def test_a_quote_after_a_space_is_a_quote(
    text: str, rows: list[list[str]] | None, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(text)
    if rows is None:  # not balanced by that reading either
        with pytest.raises(UserError, match="line 3"):
            read_rows(tmp_path / "x.csv")
        return
    found = read_rows(tmp_path / "x.csv")
    assert found.rows == rows and any("spaces before quotes" in note for note in found.notes)


@pytest.mark.parametrize(
    "cells",
    [
        ['x.png,"cat', "y.png,dog"],
        ["x.png,cat", 'y.png,"dog', "z.png,dog"],
        ['"x.png,cat', "y.png,a"],
    ],
)
def test_a_quote_that_is_not_closed_is_refused_with_its_line(
    cells: list[str], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("\n".join(["path,label", "w.png,cat", *cells, ""]))
    line = 3 + next(place for place, cell in enumerate(cells) if '"' in cell)
    with pytest.raises(UserError, match=f"line {line}: a quote opens there that is not closed"):
        read_rows(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("word", "encoding"), [("Işık", "cp1254"), ("Łódź mała", "cp1250"), ("Größe", "cp1252")]
)
def test_labels_read_in_a_guessed_encoding_are_shown(
    word: str, encoding: str, tmp_path: Path
) -> None:
    path = folder(tmp_path, {"p": 2}) / "x.csv"
    path.write_bytes(f"path,label\np/000.png,{word}\np/001.png,dog\n".encode(encoding))
    listing = list_csv(path, None)
    assert any(
        "labels as they were read by that" in note and f"'{listing.labels[0]}'" in note
        for note in listing.notes
    )
