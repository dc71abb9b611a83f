"""--init FILE: given weights into an elastic network, by our names or by those of a publisher."""

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
from archsmith.spaces.layouts import Arranged, arranged, dense

OPTION = "--init"
# where training programs put the weights beside other things
_WITHIN = ("state_dict", "model_state_dict", "model")


def load_into(model: nn.Module, path: Path, *, space: str = "", option: str = OPTION) -> str:
    """Copies every tensor that fits, by our names or by those of a publisher whose network the
    space holds; returns what was and was not taken, and why. UserError where nothing fits.

    Reads safetensors, or a torch file by `weights_only`, so that nothing in the file can run.
    `space`: its name, `option`: what the file was given as, both for messages.
    """
    own, source = model.state_dict(), f"{option} {shown(path)}"
    arrangement = _arranged(source, _weights(path, source), own, space)
    model.load_state_dict({**own, **arrangement.tensors})
    return f"{len(arrangement.tensors)} of {len(own)} tensors taken from {path}{arrangement.remark}"


def check(
    path: Path, models: Iterable[nn.Module], *, space: str = "", option: str = OPTION
) -> None:
    """UserError where the file cannot be read, or fits none of the models, which may be on
    `meta`."""
    source = f"{option} {shown(path)}"
    given, why = _weights(path, source), None
    for model in models:
        try:
            _arranged(source, given, model.state_dict(), space)
            return
        except UserError as error:
            why = why or error
    if why is not None:
        raise why


def _arranged(
    source: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor], space: str
) -> Arranged:
    try:
        return arranged(given, own, space)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _weights(path: Path, source: str) -> dict[str, Tensor]:
    """Name -> tensor; UserError for what is no file of weights, and for weights that no network can
    begin with."""
    if not path.is_file():
        raise UserError(f"{source}: no such file; give a .safetensors or .pt file of weights")
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
            f"{source} cannot be read as weights: {str(error).strip().partition(chr(10))[0]}"
        ) from error
    except Exception as error:  # torch's unpickler raises what the file makes it raise
        raise UserError(
            f"{source} is not a plain file of weights ({type(error).__name__}); save a state_dict"
        ) from error
    for name in _WITHIN:
        if isinstance(given, Mapping) and isinstance(given.get(name), Mapping):
            given = given[name]
    tensors = {
        str(n): t
        for n, t in (given.items() if isinstance(given, Mapping) else ())
        if isinstance(t, Tensor) and not t.is_nested
    }
    if not tensors:
        raise UserError(
            f"{source} holds no named tensors; save a state_dict: "
            f"torch.save(network.state_dict(), FILE)"
        )
    for name, tensor in tensors.items():
        if (
            dense(tensor)
            and tensor.is_floating_point()
            and not bool(tensor.float().isfinite().all())
        ):
            raise UserError(
                f"{source}: '{shown(name)}' holds values that are not finite; give "
                f"weights from before that happened"
            )
    return tensors
