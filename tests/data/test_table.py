"""data/table.py: CSV files, their columns, and what goes wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import folder

from archsmith.data.table import list_csv
from archsmith.errors import UserError


def csv_file(root: Path, text: str, encoding: str = "utf-8") -> Path:
    folder(root, {"pics": 6})
    (root / "labels.csv").write_text(text, encoding=encoding)
    return root / "labels.csv"


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_csv(tmp_path: Path, comma: str) -> None:
    rows = [
        "Path,Label,split,group",
        "pics/000.png,cat,train,p1",
        "pics/001.png,dog,dev,p2",
        'pics/002.png," dog",test,',
    ]
    path = csv_file(tmp_path, "\ufeff" + "\n".join(rows).replace(",", comma) + "\n\n")
    listing = list_csv(path, None)
    assert listing.ids == ["pics/000.png", "pics/001.png", "pics/002.png"]
    assert listing.labels == ["cat", "dog", "dog"]
    assert listing.declared == ["train", "val", "test"]
    assert listing.groups == ["p1", "p2", "row 2"]
    with listing.open(1) as image:
        assert image.size == (16, 16)


def test_csv_group_column_by_name(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "file_name,class,patient\npics/000.png,a,7\npics/001.png,b,7\n")
    assert list_csv(path, "patient").groups == ["7", "7"]
    assert list_csv(path, None).groups is None
    with pytest.raises(UserError, match="no column 'patent'.*did you mean 'patient'"):
        list_csv(path, "patent")


def test_csv_empty_and_nan_labels(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,label\npics/000.png,\npics/001.png,NaN\npics/002.png,2.0\n")
    assert list_csv(path, None).labels == [None, None, "2"]


def test_csv_repeated_rows(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,label\npics/000.png,a\npics/000.png,a\npics/001.png,b\n")
    listing = list_csv(path, None)
    assert listing.ids == ["pics/000.png", "pics/001.png"]
    assert "1 rows" in listing.notes[0]
    path = csv_file(tmp_path, "path,label\npics/000.png,a\npics/000.png,b\n")
    with pytest.raises(UserError, match="two labels, 'a' .line 2. and 'b' .line 3."):
        list_csv(path, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("path,label\n", "holds no rows"),
        ("name,label\nx,y\n", "no column for the image paths; it has name, label"),
        ("path,kind\nx,y\n", "no column for the class labels"),
        ("path,label\nx\n", "line 2: 1 cells where the header has 2"),
        (
            "path,label,split\npics/000.png,y,tain\n",
            "line 2, column 'split': unknown split 'tain'; did you mean 'train'",
        ),
    ],
)
def test_csv_faults(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_csv(csv_file(tmp_path, text), None)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("pics/000.png,a\npics/000.png,b", "two labels, 'a' .line 2. and 'b' .line 3."),
        ("pics/000.png,a\n./pics/000.png,b", "two labels"),
    ],
)
def test_csv_images_with_two_labels_are_refused(tmp_path: Path, rows: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        list_csv(csv_file(tmp_path, f"path,label\n{rows}\n"), None)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("pics/000.png,a|b\npics/001.png,a\npics/002.png,b", "'a|b' is several labels"),
        ("pics/000.png,\"['a', 'b']\"\npics/001.png,a", "more than one label"),
        ('pics/000.png,"[a, b]"\npics/001.png,a', "more than one label"),
    ],
)
def test_csv_labels_that_name_several_classes_are_refused_as_classes(
    tmp_path: Path, rows: str, what: str
) -> None:
    assert what in list_csv(csv_file(tmp_path, f"path,label\n{rows}\n"), None).several


def test_csv_an_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "path,label,split\npics/000.png,a,train\npics/000.png,a,test\n")
    with pytest.raises(UserError, match="two splits, 'train' .line 2. and 'test' .line 3."):
        list_csv(path, None)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("pics/000.png,a,train\npics/001.png,a,huh\n", 3),
        ("\n\npics/000.png,a,train\n\npics/001.png,a,huh\n", 6),
        ('pics/000.png,"a\nb",train\npics/001.png,a,huh\n', 4),
    ],
)
def test_csv_lines_are_counted_as_an_editor_counts_them(
    tmp_path: Path, body: str, line: int
) -> None:
    with pytest.raises(UserError, match=f"line {line}, column 'split': unknown split 'huh'"):
        list_csv(csv_file(tmp_path, "path,label,split\n" + body), None)
    with pytest.raises(UserError, match=f"line {line}: 2 cells"):
        list_csv(csv_file(tmp_path, "path,label,split\n" + body.replace(",a,huh", ",a")), None)


def test_csv_of_two_columns_for_one_thing(tmp_path: Path) -> None:
    listing = list_csv(csv_file(tmp_path, "path,class,label\npics/000.png,a,b\n"), None)
    assert listing.labels == ["b"]
    assert listing.notes == ["the class labels come from column 'label'; not used: 'class'"]
    with pytest.raises(UserError, match="several columns 'label'"):
        list_csv(csv_file(tmp_path, "path,label,label\npics/000.png,a,b\n"), None)
    with pytest.raises(UserError, match="no header: its line 1 names an image"):
        list_csv(csv_file(tmp_path, "pics/000.png,a\npics/001.png,b\n"), None)


@pytest.mark.parametrize(
    "name",
    [
        "set",
        "Partition",
        "phase",
        "Usage",
        "data_split",
        "SplitName",
        "which one",
        "split",
        "train_test",
    ],
)
@pytest.mark.parametrize("words", [("train", "test"), ("Training", "Validation"), ("TRAIN", "dev")])
def test_csv_a_column_that_names_parts_is_the_split_whatever_it_is_called(
    tmp_path: Path, name: str, words: tuple[str, str]
) -> None:
    path = csv_file(
        tmp_path,
        f"path,label,{name}\npics/000.png,a,{words[0]}\npics/001.png,b,{words[1]}\npics/002.png,a,{words[0]}\n",
    )
    listing = list_csv(path, None)
    assert listing.declared is not None and listing.declared[0] == "train" != listing.declared[1]
    assert name.lower() == "split" or any(name in note for note in listing.notes)


@pytest.mark.parametrize(
    "rows",
    [
        "pics/000.png,train\npics/001.png,test\n",
        "pics/000.png,train\npics/001.png,val\npics/002.png,test\n",
    ],
)
def test_csv_classes_that_are_called_like_parts_stay_classes(tmp_path: Path, rows: str) -> None:
    listing = list_csv(csv_file(tmp_path, f"path,label\n{rows}"), None)
    assert listing.declared is None and set(listing.labels) <= {"train", "test", "val"}


@pytest.mark.parametrize(
    "way",
    [
        "./pics/001.png",
        "pics/../pics/001.png",
        "{root}/pics/001.png",
        "link.png",
        "other/001.png",
        "link2.png",
    ],
)
def test_csv_one_file_by_two_paths_counts_once(tmp_path: Path, way: str) -> None:
    text = "path,label\npics/000.png,a\npics/001.png,b\n\n{way},{label}\n"
    path = csv_file(tmp_path, "")
    (tmp_path / "link.png").symlink_to("pics/001.png")
    (tmp_path / "link2.png").symlink_to("link.png")
    (tmp_path / "other").symlink_to("pics")
    way = way.format(root=tmp_path)
    path.write_text(text.format(way=way, label="b"))
    listing = list_csv(path, None)
    assert listing.ids == ["pics/000.png", "pics/001.png"]
    assert any(
        "1 rows" in note and "line 5, which names the file of line 3" in note
        for note in listing.notes
    )
    path.write_text(text.format(way=way, label="c"))
    with pytest.raises(UserError, match="the same file as|two labels") as told:
        list_csv(path, None)
    assert "'b' (line 3) and 'c' (line 5)" in str(told.value)


def test_csv_different_files_of_equal_names_stay_apart(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "x.csv").write_text("path,label\na/000.png,a\nb/000.png,b\na/001.png,a\n")
    assert list_csv(tmp_path / "x.csv", None).ids == ["a/000.png", "b/000.png", "a/001.png"]


@pytest.mark.parametrize("other", ["category", "Species", "class_name"])
def test_csv_a_second_column_of_labels_is_said_not_to_be_used(tmp_path: Path, other: str) -> None:
    path = csv_file(tmp_path, f"path,label,{other}\npics/000.png,a,b\npics/001.png,b,c\n")
    assert (f"the class labels come from column 'label'; not used: '{other}'") in list_csv(
        path, None
    ).notes
