"""data/parts.py: batches are a function of seed and step, streamed parts equal resident ones,
damaged files have stand-ins."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import folder

from archsmith.data import Augment, Data, Resident, Streamed, batches, load, ordered, together
from archsmith.errors import UserError

RICH = Augment(crop=2, flip=True, zoom=0.6, operations=2, mixup=0.4, erase=0.5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("set"), {"a": 12, "b": 17, "c": 11})


@pytest.fixture(scope="module")
def resident(root: Path) -> Data:
    return load(root)


@pytest.fixture(scope="module")
def streamed(root: Path) -> Data:
    return load(root, memory_limit_bytes=0)


def take(data: Data, count: int, **settings: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    options: dict[str, object] = {"data": data, "seed": 3, "augment": None, "device": "cpu"}
    return list(itertools.islice(batches(data.parts["train"], 8, **(options | settings)), count))  # type: ignore[arg-type]


def same(
    first: list[tuple[torch.Tensor, torch.Tensor]], second: list[tuple[torch.Tensor, torch.Tensor]]
) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in pairs)


def test_kinds(resident: Data, streamed: Data) -> None:
    assert isinstance(resident.parts["train"], Resident) and resident.facts["resident"] is True
    assert isinstance(streamed.parts["train"], Streamed) and streamed.facts["resident"] is False
    assert resident.split.sha256 == streamed.split.sha256


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_two_parts_together_hold_the_images_of_both(
    kind: str, request: pytest.FixtureRequest
) -> None:
    data: Data = request.getfixturevalue(kind)
    train, val = data.parts["train"], data.parts["val"]
    both = together(train, val)
    assert len(both) == len(train) + len(val) and list(both.ids) == [*train.ids, *val.ids]
    assert both.labels.tolist() == [*train.labels.tolist(), *val.labels.tolist()]
    pixels = both.images(np.arange(len(both)))
    assert torch.equal(pixels[: len(train)], train.images(np.arange(len(train))))
    assert torch.equal(pixels[len(train) :], val.images(np.arange(len(val))))


def test_values_of_two_parts_stand_together(resident: Data) -> None:
    train, val = (
        replace(resident.parts[part], values=np.full((len(resident.parts[part]), 2), value))  # type: ignore[type-var]
        for part, value in (("train", 1.0), ("val", 2.0))
    )
    found = together(train, val).values
    assert found[:, 0].tolist() == [1.0] * len(train) + [2.0] * len(val)


@pytest.mark.parametrize("augment", [None, RICH])
@pytest.mark.parametrize("start", [1, 3, 10])
def test_a_later_start_gives_the_same_batches(
    resident: Data, augment: Augment | None, start: int
) -> None:
    assert same(
        take(resident, 14, augment=augment)[start:],
        take(resident, 14 - start, augment=augment, start=start),
    )


def test_the_seed_decides(resident: Data) -> None:
    assert same(take(resident, 3, augment=RICH), take(resident, 3, augment=RICH))
    assert not same(take(resident, 3), take(resident, 3, seed=4))


def test_every_pass_shows_every_image_once(resident: Data) -> None:
    part = resident.parts["train"]
    count = len(part)
    drawn = [x for x, _ in take(resident, 3 * count // 8)]
    keys = [tuple(image.flatten()[:20].tolist()) for batch in drawn for image in batch]
    assert len(set(keys[:count])) == count == len(set(keys[count : 2 * count]))
    assert keys[:count] != keys[count : 2 * count]


def test_a_batch_may_be_larger_than_the_part(resident: Data) -> None:
    x, _ = next(
        batches(resident.parts["val"], 50, data=resident, seed=0, augment=None, device="cpu")
    )
    assert len(x) == 50


def test_values_layout_and_labels(resident: Data) -> None:
    part = resident.parts["test"]
    x, y = next(
        batches(part, len(part), data=resident, seed=0, augment=None, device="cpu", shuffle=False)
    )
    raw = part.images(range(len(part))).double() / 255
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (resident.mean, resident.std)
    )
    assert torch.allclose(x.double(), (raw - mean) / std, atol=1e-5)
    assert x.is_contiguous(memory_format=torch.channels_last) and x.dtype == torch.float32
    assert y.dtype == torch.int64 and y.tolist() == part.labels.tolist()
    (x2, y2) = next(ordered(part, len(part), (resident.mean, resident.std), "cpu"))
    assert torch.equal(x, x2) and torch.equal(y, y2)


def test_mixup_gives_soft_labels(resident: Data) -> None:
    x, y = take(resident, 1, augment=RICH)[0]
    assert y.shape == (8, 3) and y.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_streamed_equals_resident(resident: Data, streamed: Data, workers: int) -> None:
    first, second = (
        take(resident, 9, augment=RICH),
        take(streamed, 9, augment=RICH, workers=workers),
    )
    if resident.mean == streamed.mean:
        assert same(first, second)
    whole = list(ordered(resident.parts["val"], 4, resident, "cpu"))
    assert same(whole, list(ordered(streamed.parts["val"], 4, resident, "cpu", workers=workers)))
    assert sum(len(y) for _, y in whole) == len(resident.parts["val"])


def test_workers_end_with_the_iterator(streamed: Data) -> None:
    stream = batches(
        streamed.parts["train"], 4, data=streamed, seed=0, augment=None, device="cpu", workers=2
    )
    next(stream)
    assert any(thread.name.startswith("decode") for thread in threading.enumerate())
    stream.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_later_has_a_stand_in_of_its_class(tmp_path: Path, workers: int) -> None:
    folder(tmp_path, {"a": 8, "b": 8})
    data = load(tmp_path, memory_limit_bytes=0)
    part = data.parts["train"]
    assert isinstance(part, Streamed)
    victim = 2
    (tmp_path / part.ids[victim]).write_bytes(b"\x89PNG broken")
    runs = [take(data, 6, start=0, workers=workers), take(load_again(data), 6, workers=0)]
    assert same(*runs)
    assert list(part.failed) == [part.ids[victim]]
    twins = [
        index
        for index in range(len(part))
        if part.labels[index] == part.labels[victim] and index != victim
    ]
    assert any(torch.equal(part.images([victim]), part.images([index])) for index in twins)
    for index in twins:
        (tmp_path / part.ids[index]).write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match="can be read any more"):
        part.images([victim])


def load_again(data: Data) -> Data:
    """The same data with no file known to be broken yet."""
    part = data.parts["train"]
    assert isinstance(part, Streamed)
    fresh = Streamed(
        part.open, part.rows, part.labels, part.ids, part.classes, part.channels, part.size
    )
    return Data(**{**vars(data), "parts": {**data.parts, "train": fresh}})


def test_nothing_touches_the_global_generators(resident: Data) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the point of the test
    take(resident, 3, augment=RICH)
    assert torch.equal(before, torch.get_rng_state())
    assert numpy_before == np.random.get_state()[1].tolist()  # noqa: NPY002
