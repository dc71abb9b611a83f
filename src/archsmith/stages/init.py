"""--init FILE: given weights into an elastic network, as far as names and shapes agree."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from archsmith.errors import UserError, shown

# where training programs put the weights beside other things
_WITHIN = ("state_dict", "model_state_dict", "model")


def load_into(model: nn.Module, path: Path, *, space: str = "") -> str:
    """Copies every tensor whose name and shape fit; returns what was and was not taken. UserError
    where nothing fits.

    Reads safetensors, or a torch file by `weights_only`, so that nothing in the file can run.
    """
    given, own = _weights(path), model.state_dict()
    fitting = _fitting(given, own)
    if not fitting:
        raise UserError(f"--init {shown(path)}: {_misfit(given, own)}")
    model.load_state_dict({**own, **fitting})
    left = len(own) - len(fitting)
    return f"{len(fitting)} of {len(own)} tensors taken from {path}" + (
        f"; {left} keep their fresh values" if left else ""
    )


def check(path: Path, models: Iterable[nn.Module], *, space: str = "") -> None:
    """UserError where the file cannot be read, or none of its tensors fits any of the models, which
    may be on `meta`."""
    given, own = _weights(path), dict[str, Tensor]()
    for model in models:
        own = model.state_dict()
        if _fitting(given, own):
            return
    if own:
        raise UserError(f"--init {shown(path)}: {_misfit(given, own)}")


def _weights(path: Path) -> dict[str, Tensor]:
    """Name -> tensor; UserError for what is no file of weights, and for weights that no network can
    begin with."""
    said = f"--init {shown(path)}"
    if not path.is_file():
        raise UserError(f"{said}: no such file; give a .safetensors or .pt file of weights")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. that sparse tensors are in beta state
            given: Any = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{said} cannot be read as weights: {str(error).strip().partition(chr(10))[0]}"
        ) from error
    except Exception as error:  # torch's unpickler raises what the file makes it raise
        raise UserError(
            f"{said} is not a plain file of weights ({type(error).__name__}); save a state_dict"
        ) from error
    for name in _WITHIN:
        if isinstance(given, Mapping) and isinstance(given.get(name), Mapping):
            given = given[name]
    found = {
        str(n): t
        for n, t in (given.items() if isinstance(given, Mapping) else ())
        if isinstance(t, Tensor)
    }
    if not found:
        raise UserError(
            f"{said} holds no named tensors; save a state_dict: "
            f"torch.save(network.state_dict(), FILE)"
        )
    for name, tensor in found.items():
        if (
            _plain(tensor)
            and tensor.is_floating_point()
            and not bool(tensor.float().isfinite().all())
        ):
            raise UserError(
                f"{said}: '{shown(name)}' holds values that are not finite; give "
                f"weights from before that happened"
            )
    return found


def _plain(tensor: Tensor) -> bool:
    """Whether its numbers can be copied into a dense tensor."""
    odd = tensor.is_quantized or tensor.is_complex() or tensor.is_meta or tensor.is_nested
    return tensor.layout == torch.strided and not odd


def _fitting(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in given.items()
        if name in own
        and tensor.shape == own[name].shape
        and _plain(tensor)
        and tensor.is_floating_point() == own[name].is_floating_point()
    }


def _misfit(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Why nothing fits."""
    none = "none of its tensors fits this space in name and shape; "
    if odd := [name for name, tensor in given.items() if name in own and not _plain(tensor)]:
        return none + (
            f"'{shown(odd[0])}' is sparse, quantized, complex or empty: save dense "
            f"floating-point numbers"
        )
    if same := [name for name in given if name in own]:
        sizes = (
            f"'{same[0]}' is {tuple(given[same[0]].shape)}, the space has "
            f"{tuple(own[same[0]].shape)}"
        )
        return none + f"{sizes}: give weights of this space, or the --space that they are of"
    names = ", ".join(shown(name) for name in list(given)[:3])
    return none + f"it has {names}, ..., the space has {', '.join(list(own)[:3])}, ..."
