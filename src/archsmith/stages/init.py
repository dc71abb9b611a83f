"""--init FILE: given weights into an elastic network, as far as names and shapes agree."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from archsmith.errors import UserError


def load_into(model: nn.Module, path: Path) -> str:
    """Copies every tensor whose name and shape fit; returns what was and was not taken. UserError where nothing fits.

    Reads safetensors, or a torch file by `weights_only`, so that nothing in the file can run.
    """
    if not path.is_file():
        raise UserError(f"--init {path}: no such file; give a .safetensors or .pt file of weights")
    try:
        given = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise UserError(f"--init {path} cannot be read as weights: {str(error).splitlines()[0]}") from error
    except Exception as error:  # torch's unpickler raises what the file makes it raise
        raise UserError(f"--init {path} is not a plain file of weights ({type(error).__name__}); save a state_dict") from error
    if isinstance(given, dict) and isinstance(given.get("state_dict"), dict):
        given = given["state_dict"]
    own = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in (given.items() if isinstance(given, dict) else ())
        if name in own and isinstance(tensor, torch.Tensor) and tensor.shape == own[name].shape
    }
    if not fitting:
        example = ", ".join(list(own)[:3])
        raise UserError(f"--init {path}: none of its tensors fits this space in name and shape; the space has {example}, ...")
    model.load_state_dict({**own, **fitting})
    left = len(own) - len(fitting)
    return f"{len(fitting)} of {len(own)} tensors taken from {path}" + (f"; {left} keep their fresh values" if left else "")
