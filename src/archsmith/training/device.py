"""Where training runs: the device, the number of threads, whether bfloat16 pays there."""

from __future__ import annotations

import torch

from archsmith._internal.hardware import keep_memory, physical_cores
from archsmith.errors import UserError, did_you_mean, shown

_MOST = 1024  # threads; more than a system may start at once
_NAMES = ("auto", "cpu", "cuda", "mps")


def set_threads(count: int | None) -> int:
    """Sets how many threads torch computes with (None: the physical cores) and returns it; once,
    before the first computation.

    The process also keeps the memory that tensors leave (`machine.keep_memory`), which changes no
    result. Results are bit-equal only between runs of the same count. Raises UserError for a count
    below 1 or senselessly large.
    """
    if count is not None and (
        isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST
    ):
        raise UserError(
            f"threads={count!r}: give a whole number from 1 to {_MOST}, or leave it out for the "
            f"{physical_cores()} physical "
            "cores"
        )
    threads = physical_cores() if count is None else count
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    keep_memory()
    return threads


def pick_device(name: str = "auto") -> torch.device:
    """'auto' (an accelerator if there is one), 'cpu', 'cuda', 'cuda:1', 'mps' -> device; raises
    UserError where it is not there.
    """
    kind, colon, index = name.partition(":")
    numbered = kind == "cuda" and index.isascii() and index.isdecimal()
    if kind not in _NAMES or (colon and not numbered):
        raise UserError(
            f"device '{shown(name)}' is not one of {', '.join(_NAMES)}, "
            f"cuda:N{did_you_mean(kind, _NAMES)}"
        )
    if kind == "auto":
        return torch.device(
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if kind == "cuda" and (
        not torch.cuda.is_available() or int(index[:9] or 0) >= torch.cuda.device_count()
    ):
        raise UserError(
            f"device '{shown(name)}': torch {torch.__version__} sees {torch.cuda.device_count()} "
            f"CUDA devices here; "
            "use --device cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            f"device '{name}': torch {torch.__version__} sees no Apple GPU here; use --device cpu"
        )
    return torch.device(name)


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 autocast is faster than float32 for convolutional training there."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
