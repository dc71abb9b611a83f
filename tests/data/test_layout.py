"""data/layout.py: which folders are classes and which are parts, for every tree that people
have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from pictures import encoded, picture

from archsmith.data.folder import list_folder
from archsmith.data.gathering import NoImages
from archsmith.errors import UserError

PICTURE = encoded(picture(0, 4))
Tree = Mapping[str, int]


def tree(root: Path, counts: Tree) -> Path:
    """So many images in each folder; a name that ends with a dot and a suffix is that many files of
    this kind."""
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
    return dict(Counter(zip(parts, map(str, listing.labels), strict=True))), "; ".join(
        listing.notes
    )


SPLITS: dict[str, tuple[Tree, str]] = {
    "spelled out": (parts_of("training_set test_set"), "train test"),
    "joined": (parts_of("trainset valset testset"), "train val test"),
    "capitals and numbers": (parts_of("01_TRAIN 02_Validation 03_Test"), "train val test"),
    "years": (parts_of("train2017 val2017"), "train val"),
    "one stray image": (parts_of("train val") | {"val": 1}, "train val"),
    "stray images in both": (parts_of("train test") | {"train": 1, "test": 1}, "train test"),
    "one level down": (parts_of("images/train images/test"), "train test"),
    "two levels down, beside labels": (
        parts_of("x/images/train x/images/val") | {"x/labels.txt": 3},
        "train val",
    ),
    "a wrapper in each part": (parts_of("train/images test/images"), "train test"),
    "a class that a part lacks": (
        parts_of("train", "a b") | parts_of("test", "a b c") | {"train/c": 2},
        "train test",
    ),
    "below each class": (
        {f"{name}/{part}": 2 for name in "ab" for part in ("train", "test")},
        "train test",
    ),
    "a folder beside the parts": (parts_of("train test") | {"raw": 3}, "train test"),
    "below one folder in each class": (
        {f"{n}/images/{p}": 2 for n in "ab" for p in ("train", "test")},
        "train test",
    ),
    "below two folders in each class": (
        {f"{name}/x/y/{part}": 2 for name in "ab" for part in ("Train", "val")},
        "train val",
    ),
    "below a folder of its name": (
        {f"{n}/{n}_images/{p}/jpg": 2 for n in "ab" for p in ("train", "test")},
        "train test",
    ),
    "beside a word that says nothing": (parts_of("flowers_train flowers_test"), "train test"),
    "numbered, beside two words": (
        parts_of("my-set-train my-set-val my-set-test"),
        "train val test",
    ),
    "such words below each class": (
        {f"{n}/cam_{p}": 2 for n in "ab" for p in ("train", "test")},
        "train test",
    ),
    "train, dev and eval": (parts_of("train dev eval"), "train val test"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_folders_of_parts_are_a_split_however_they_are_written(name: str, tmp_path: Path) -> None:
    counts, parts = SPLITS[name]
    found, notes = read(tree(tmp_path, counts))
    assert {part for part, _ in found} == set(parts.split())
    assert {label for _, label in found} <= {"a", "b", "c"}
    assert all(count == 2 for count in found.values())
    assert "taken as parts" in notes
    strays = sum(count for folder, count in counts.items() if folder in ("train", "val", "test"))
    assert (f"{strays} image" in notes and "outside the class folders left out" in notes) == bool(
        strays
    )


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
    "parts of one kind": ({"cat/images/train": 2, "dog/images/train": 2}, "cat dog"),
    "two inner folders each": ({"cat/raw/images": 2, "dog/raw/images": 2}, "cat dog"),
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
        {
            f"{place}/images/{color}": 3
            for place in ("shop", "camera", "phone")
            for color in ("red", "green")
        },
        {
            f"{place}/images/{tool}": 3
            for place in ("amazon", "dslr", "webcam")
            for tool in ("mug", "pen", "ruler")
        },
        {
            f"{place}/raw/images/{color}": 3
            for place in ("shop", "phone")
            for color in ("red", "green")
        },
        {
            f"{name}/{name}_images/{side}": 3
            for name in ("one", "two")
            for side in ("front", "back")
        },
        {f"{name}/images/{part}": 3 for name in ("cat", "dog") for part in ("val", "test")},
        {f"{d}/images/{c}": 2 for d in ("a", "b") for c in ("x", "y")} | {"c/x": 2, "c/y": 2},
        {
            f"{name}/images/{part}/{i}": 2
            for name in ("cat", "dog")
            for part in ("train", "test")
            for i in "xy"
        },
        {f"{name}/x/{color}": 2 for name in ("one", "two") for color in ("red", "green", "blue")},
        {"fold1/cat": 2, "fold1/dog": 2, "fold2/cat": 2, "fold2/dog": 2},
        {"apprentissage/a": 2, "apprentissage/b": 2, "test/a": 2, "test/b": 2},
        {"north/a": 2, "north/b": 2, "north/c": 2, "south/a": 2, "south/b": 2},
        {"val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2},
        {"train/cat": 2, "train/dog": 2, "raw/misc": 2},
        {"train/a": 2, "train/b": 2, "bus/a": 2, "bus/b": 2, "car/a": 2, "car/b": 2},
        {
            "photos/train/a": 2,
            "photos/train/b": 2,
            "photos/test/a": 2,
            "photos/test/b": 2,
            "extra": 1,
        },
        parts_of("images/train images/val masks/train masks/val"),
        parts_of("train/north train/south test/north test/south"),
    ],
)
def test_a_tree_with_two_readings_is_asked_about(counts: Tree, tmp_path: Path) -> None:
    root = tree(tmp_path, counts)
    with pytest.raises(UserError, match=r"(two|three|four) ways.*--classes-at \d gives") as told:
        read(root)
    ways = re.findall(
        r"--classes-at (\d) gives (\d+) classes \('(\w+)'.*? of (\d+) images", str(told.value)
    )
    assert len(ways) > 1
    for level, classes, first, images in ways:
        found = read(root, int(level))[0]
        labels = sorted({label for _, label in found})
        assert (len(labels), labels[0], sum(found.values())) == (int(classes), first, int(images))


@pytest.mark.parametrize(
    "counts",
    [
        {f"{name}/images/{part}": 2 for name in ("cat", "dog") for part in ("train", "test")}
        | {"bird/images": 2},
        {f"{name}/images/{part}": 2 for name in ("cat", "dog") for part in ("train", "test")}
        | {"bird/train": 2, "bird/val": 2},
        {f"cat/{part}": 2 for part in ("train", "test")} | {"dog": 2},
    ],
)
def test_parts_that_some_classes_lack_are_asked_about(counts: Tree, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="hold parts such as train.*--classes-at 1 gives .*train/CLASS"
    ):
        read(tree(tmp_path, counts))


@pytest.mark.parametrize(
    "names",
    [
        "trainA trainB testA testB",
        "train_cat train_dog val_cat val_dog",
        "x-train y-train x-test y-test",
        "TrainReal TrainFake TestReal TestFake other",
    ],
)
def test_names_that_join_a_part_and_a_class_are_asked_about(names: str, tmp_path: Path) -> None:
    root = tree(tmp_path, dict.fromkeys(names.split(), 2))
    with pytest.raises(
        UserError, match="join a part and something else: --classes-at 1 gives .*train/CLASS"
    ):
        read(root)
    assert {label for _, label in read(root, 1)[0]} == set(names.split())


@pytest.mark.parametrize(
    "names", ["train_station bus_station", "test_tube train_car pen", "trainA bus testB car"]
)
def test_names_that_share_no_word_beside_parts_stay_classes(names: str, tmp_path: Path) -> None:
    assert {label for _, label in read(tree(tmp_path, dict.fromkeys(names.split(), 2)))[0]} == set(
        names.split()
    )


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("cats copy", "cats"),
        ("cats - Copy", "Cats"),
        ("cats (1)", "cats"),
        ("cats - Kopie (2)", "cats"),
        ("cats_copy2", "cats"),
        ("Copy of cats", "cats"),
        ("cats.bak", "cats"),
        ("big cats copy 3", "big cats"),
        ("cats – Copie", "cats"),
    ],
)
@pytest.mark.parametrize("part", ["", "train/"])
def test_a_folder_named_as_a_copy_of_one_beside_it_is_asked_about(
    copy: str, original: str, part: str, tmp_path: Path
) -> None:
    counts = {f"{part}{copy}": 2, f"{part}{original}": 2, f"{part}dogs": 2}
    root = tree(
        tmp_path, counts | ({f"test/{name}": 2 for name in (original, "dogs")} if part else {})
    )
    with pytest.raises(
        UserError, match=rf"copy of '{original}' beside it.*--classes-at {2 if part else 1}"
    ):
        read(root)
    found, notes = read(root, 2 if part else 1)
    assert (
        copy in {label for _, label in found}
        and "counted as a class, though it is named like a copy" in notes
    )


@pytest.mark.parametrize("name", ["cats copy", "cats (1)", "photo copy", "Model 3", "copy", "bak"])
def test_a_folder_named_as_a_copy_of_none_is_a_class(name: str, tmp_path: Path) -> None:
    assert {label for _, label in read(tree(tmp_path, {name: 2, "dogs": 2, "Model": 2}))[0]} == {
        name,
        "dogs",
        "Model",
    }


@pytest.mark.parametrize(
    "name", ["_trash", "Recycle Bin", "_old", "~backup", "_to_delete", "Papelera de reciclaje"]
)
def test_bins_that_are_set_apart_are_asked_about(name: str, tmp_path: Path) -> None:
    root = tree(tmp_path, {"cat": 2, "dog": 2, name: 3})
    with pytest.raises(
        UserError, match=r"3 images\) looks like a bin.*move it out.*--classes-at 1"
    ):
        read(root)
    assert read(root, 1)[0] == {("", "cat"): 2, ("", "dog"): 2, ("", name): 3}


@pytest.mark.parametrize("name", ["trash", "Papierkorb", "old", "Corbeille"])
def test_bins_that_may_be_classes_are_classes_and_said(name: str, tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, {"cat": 2, "dog": 2, name: 2}))
    assert (
        len(found) == 3
        and f"folder '{name}' (2 images) counted as a class, though it is named like a bin" in notes
    )


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
        (
            {
                "train/animals/cat": 1,
                "train/animals/dog": 1,
                "train/things/car": 1,
                "test/animals/cat": 1,
            },
            3,
        ),
        ({"x/animals/cat": 1, "x/animals/dog": 1, "x/things/car": 1}, 3),
    ],
)
def test_nested_folders_that_became_fewer_classes_are_said(
    counts: Tree, level: int, tmp_path: Path
) -> None:
    root = tree(tmp_path, counts)
    found, notes = read(root)
    assert {label for _, label in found} == {"animals", "things"}
    assert (
        f"3 nested folders ('car', 'cat', 'dog') became 2 classes ('animals', 'things'); "
        f"--classes-at {level}" in notes
    )
    assert {label for _, label in read(root, level)[0]} == {"cat", "dog", "car"}


def test_a_level_that_is_asked_for_keeps_the_parts(tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, parts_of("train/north train/south test/north")), 3)
    assert found == {("train", "a"): 4, ("train", "b"): 4, ("test", "a"): 2, ("test", "b"): 2}
    assert "level 1 were taken as parts" in notes
    assert read(tmp_path, 2)[0] == {
        ("train", "north"): 4,
        ("train", "south"): 4,
        ("test", "north"): 4,
    }
    assert set(read(tmp_path, 1)[0]) == {("", "train"), ("", "test")}


@pytest.mark.parametrize("level", [0, -1, 3, 99])
def test_a_level_that_the_tree_does_not_have_is_refused(level: int, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"--classes-at {level}: folders with images lie 1 to 2 deep"
    ):
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
        ".ipynb_checkpoints",
        "__MACOSX/cat",
    ],
)
def test_folders_of_storage_boxes_are_no_classes_and_no_images(system: str, tmp_path: Path) -> None:
    found, notes = read(tree(tmp_path, {"cat": 2, "dog": 2, system: 3, f"cat/{system}": 2}))
    assert found == {("", "cat"): 2, ("", "dog"): 2}
    assert (
        f"hidden, system and thumbnail folders were passed over: {system.partition('/')[0]}"
        in notes
    )


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
