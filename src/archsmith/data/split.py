"""Which image belongs to training, validation and test: stratified, seeded, hashed, the same again
from JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from archsmith.data.listing import PARTS
from archsmith.data.lookalike import near
from archsmith.errors import Damaged, UserError, quoted


@dataclass(frozen=True)
class Split:
    """The ids of each part, in order. `sha256` is taken over part and id of every image, whatever
    the order."""

    parts: Mapping[str, tuple[str, ...]]
    seed: int
    how: str
    val_share: float
    test_share: float

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for part in PARTS:
            for name in sorted(self.parts[part]):
                digest.update(f"{part}\0{name}\n".encode())
        return digest.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """What a run saves; `from_json` turns it back."""
        return {
            "format": 1,
            "sha256": self.sha256,
            "seed": self.seed,
            "how": self.how,
            "val_share": self.val_share,
            "test_share": self.test_share,
            "parts": {part: list(self.parts[part]) for part in PARTS},
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Split:
        """The split that was saved; Damaged where it is not what its hash says."""
        try:
            parts = {part: tuple(str(name) for name in saved["parts"][part]) for part in PARTS}
            split = cls(
                parts,
                int(saved["seed"]),
                str(saved["how"]),
                val_share=float(saved["val_share"]),
                test_share=float(saved["test_share"]),
            )
            expected = saved["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(
                f"the saved split lacks or garbles {error}; restore the file, or start a new run."
            ) from error
        if split.sha256 != expected:
            raise Damaged(
                f"the saved split has the hash {split.sha256[:12]}, recorded is "
                f"{str(expected)[:12]}; "
                "restore the file, or start a new run."
            )
        return split


def rows_of(split: Split, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The row of each image of a saved split; an error where the data no longer holds one of them,
    or holds more."""
    row = {name: index for index, name in enumerate(ids)}
    wanted = [name for part in PARTS for name in split.parts[part]]
    missing = [name for name in wanted if name not in row]
    if missing or len(wanted) != len(row):
        added = sorted(row.keys() - set(wanted))
        shown = ", ".join([f"-{name}" for name in missing[:3]] + [f"+{name}" for name in added[:3]])
        raise UserError(
            f"the data changed since the split was made: {len(missing)} images gone or unreadable, "
            f"{len(added)} new ({shown}); "
            "restore them, or start a new run."
        )
    return {
        part: np.array([row[name] for name in split.parts[part]], dtype=np.int64) for part in PARTS
    }


def divide(
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    seed: int,
    val_share: float,
    test_share: float,
    declared: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    strata: bool = False,
) -> tuple[dict[str, np.ndarray], str]:
    """Rows of each part, and how they came about in words. Declared parts are kept; missing ones
    are cut off the training part.

    Without groups every class gives round(share * its size) images, at least one, to validation and
    test; groups are dealt out whole, the largest first, each to the part that brings the class
    counts closest to the wanted ones. `strata`: the labels are no classes but groups of similar
    images, and a part may lack some.
    """
    everything, by = np.arange(len(labels)), "value" if strata else "class"
    if declared is None:
        pool, fixed = everything, {}
    else:
        given = np.array(declared)
        fixed = {part: everything[given == part] for part in PARTS if (given == part).any()}
        if "train" not in fixed:
            raise UserError(
                f"the data declares {' and '.join(fixed)} but no training part; name one part "
                f"train, or drop the split."
            )
        pool = fixed.pop("train")
        if not strata:
            _check_known(labels, {"train": pool, **fixed}, classes)
    shares = {
        part: share
        for part, share in (("val", val_share), ("test", test_share))
        if part not in fixed
    }
    kept = " and ".join((["train"] if not shares else []) + list(fixed))
    made = " and ".join(f"{part} {share:.0%}" for part, share in shares.items())
    how = "; ".join(
        [f"{kept} as declared"] * bool(kept)
        + [f"{made} of {'the training part' if kept else 'all images'}"] * bool(made)
    )
    if not shares:
        rows = {"train": pool}
    elif groups is None:
        how += "" if len(classes) < 2 else f", stratified by {by}"
        rows = _stratified(labels, pool, shares, seed=seed, classes=classes)
    else:
        how += (
            f", {len({groups[i] for i in pool.tolist()})} groups kept together, stratified by "
            f"{by} as far as they allow"
        )
        rows = _grouped(labels, pool, shares, seed=seed, groups=groups)
    rows |= fixed
    _check(labels, rows, () if strata else classes)
    return {part: np.sort(rows[part]) for part in PARTS}, how


def _stratified(
    labels: np.ndarray,
    pool: np.ndarray,
    shares: Mapping[str, float],
    seed: int,
    classes: Sequence[str],
) -> dict[str, np.ndarray]:
    rng = Random(f"{seed}/split")
    parts: dict[str, list[int]] = {"train": [], **{part: [] for part in shares}}
    for index, name in enumerate(classes):
        members = pool[labels[pool] == index].tolist()
        if len(members) <= len(shares):
            raise UserError(
                f"class {quoted(name)} has {len(members)} image{'s' if len(members) != 1 else ''} "
                f"to split; "
                f"at least {len(shares) + 1} are needed, one each for training, "
                f"{' and '.join(shares)}. Add images or drop it."
            )
        rng.shuffle(members)
        spare = len(members) - 1  # one stays for training
        for left, (part, share) in zip(range(len(shares) - 1, -1, -1), shares.items(), strict=True):
            count = min(
                max(1, round(share * len(labels[pool][labels[pool] == index]))), spare - left
            )
            parts[part] += members[:count]
            members, spare = members[count:], spare - count
        parts["train"] += members
    return {part: np.array(rows, dtype=np.int64) for part, rows in parts.items()}


def _grouped(
    labels: np.ndarray,
    pool: np.ndarray,
    shares: Mapping[str, float],
    seed: int,
    groups: Sequence[str],
) -> dict[str, np.ndarray]:
    members: dict[str, list[int]] = {}
    for row in pool.tolist():
        members.setdefault(groups[row], []).append(row)
    if len(members) <= len(shares):
        raise UserError(
            f"{len(members)} group{'s' if len(members) != 1 else ''} for {len(shares) + 1} parts; "
            f"at least {len(shares) + 1} "
            "are needed. Group by another column, or declare the split yourself."
        )
    order = sorted(members)
    Random(f"{seed}/groups").shuffle(order)
    order.sort(key=lambda name: -len(members[name]))  # stable: equal sizes stay shuffled
    count = int(labels.max()) + 1
    names = ["train", *shares]
    totals = np.bincount(labels[pool], minlength=count)
    wanted = np.outer([1 - sum(shares.values()), *shares.values()], totals)
    have = np.zeros_like(wanted)
    parts: dict[str, list[int]] = {name: [] for name in names}
    for place, name in enumerate(order):
        rows = members[name]
        add = np.bincount(labels[rows], minlength=count)
        touched = add > 0
        gap = have[:, touched] - wanted[:, touched]
        cost = (((gap + add[touched]) ** 2 - gap**2) / np.maximum(wanted[:, touched], 1e-9)).sum(
            axis=1
        )
        empty = [not parts[part] for part in names]
        if len(order) - place <= sum(empty):  # the last groups go where there is nothing yet
            cost[~np.array(empty)] = np.inf
        best = int(cost.argmin())
        parts[names[best]] += rows
        have[best] += add
    return {part: np.array(rows, dtype=np.int64) for part, rows in parts.items()}


def _check(labels: np.ndarray, rows: Mapping[str, np.ndarray], classes: Sequence[str]) -> None:
    """Every class of validation and test is one of training, and no part is empty."""
    for part in PARTS:
        if not len(rows[part]):
            raise UserError(
                f"the {part} part holds no images; add some, or drop the declared split."
            )
    if classes:
        _check_known(labels, rows, classes)


def _check_known(
    labels: np.ndarray, rows: Mapping[str, np.ndarray], classes: Sequence[str]
) -> None:
    """UserError for a class of another part that training lacks, with the training class that may
    be meant."""
    held = set(labels[rows["train"]].tolist())
    known = [classes[index] for index in sorted(held)]
    for part, members in rows.items():
        foreign = [classes[index] for index in sorted(set(labels[members].tolist()) - held)]
        if foreign:
            text = "; ".join(
                f"class {quoted(name)} is in {part}, not in train{near(name, known)}"
                for name in foreign[:3]
            )
            more = f" (and {len(foreign) - 3} more)" if len(foreign) > 3 else ""
            raise UserError(
                f"{text}{more}. Give them one name, add training images, or remove it "
                "(with groups: a class that only one group has cannot be split)."
            )
