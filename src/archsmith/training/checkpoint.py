"""Checkpoints of a training: one safetensors file, replaced atomically, verified on load, nothing
in it that can run.

The header's metadata holds "state" (JSON: counters, history, recipe, seed, whose training it is)
and "sha256" over the header without that entry and all tensor bytes. A torn or changed file, and
one of another training, is errors.Damaged; a disk that is full leaves the earlier file as it was.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor, nn

from archsmith._internal.files import put_aside, replace_file, write_chunks
from archsmith.errors import Damaged, UserError, shown
from archsmith.training.recipe import Recipe
from archsmith.training.state import TrainState, make_optimizer

FORMAT = 4
_COUNTERS = (
    "step",
    "images",
    "passes",
    "macs",
    "seconds",
    "evaluation_seconds",
    "saving_seconds",
    "loss_sum",
    "loss_count",
    "history",
    "seed",
    "of",
)


# -- packing -------------------------------------------------------------------------------------


def _network(prefix: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer once, the non-persistent ones too."""
    for name, parameter in module.named_parameters():
        yield f"{prefix}.{name}", parameter.detach()
    for name, buffer in module.named_buffers():
        yield f"{prefix}.{name}", buffer


def _tensors(state: TrainState) -> dict[str, Tensor]:
    """Name -> the live tensor, for everything that changes while training."""
    tensors = dict(_network("module", state.module))
    if state.ema is not None:
        tensors.update(_network("ema", state.ema))
    for name, parameter in state.module.named_parameters():
        for key, tensor in state.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = tensor
    if state.class_weights is not None:
        tensors["class_weights"] = state.class_weights
    return tensors | {f"extra.{name}": tensor for name, tensor in state.extra.items()}


def pack(tensors: dict[str, Tensor], about: dict[str, Any]) -> bytes:
    """A safetensors file of the tensors, with `about` as JSON and a checksum in its metadata."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = pack_tensors(plain, {"state": json.dumps(about), "sha256": ""})
    header, body = _split(data)
    # in our order: the packer's is random
    header["__metadata__"] = {
        "sha256": _digest(header, body),
        "state": header["__metadata__"]["state"],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors to 8 bytes
    return struct.pack("<Q", len(text)) + text + bytes(body)


def unpack(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and `about` of a file that `pack` made; raises Damaged for anything else."""
    try:
        header, body = _split(data)
        metadata = header["__metadata__"]
        if metadata["sha256"] != _digest(header, body):
            raise ValueError("its checksum does not fit its content")
        return parse_tensors(data), json.loads(metadata["state"])
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        struct.error,
        SafetensorError,
        RecursionError,
    ) as error:
        reason = (
            str(error)
            if isinstance(error, ValueError) and "checksum" in str(error)
            else "it is torn or not a checkpoint"
        )
        raise Damaged(
            f"{path} ({len(data)} bytes) cannot be used: {reason}. Delete it: what it held is "
            f"trained again from the start"
        ) from error


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise ValueError("torn")
    return json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :]


def _digest(header: dict[str, Any], body: memoryview) -> str:
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
    covered = json.dumps(
        {**header, "__metadata__": metadata}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(covered.encode() + b"\n" + body).hexdigest()


# -- saving and loading a training ---------------------------------------------------------------


def save(
    state: TrainState, path: str | Path, *, write: Callable[[BinaryIO, bytes], None] | None = None
) -> None:
    """Writes all of the state to `path`, atomically; raises UserError where that fails, with the
    earlier file intact."""
    about = {
        "format": FORMAT,
        "recipe": state.recipe.to_json(),
        **{name: getattr(state, name) for name in _COUNTERS},
    }
    about["of"] = dict(state.of)
    replace_file(Path(path), pack(_tensors(state), about), write or write_chunks)


def load(
    path: str | Path,
    module: nn.Module,
    *,
    device: torch.device | str = "cpu",
    of: Mapping[str, Any] | None = None,
) -> TrainState:
    """The state that `save` wrote. `module`: a network of the same architecture, taken over; its
    weights do not matter.

    Going on from it equals never having stopped, bit for bit, with the same threads. Raises
    UserError where there is no such file or it belongs to another architecture, Damaged where it is
    torn, was changed, or is not `of` the training given. A loss of a user's own, which is code, is
    run only where `of` names it as "loss": what a file says is not enough.
    """
    path = Path(path)
    tensors, about = read(path)
    if of is not None:
        _same_training(path, of, about.get("of"))
    missing = [name for name in ("recipe", *_COUNTERS) if name not in about]
    if about.get("format") != FORMAT or missing:
        raise Damaged(
            f"{path}: checkpoint format {about.get('format')!r}, this version reads {FORMAT}; "
            f"train again, or use its version"
        )
    recipe = Recipe.from_json(about["recipe"])
    if recipe.own_loss != (of or {}).get("loss", ""):
        raise Damaged(
            f"{path} was trained with {_loss(recipe)}, which is not the one that was named; a loss "
            f"is code, and no file decides what is run"
        )
    state = _blank(module, recipe, device, tensors)
    for name in _COUNTERS:
        setattr(state, name, about[name])
    live = _tensors(state)
    _same_network(path, live, tensors)
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(tensors[name])
    return state


def _loss(recipe: Recipe) -> str:
    return f"the loss {shown(recipe.own_loss)}" if recipe.own_loss else "the usual loss"


def resumed(
    path: Path | None,
    module: nn.Module,
    *,
    device: torch.device | str = "cpu",
    tell: Callable[[str], None] = lambda text: None,
    of: Mapping[str, Any] | None = None,
) -> TrainState | None:
    """The state in `path`; None where there is no such file, or a torn, changed or foreign one,
    which is put aside and told.

    `of`: whose training it must be. Its network is no proof of that: another run may have trained
    the same one.
    """
    if path is None or not path.exists():
        return None
    try:
        return load(path, module, device=device, of=of)
    except UserError as error:  # not only Damaged: of another network
        if isinstance(error.__cause__, OSError):  # it may be sound
            raise
        tell(f"{error} (now {put_aside(path).name})")
        return None


def resumed_or_started(
    path: Path | None,
    network: Callable[[], nn.Module],
    begin: Callable[[], TrainState],
    *,
    device: torch.device | str = "cpu",
    tell: Callable[[str], None] = lambda text: None,
    of: Mapping[str, Any] | None = None,
) -> TrainState:
    """What `resumed` finds, in the `network` that is made for it; where it finds nothing, what
    `begin` starts."""
    if path is not None and path.exists():
        state = resumed(path, network(), device=device, tell=tell, of=of)
        if state is not None:
            return state
    return begin()


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The verified tensors ("module.NAME", "ema.NAME", "optimizer.NAME.KEY", "extra.NAME") and the
    counters of a checkpoint."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    return unpack(data, path)


def _blank(
    module: nn.Module, recipe: Recipe, device: torch.device | str, tensors: dict[str, Tensor]
) -> TrainState:
    import copy

    module = module.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train()
    average = copy.deepcopy(module).requires_grad_(False).eval() if recipe.ema > 0 else None
    weights = (
        torch.empty_like(tensors["class_weights"], device=device)
        if "class_weights" in tensors
        else None
    )
    extra = {
        name.partition(".")[2]: t.to(device)
        for name, t in tensors.items()
        if name.startswith("extra.")
    }
    return TrainState(
        module,
        average,
        make_optimizer(module, recipe),
        recipe=recipe,
        seed=0,
        class_weights=weights,
        extra=extra,
    )


def _same_training(path: Path, of: Mapping[str, Any], stored: Any) -> None:
    wanted = json.loads(json.dumps(dict(of)))
    if stored != wanted:
        other = stored if isinstance(stored, dict) else {}
        what = ", ".join(
            name
            for name in sorted(wanted.keys() | other.keys())
            if wanted.get(name) != other.get(name)
        )
        raise Damaged(
            f"{path} is the checkpoint of another training (another {what}); it is not gone on from"
        )


def _same_network(path: Path, live: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    for name in sorted(live.keys() ^ stored.keys()):
        where = "the checkpoint" if name in stored else "the network"
        raise UserError(
            f"{path} is of another network: only {where} has '{name}'; give the "
            f"architecture it was saved from"
        )
    for name, tensor in live.items():
        if tensor.shape != stored[name].shape or tensor.dtype != stored[name].dtype:
            raise UserError(
                f"{path} is of another network: '{name}' is {tuple(stored[name].shape)} "
                f"{stored[name].dtype} there and "
                f"{tuple(tensor.shape)} {tensor.dtype} here; give the architecture it was saved "
                f"from"
            )
