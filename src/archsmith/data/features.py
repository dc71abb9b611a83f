"""Which columns of a parquet file are the images and the labels, and the class names the file
carries for its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from archsmith.data.columns import LABEL, label_like
from archsmith.data.listing import label_name, part_of
from archsmith.errors import UserError

IMAGE = ("image", "img", "picture", "x")


@dataclass(frozen=True)
class Columns:
    """The columns of one file. names: of the classes that the numbers in `label` stand for, where
    the file says so; others: the same of other columns."""

    image: str
    label: str | None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    others: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    rest: tuple[str, ...] = field(default=(), compare=False)  # all columns


def columns_of(schema: Any, where: str, labelled: bool) -> Columns:
    """From an arrow schema, by name, type, and what the `datasets` library wrote into its
    metadata."""
    features = _features(schema)
    image = _image(schema, features, where)
    beside = [
        name
        for place, name in enumerate(schema.names)
        if name != image and _holds_images(schema.field(place).type)
    ]
    unused = f"; not used, though it may hold images: {', '.join(beside)}" if beside else ""
    others = [name for name in schema.names if name != image]
    named = {
        name: names
        for name in others
        if name in features and (names := _names(features[name], where, name, False))
    }
    if not labelled:
        notes = [f"{where}: the images are those of column {image}{unused}"] if unused else []
        return Columns(image, None, notes=tuple(notes), others=named, rest=tuple(schema.names))
    label, rivals = _label(
        [name for name in others if not is_split(named.get(name))], features, schema, where
    )
    named.pop(label, None)
    notes = []
    if unused or rivals or label.lower() not in LABEL or image.lower() not in IMAGE:
        left = (
            (f"; {', '.join(rivals)} left aside (to take another one, name it label)")
            if rivals
            else ""
        )
        notes.append(
            f"{where}: the images are those of column {image}, the labels those of column "
            f"{label}{left}{unused}"
        )
    return Columns(
        image,
        label,
        _names(features.get(label), where, label),
        notes=tuple(notes),
        others=named,
        rest=tuple(schema.names),
    )


def is_split(names: Sequence[str] | None) -> bool:
    """Whether the names of a column's numbers are those of parts, train among them."""
    parts = {part_of(name) for name in names or ()}
    return None not in parts and "train" in parts and len(parts) > 1


def described(schema: Any) -> str:
    """The columns with their types, for an error."""
    shown = [
        f"{name} ({_short(schema.field(place).type)})" for place, name in enumerate(schema.names)
    ]
    return (
        ", ".join(shown[:20]) + (f", ... {len(shown)} in all" if len(shown) > 20 else "")
        if shown
        else "none"
    )


def _short(kind: Any) -> str:
    text = str(kind)
    return text if len(text) <= 40 else text[:37] + "..."


def _features(schema: Any) -> dict[str, Any]:
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    except (TypeError, KeyError, ValueError, RecursionError):
        return {}
    return (
        {str(name): feature for name, feature in features.items()}
        if isinstance(features, dict)
        else {}
    )


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _image(schema: Any, features: dict[str, Any], where: str) -> str:
    there = [
        name for place, name in enumerate(schema.names) if _holds_images(schema.field(place).type)
    ]
    named = next((name for known in IMAGE for name in there if name.lower() == known), None)
    marked = [name for name in there if _kind(features.get(name)) == "Image"]
    alone = marked if len(marked) == 1 else there
    if named is not None:
        return named
    if len(alone) == 1:
        return alone[0]
    texts = [name for known in IMAGE for name in schema.names if name.lower() == known]
    if texts and "string" in str(schema.field(schema.names.index(texts[0])).type):
        raise UserError(
            f"{where}: column {texts[0]!r} holds text, not encoded images; for paths "
            f"and labels give a CSV file."
        )
    what = (
        f"several columns that may be the images: {', '.join(alone)}"
        if alone
        else ("no column for the encoded images")
    )
    raise UserError(
        f"{where} has {what}; it has {described(schema)}; name the one with the encoded images "
        f"(bytes of PNG, JPEG, ... files) "
        f"{IMAGE[0]!r}."
    )


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return bool(
            {"bytes", "path"} & {kind.field(place).name for place in range(kind.num_fields)}
        )
    return str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def _label(
    others: Sequence[str], features: dict[str, Any], schema: Any, where: str
) -> tuple[str, list[str]]:
    """The label column, and those that might have been meant instead."""
    marked = [name for name in others if _kind(features.get(name)) == "ClassLabel"]
    named = [name for known in LABEL for name in others if name.lower() == known]
    alike = [name for name in others if label_like(name)]
    if named:
        return named[0], [
            name for name in dict.fromkeys((*named[1:], *marked, *alike)) if name != named[0]
        ]
    if len(marked) == 1:
        return marked[0], [name for name in alike if name != marked[0]]
    several = (
        f"several columns of classes, {', '.join(marked)}"
        if marked
        else ("no column for the class labels")
    )
    raise UserError(
        f"{where} has {several}; it has {described(schema)}; name the one to learn {LABEL[0]!r}."
    )


def _names(feature: Any, where: str, column: str, strict: bool = True) -> tuple[str, ...] | None:
    """The class names of this column; those of another one say nothing about it. strict: UserError
    where two are alike, else none."""
    feature = feature[0] if isinstance(feature, list) and feature else feature
    # of a list of classes
    while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, dict) else None
    if not isinstance(names, list) or not names:
        return None
    given = [label_name(name) for name in names]
    if None in given or len(set(given)) < len(given):
        if not strict:
            return None
        raise UserError(
            f"{where} names two classes of column {column} alike, or one not at all; correct the "
            f"metadata, or write the labels "
            "as text."
        )
    return tuple(str(name) for name in given)


# -- the labels of several files -----------------------------------------------------------------


def named_labels(
    values: Iterable[Any], names: tuple[str, ...] | None, where: str
) -> list[str | None]:
    """The class names of one file's label cells, by its own names; -1 is the `datasets` library's
    "no label"."""
    if names is None:
        return [label_name(value) for value in values]
    values = list(values)
    labels = [label_name(int(value) if isinstance(value, bool) else value) for value in values]
    known = set(names)
    classes: list[str | None] = []
    for value, label in zip(values, labels, strict=True):
        if label is None or label == "-1":
            classes.append(None)
        elif isinstance(value, str) and label in known:  # text is a name, also where it is digits
            classes.append(label)
        elif label.isascii() and label.isdecimal() and len(label) < 10 and int(label) < len(names):
            classes.append(names[int(label)])
        elif label in known and not label.isdecimal():
            classes.append(label)
        else:
            raise UserError(
                f"{where}: label {label} is outside 0..{len(names) - 1}, for which the file has "
                f"names; correct the rows."
            )
    return classes


def united(
    files: Sequence[tuple[str, tuple[str, ...] | None, Sequence[str | None]]], notes: list[str]
) -> tuple[str, ...] | None:
    """All class names of several files, in the order of the first; None where none has any. files:
    (where, names, labels).

    UserError where one file has names for its numbers and another has numbers without names.
    """
    lists = [names for _, names, _ in files if names is not None]
    if not lists:
        return None
    classes = tuple(dict.fromkeys(name for names in lists for name in names))
    for where, names, labels in files:
        unknown = (
            []
            if names is not None
            else sorted({label for label in labels if label is not None} - set(classes))
        )
        if unknown:
            raise UserError(
                f"{where} has no names for its labels (such as {unknown[0]}), the other files have "
                f"({', '.join(lists[0][:3])}, "
                "...); which is which cannot be told. Write the file again with names, or leave it "
                "out."
            )
    if any(sorted(names) != sorted(classes) for names in lists):
        rare = [name for name in classes if any(name not in names for names in lists)]
        notes.append(
            f"the files do not name the same classes; not in all of them: {', '.join(rare[:5])}"
        )
    elif len(set(lists)) > 1:
        notes.append(
            "the files number their classes in different orders; each file's numbers were "
            "read by its own names"
        )
    return classes
