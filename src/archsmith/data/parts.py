"""The parts of a data set, in memory or streamed, and the batches drawn from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from archsmith._internal.seeding import mix
from archsmith.data.attempts import attempted
from archsmith.data.augment import Augment, blend, distort, shift_and_flip
from archsmith.data.decode import PLAIN, Preprocessing, decode
from archsmith.errors import UserError

# mean and standard deviation of each channel, pixels in 0..1
Normalization = tuple[Sequence[float], Sequence[float]]


class HasNormalization(Protocol):
    """Anything with the training mean and standard deviation; Data is."""

    @property
    def mean(self) -> Sequence[float]: ...

    @property
    def std(self) -> Sequence[float]: ...


class Part(Protocol):
    """labels: (n,) int64; ids: n names; classes: how many there are in the whole data set;
    resident: pixels are in memory.

    What is wanted of an image: its label, or where `values` are given, (n, targets) float32, those,
    or where `itself`, the image again. Labels are then strata of the images.
    """

    labels: np.ndarray
    ids: Sequence[str]
    classes: int
    resident: bool
    values: np.ndarray | None
    itself: bool

    def __len__(self) -> int: ...

    def images(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """uint8 (len(indices), C, size, size)."""
        ...


@dataclass
class Resident:
    """Images in memory: `rows` of `pixels` (all images of the data set, uint8, (N, C, S, S), shared
    between the parts)."""

    pixels: Tensor
    rows: Tensor
    labels: np.ndarray
    ids: Sequence[str]
    classes: int
    resident: bool = True
    values: np.ndarray | None = None
    itself: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        return self.pixels.index_select(
            0, self.rows[torch.as_tensor(indices)].to(self.pixels.device)
        )

    def to(self, device: torch.device) -> Resident:
        """The same with its pixels on `device`."""
        return replace(self, pixels=self.pixels.to(device))


@dataclass
class Streamed:
    """Images decoded when asked for. One that proves damaged is replaced by the next of its class,
    or that with the nearest values, and listed in `failed`; where the disk or the memory fails, a
    UserError stops the run.
    """

    open: Callable[[int], Image.Image]
    rows: np.ndarray
    labels: np.ndarray
    ids: Sequence[str]
    classes: int
    channels: int
    size: int
    failed: dict[str, str] = field(default_factory=dict)
    resident: bool = False
    values: np.ndarray | None = None
    itself: bool = False
    how: Preprocessing = PLAIN
    # how messages name the image of one of the `rows`; by default by its id
    shown: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        result = torch.empty((len(chosen), self.channels, self.size, self.size), dtype=torch.uint8)
        view = result.numpy()
        for place, index in enumerate(chosen.tolist()):
            view[place] = self._image(index)
        return result

    def _image(self, index: int) -> np.ndarray:
        """Which image stands in depends on the files alone, so that a resumed run sees the same
        batches."""
        for candidate in self._stand_ins(index):
            if self.ids[candidate] not in self.failed:
                try:
                    return attempted(
                        partial(self._decoded, candidate), self._name(candidate), known=True
                    )
                except UserError:
                    raise
                # pillow raises OSError, SyntaxError, struct.error, ... for damaged files
                except Exception as error:
                    self.failed[self.ids[candidate]] = str(error) or type(error).__name__
        raise UserError(
            f"no image of the class of {self._name(index)} can be read any more "
            f"({self.failed.get(self.ids[index])}); check the disk or the folder."
        )

    def _name(self, index: int) -> str:
        return self.ids[index] if self.shown is None else self.shown(int(self.rows[index]))

    def _decoded(self, index: int) -> np.ndarray:
        return decode(self.open(int(self.rows[index])), self.channels, self.size, self.how)

    def _stand_ins(self, index: int) -> Iterator[int]:
        yield index
        if self.values is not None:
            yield from (
                np.square(self.values - self.values[index]).sum(1).argsort(kind="stable").tolist()
            )
            return
        same = np.flatnonzero(self.labels == self.labels[index])
        yield from np.roll(same, -int(np.searchsorted(same, index)) - 1)[:-1].tolist()


def chosen(part: Any, places: np.ndarray) -> Any:
    """The images at these places of a part, in their order, as a part."""
    rows = (
        part.rows[torch.from_numpy(places)] if isinstance(part.rows, Tensor) else part.rows[places]
    )
    values = None if part.values is None else part.values[places]
    return replace(
        part,
        rows=rows,
        labels=part.labels[places],
        ids=[part.ids[i] for i in places],
        values=values,
    )


def together(first: Any, second: Any) -> Any:
    """The images of two parts of one data set as one part, those of the first before the others."""
    join = torch.cat if isinstance(first.rows, Tensor) else np.concatenate
    values = None if first.values is None else np.concatenate([first.values, second.values])
    return replace(
        first,
        rows=join([first.rows, second.rows]),
        labels=np.concatenate([first.labels, second.labels]),
        ids=[*first.ids, *second.ids],
        values=values,
    )


def batches(
    part: Part,
    batch_size: int,
    *,
    data: HasNormalization | Normalization,
    seed: int,
    augment: Augment | None,
    device: torch.device | str,
    start: int = 0,
    workers: int = 0,
    shuffle: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches without end, the first of them number `start`.

    Batch k is a function of (seed, k, batch_size, augment) alone: it covers the places k *
    batch_size ... of one shuffled pass after the other, so every batch is full and a resumed run
    goes on exactly where it was. x: float32 (B, C, S, S), normalized, channels last, on `device`;
    y: int64 (B,), or with mixup float32 (B, classes); or what else the part wants. `workers`
    threads decode streams ahead.
    """
    device = torch.device(device)
    if isinstance(part, Resident) and _fits(part.pixels, device):
        part = part.to(device)
    scale, shift = _affine(data, device)
    wanted = _wanted(part)
    steps = _schedule(len(part), batch_size, seed, start=start, shuffle=shuffle)
    for step, (indices, pixels) in enumerate(_fetched(part, steps, workers), start=start):
        generator = torch.Generator().manual_seed(mix(seed, "step", step))
        pixels = pixels.to(device, non_blocking=True)
        if augment is None:
            x = _normalized(pixels, scale, shift)
            yield x, wanted(indices, x)
            continue
        x = _normalized(
            distort(augment, shift_and_flip(augment, pixels, generator), generator), scale, shift
        )
        yield blend(augment, x, wanted(indices, x), classes=part.classes, generator=generator)


def ordered(
    part: Part,
    batch_size: int,
    data: HasNormalization | Normalization,
    device: torch.device | str,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in order, not augmented; the last batch may be smaller."""
    device = torch.device(device)
    scale, shift = _affine(data, device)
    wanted = _wanted(part)
    everything = np.arange(len(part))
    steps = (everything[first : first + batch_size] for first in range(0, len(part), batch_size))
    for indices, pixels in _fetched(part, steps, workers):
        x = _normalized(pixels.to(device), scale, shift)
        yield x, wanted(indices, x)


def _wanted(part: Part) -> Callable[[np.ndarray, Tensor], Tensor]:
    """(places in the part, their images) -> y."""
    if part.itself:
        return lambda indices, x: x
    given = torch.from_numpy(part.labels if part.values is None else part.values)
    return lambda indices, x: given[torch.from_numpy(indices)].to(x.device, non_blocking=True)


def _fits(pixels: Tensor, device: torch.device) -> bool:
    """Whether all images may move to the device: no more than half of its free memory."""
    return device.type == "cuda" and pixels.nbytes <= torch.cuda.mem_get_info(device)[0] // 2


def _schedule(
    count: int, batch_size: int, seed: int, start: int, shuffle: bool
) -> Iterator[np.ndarray]:
    """The indices of batch `start`, `start` + 1, ..."""
    assert count > 0 and batch_size > 0 and start >= 0
    epoch, place = divmod(start * batch_size, count)
    order = _order(count, seed, epoch, shuffle)
    while True:
        pieces: list[np.ndarray] = []
        missing = batch_size
        while missing:
            piece = order[place : place + missing]
            pieces.append(piece)
            missing -= len(piece)
            place += len(piece)
            if place == count:
                epoch, place = epoch + 1, 0
                order = _order(count, seed, epoch, shuffle)
        yield np.concatenate(pieces)


def _order(count: int, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    if not shuffle:
        return np.arange(count)
    return torch.randperm(
        count, generator=torch.Generator().manual_seed(mix(seed, "epoch", epoch))
    ).numpy()


def _fetched(
    part: Part, steps: Iterator[np.ndarray], workers: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """The pixels of each step, in order; with workers the next steps are decoded meanwhile, each by
    several threads."""
    if part.resident or workers < 1:
        for indices in steps:
            yield indices, part.images(indices)
        return
    waiting: deque[tuple[np.ndarray, list[Future[Tensor]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for indices in steps:
            pieces = [piece for piece in np.array_split(indices, workers) if len(piece)]
            waiting.append((indices, [pool.submit(part.images, piece) for piece in pieces]))
            if len(waiting) > 2:
                first, futures = waiting.popleft()
                yield first, torch.cat([future.result() for future in futures])
        while waiting:
            first, futures = waiting.popleft()
            yield first, torch.cat([future.result() for future in futures])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _affine(data: HasNormalization | Normalization, device: torch.device) -> tuple[Tensor, Tensor]:
    """x * scale + shift is (x / 255 - mean) / std for x in 0..255."""
    mean, std = data if isinstance(data, tuple) else (data.mean, data.std)
    spread = torch.tensor(std, dtype=torch.float64)
    scale, shift = 1 / (255 * spread), -torch.tensor(mean, dtype=torch.float64) / spread
    return scale.float().view(1, -1, 1, 1).to(device), shift.float().view(1, -1, 1, 1).to(device)


def _normalized(pixels: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return pixels.float().mul_(scale).add_(shift).contiguous(memory_format=torch.channels_last)
