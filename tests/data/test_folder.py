"""data/folder.py: class folders, declared parts, and everything odd that a disk may hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pictures import encoded, folder, picture

from archsmith.data.folder import list_folder
from archsmith.errors import UserError


def test_classes_and_ids(tmp_path: Path) -> None:
    folder(tmp_path, {"dog": 2, "cat/indoors": 1, "cat/outdoors": 1})
    listing = list_folder(tmp_path)
    assert listing.ids == [
        "cat/indoors/000.png",
        "cat/outdoors/000.png",
        "dog/000.png",
        "dog/001.png",
    ]
    assert listing.labels == ["cat", "cat", "dog", "dog"]
    assert listing.declared is None
    with listing.open(2) as image:
        assert image.size == (16, 16)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "test")]
)
def test_declared_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder(tmp_path, {f"{part}/{name}": 2 for part in names for name in ("a", "b")} | {"raw/a": 1})
    listing = list_folder(tmp_path)
    expected = ["train"] * 4 + (["val"] * 4 if len(names) == 3 else []) + ["test"] * 4
    assert listing.declared == expected
    assert listing.labels == ["a", "a", "b", "b"] * len(names)
    assert any("raw" in note for note in listing.notes)


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    folder(tmp_path, {"train": 2, "plane": 2, "test": 2})
    listing = list_folder(tmp_path)
    assert set(listing.labels) == {"train", "plane", "test"}
    assert listing.declared is None


def test_two_folders_for_one_part(tmp_path: Path) -> None:
    folder(tmp_path, {"train/a": 1, "val/a": 1, "valid/a": 1})
    with pytest.raises(UserError, match="two folders for val"):
        list_folder(tmp_path)


def test_hidden_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1, ".cache": 1, "__MACOSX": 1})
    (tmp_path / "a" / ".DS_Store").write_text("x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "README.md").write_text("x")
    listing = list_folder(tmp_path)
    assert listing.ids == ["a/000.png", "b/000.png"]
    assert any(note.startswith("2 files") for note in listing.notes)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1, "empty": 0})
    with pytest.raises(UserError, match="'empty'.*remove the folder"):
        list_folder(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "one.png")
    with pytest.raises(UserError, match="no class sub-folders"):
        list_folder(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no images"):
        list_folder(tmp_path)


def test_links_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b" / "ring").symlink_to(tmp_path / "b" / "ring")
    listing = list_folder(tmp_path)
    assert listing.ids == ["a/000.png", "a/001.png", "b/000.png"]
    assert sum("link back" in note for note in listing.notes) == 3


def test_a_linked_class_folder_is_followed(tmp_path: Path) -> None:
    folder(tmp_path / "elsewhere", {"c": 2})
    folder(tmp_path / "set", {"a": 1})
    (tmp_path / "set" / "c").symlink_to(tmp_path / "elsewhere" / "c", target_is_directory=True)
    assert list_folder(tmp_path / "set").labels == ["a", "c", "c"]


def test_broken_links_are_listed_and_pipes_are_not(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    listing = list_folder(tmp_path)
    assert listing.ids == ["a/000.png", "a/gone.png", "b/000.png"]
    with pytest.raises(OSError):
        listing.open(1)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    os.makedirs(base + b"/caf\xe9")
    with open(base + b"/caf\xe9/\xff.png", "wb") as stream:
        stream.write(encoded(picture(0)))
    listing = list_folder(tmp_path)
    assert listing.ids == ["caf\\xe9/\\xff.png"]
    assert listing.labels == ["caf\\xe9"]
    with listing.open(0) as image:
        assert image.size == (16, 16)
