"""data/layout.py: which folders are classes and which are parts, for every tree that people have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from pictures import encoded, picture

from archsmith.data.folder import list_folder
from archsmith.data.layout import NoImages
from archsmith.errors import UserError

PICTURE = encoded(picture(0, 4))
Tree = Mapping[str, int]


def tree(root: Path, counts: Tree) -> Path:
    """So many images in each folder; a name that ends with a dot and a suffix is that many files of this kind."""
    for name, count in counts.items():
        folder, suffix = (
            (root / name, ".png")
            if Path(name).suffix not in (".txt", ".parquet")
            else (root / name.rpartition(".")[0], Path(name).suffix)
        )
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f"{number:02d}{suffix}").write_bytes(PICTURE)
    return root


def parts_of(names: str, classes: str = "a b") -> dict[str, int]:
    return {f"{part}/{name}": 2 for part in names.split() for name in classes.split()}


def read(root: Path, classes_at: int | None = None) -> tuple[dict[tuple[str, str], int], str]:
    """(part, class) -> images; all notes as one text. Part "" where there is no split."""
    listing = list_folder(root, classes_at=classes_at)
    parts = listing.declared or [""] * len(listing.ids)
    return dict(Counter(zip(parts, map(str, listing.labels), strict=True))), "; ".join(listing.notes)


SPLITS: dict[str, tuple[Tree, str]] = {
    "spelled out": (parts_of("training_set test_set"), "train test"),
    "joined": (parts_of("trainset valset testset"), "train val test"),
    "capitals and numbers": (parts_of("01_TRAIN 02_Validation 03_Test"), "train val test"),
    "years": (parts_of("train2017 val2017"), "train val"),
    "one stray image": (parts_of("train val") | {"val": 1}, "train val"),
    "stray images in both": (parts_of("train test") | {"train": 1, "test": 1}, "train test"),
    "one level down": (parts_of("images/train images/test"), "train test"),
    "two levels down, beside labels": (parts_of("x/images/train x/images/val") | {"x/labels.txt": 3}, "train val"),
    "a wrapper in each part": (parts_of("train/images test/images"), "train test"),
    "a class that a part lacks": (parts_of("train", "a b") | parts_of("test", "a b c")
                                  | {"train/c": 2}, "train test"),
    "below each class": ({f"{name}/{part}": 2 for name in "ab" for part in ("train", "test")}, "train test"),
    "a folder beside the parts": (parts_of("train test") | {"raw": 3}, "train test"),
    "train, dev and eval": (parts_of("train dev eval"), "train val test"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLITS)
def test_folders_of_parts_are_a_split_however_they_are_written(name: str, tmp_path: Path) -> None:
    counts, parts = SPLITS[name]
    found, notes = read(tree(tmp_path, counts))
    assert {part for part, _ in found} == set(parts.split())
    assert {label for _, label in found} <= {"a", "b", "c"}
    assert all(count == 2 for count in found.values())
    assert "taken as parts" in notes
    strays = sum(count for folder, count in counts.items() if folder in ("train", "val", "test"))
    assert (f"{strays} image" in notes and "outside the class folders left out" in notes) == bool(strays)


CLASSES: dict[str, tuple[Tree, str]] = {
    "beside a bus": ({"train": 2, "bus": 2, "car": 2}, "train bus car"),
    "an experiment": ({"test": 2, "control": 2}, "test control"),
    "environments": ({"dev": 2, "prod": 2, "test": 2}, "dev prod test"),
    "strips": ({"test1": 2, "test2": 2, "test3": 2}, "test1 test2 test3"),
    "vehicles with kinds": (
        {"train/ice": 1, "train/metro": 1, "bus/single": 2, "car/coupe": 1, "car/van": 1},
        "train bus car",
    ),
    "valid coins": ({"valid": 2, "forged": 2}, "valid forged"),
    "one inner folder each": ({"cat/images": 2, "dog/images": 2}, "cat dog"),
    "stray images beside": ({"cat": 2, "dog": 2, ".": 1}, "cat dog"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_whose_names_look_like_parts_stay_classes(name: str, tmp_path: Path) -> None:
    counts, classes = CLASSES[name]
    found, notes = read(tree(tmp_path, counts))
    assert found == {("", label): 2 for label in classes.split()}
    assert f"classes are the {len(found)} folders in" in notes


@pytest.mark.parametrize(
    "counts",
    [
        {f"{place}/images/{color}": 3 for place in ("shop", "camera", "phone") for color in ("red", "green")},
        {f"{name}/images/{part}": 3 for name in ("cat", "dog") for part in ("train", "test")},
        {f"{name}/x/{color}": 2 for name in ("one", "two") for color in ("red", "green", "blue")},
        {"fold1/cat": 2, "fold1/dog": 2, "fold2/cat": 2, "fold2/dog": 2},
        {"apprentissage/a": 2, "apprentissage/b": 2, "test/a": 2, "test/b": 2},
        {"north/a": 2, "north/b": 2, "north/c": 2, "south/a": 2, "south/b": 2},
        {"val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2},
        {"train/cat": 2, "train/dog": 2, "raw/misc": 2},
        {"train/a": 2, "train/b": 2, "bus/a": 2, "bus/b": 2, "car/a": 2, "car/b": 2},
        {"photos/train/a": 2, "photos/train/b": 2, "photos/test/a": 2, "photos/test/b": 2, "extra": 1},
        parts_of("images/train images/val masks/train masks/val"),
        parts_of("train/north train/south test/north test/south"),
    ],
)
def test_a_tree_with_two_readings_is_asked_about(counts: Tree, tmp_path: Path) -> None:
    root = tree(tmp_path, counts)
    with pytest.raises(UserError, match=r"two ways.*--classes-at \d.*--classes-at \d"):
        read(root)
    for level in (1, 2):
        assert read(root, level)[0]


@pytest.mark.parametrize(
    "counts",
    [
        {"train": 3, "test": 2},
        {"training_set": 3, "validation_set": 3},
        {"images/train": 2, "images/val": 2},
        {"train/images": 2, "test/images": 2},
        {"train": 4, "test/a": 1, "test/b": 1},
    ],
)
def test_parts_without_classes_are_refused(counts: Tree, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"named as parts, but no class folders.*CLASS"):
        read(tree(tmp_path, counts))
    assert len(list_folder(tmp_path, labelled=False).ids) == sum(counts.values())


@pytest.mark.parametrize("inner", ["f", "data/all", "Train"])
def test_a_wrapper_is_seen_through_and_named(inner: str, tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, {f"{inner}/cat": 2, f"{inner}/dog": 2, "notes.txt": 1}))
    assert found == {("", "cat"): 2, ("", "dog"): 2}
    assert f"{inner} alone holds images" in notes


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        ({"animals/cat": 1, "animals/dog": 1, "things/car": 1}, 2),
        ({"train/animals/cat": 1, "train/animals/dog": 1, "train/things/car": 1, "test/animals/cat": 1}, 3),
        ({"x/animals/cat": 1, "x/animals/dog": 1, "x/things/car": 1}, 3),
    ],
)
def test_nested_folders_that_became_fewer_classes_are_said(counts: Tree, level: int, tmp_path: Path) -> None:
    root = tree(tmp_path, counts)
    found, notes = read(root)
    assert {label for _, label in found} == {"animals", "things"}
    assert f"3 nested folders ('car', 'cat', 'dog') became 2 classes ('animals', 'things'); --classes-at {level}" in notes
    assert {label for _, label in read(root, level)[0]} == {"cat", "dog", "car"}


def test_a_level_that_is_asked_for_keeps_the_parts(tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, parts_of("train/north train/south test/north")), 3)
    assert found == {("train", "a"): 4, ("train", "b"): 4, ("test", "a"): 2, ("test", "b"): 2}
    assert "level 1 were taken as parts" in notes
    assert read(tmp_path, 2)[0] == {("train", "north"): 4, ("train", "south"): 4, ("test", "north"): 4}
    assert set(read(tmp_path, 1)[0]) == {("", "train"), ("", "test")}


@pytest.mark.parametrize("level", [0, -1, 3, 99])
def test_a_level_that_the_tree_does_not_have_is_refused(level: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--classes-at {level}: folders with images lie 1 to 2 deep"):
        read(tree(tmp_path, parts_of("x y")), level)


@pytest.mark.parametrize(
    "system",
    [
        "@eaDir/one",
        ".thumbnails",
        "#recycle/cat",
        "$RECYCLE.BIN",
        "@__thumb",
        "System Volume Information",
        "lost+found",
        "@tmp",
    ],
)
def test_folders_of_storage_boxes_are_no_classes_and_no_images(system: str, tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, {"cat": 2, "dog": 2, system: 3, f"cat/{system}": 2}))
    assert found == {("", "cat"): 2, ("", "dog"): 2}
    assert system.startswith(".") or "system and thumbnail folders were passed over" in notes


@pytest.mark.parametrize("small", ["thumbs", "Thumbnails", "_previews"])
def test_small_copies_are_no_images(small: str, tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, {"cat": 2, "dog": 2, f"cat/{small}": 2}))
    assert found == {("", "cat"): 2, ("", "dog"): 2} and small in notes


def test_a_folder_of_other_images_is_a_class_whatever_its_name(tmp_path: Path) -> None:
    tree(tmp_path, {"fists": 2, "thumbs": 0})
    for number in range(2):
        (tmp_path / "thumbs" / f"up{number}.png").write_bytes(PICTURE)
    assert read(tmp_path)[0] == {("", "fists"): 2, ("", "thumbs"): 2}


@pytest.mark.parametrize("labelled", [True, False])
def test_nothing_is_told_from_images(labelled: bool, tmp_path: Path) -> None:
    tree(tmp_path, {"train/a.parquet": 1})
    with pytest.raises(NoImages):
        list_folder(tmp_path, labelled)
