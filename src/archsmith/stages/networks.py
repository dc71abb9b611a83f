"""The trained networks of a run: found by name, rebuilt, verified, exported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from archsmith.elastic.supernet import search_space
from archsmith.errors import Damaged, UserError, did_you_mean
from archsmith.run import claim
from archsmith.run.decisions import BEGUN_WITH, REFERENCES
from archsmith.run.records import Looked, Shipped
from archsmith.run.records.profile import HandMade, ThinnedByHand
from archsmith.run.store import Run, altered
from archsmith.spaces import build_for
from archsmith.stages.look import task_of


def best(run: Run, which: str | None = None) -> nn.Module:
    """The shipped network, its weights verified against what was shipped; or `which` was trained
    beside it.

    `which`: "search", "reference", or the key or name (or its beginning) of any that finish
    trained; from its checkpoint.
    """
    run.space  # noqa: B018  refuses a file that this user has not named
    shipped, looked = run.shipped, run.looked
    if shipped is None or looked is None:
        raise UserError(
            f"{run.folder} has not shipped a network yet; finish it with `archsmith "
            f"resume {run.folder}`"
        )
    arm, name, options = named(run, shipped, which)
    network = _rebuilt(run, looked, arm, options)
    if name != shipped.key:
        reference = run.finished.reference if run.finished is not None else None
        rivals = [shipped.search.key] if shipped.search is not None else []
        rivals += [reference.chosen] if reference is not None else []
        return _from_checkpoint(run, network, f"{arm}-{name}", again=name in rivals)
    return _from_package(run, shipped, network)


def named(run: Run, shipped: Shipped, which: str | None) -> tuple[str, str, Mapping[str, Any]]:
    """(arm, name, options) of a trained network; UserError where there is none, or several, of that
    name."""
    finished, begun = run.finished, run.decided(BEGUN_WITH)
    reference = finished.reference if finished is not None else None
    arm = "search" if begun is None else begun.arm  # of a network that was trained further
    networks = finished.networks if finished is not None else {}
    known = {key: (arm, key, one.options) for key, one in networks.items() if not one.failed}
    known.setdefault(shipped.key, (arm, shipped.key, shipped.architecture.options))
    hand_made = {one.name: one for one in _hand_made(run)}
    raced = reference.networks if reference is not None else {}
    known |= {
        name: ("reference", name, hand_made[name].to_json()) for name in raced if name in hand_made
    }
    own = shipped.search.key if shipped.search is not None else None
    by_hand = (
        shipped.key if arm != "search" else reference.chosen if reference is not None else None
    )
    fixed = {None: shipped.key, "search": own, "reference": by_hand}
    if which in fixed:
        if (name := fixed[which]) is None:
            why = "trained no hand-made network (--no-reference, or none fitted)"
            why = (
                why
                if which == "reference"
                else ("trained a hand-made network further, none of the search")
            )
            raise UserError(f"--network {which}: {run.folder} {why}")
        return known[name]
    matches = [entry for name, entry in known.items() if name == which] or [
        entry for name, entry in known.items() if which and name.startswith(which)
    ]
    if len(matches) != 1:
        several = "no network" if not matches else f"{len(matches)} networks"
        raise UserError(
            f"--network {which}: {several} of that name; there are search, reference, "
            f"{', '.join(known)}"
        )
    return matches[0]


def _hand_made(run: Run) -> Sequence[ThinnedByHand | HandMade]:
    """The descriptions of the hand-made networks of a run."""
    hand_made = run.profiled.references if run.profiled is not None else None
    if hand_made is not None:
        return hand_made.networks
    return run.decided(REFERENCES) or []


def _rebuilt(run: Run, looked: Looked, arm: str, options: Mapping[str, Any]) -> nn.Module:
    """The network of an architecture, or of a hand-made one's description; its weights are made
    up."""
    import torch

    from archsmith.elastic.supernet import extract
    from archsmith.space import Architecture
    from archsmith.spaces.reference import by_description

    task = task_of(looked)
    if arm == "reference":
        return by_description(options).make(0, task.headed)
    model = build_for(task, run.space, looked.channels, looked.size)
    arch = search_space(model).check(Architecture.from_json(options))
    return extract(model, arch, "fresh", torch.Generator().manual_seed(0))


def _from_package(run: Run, shipped: Shipped, network: nn.Module) -> nn.Module:
    import hashlib

    from safetensors.torch import load as parse

    path = run.folder / "best" / "model.safetensors"
    expected = next(file.sha256 for file in shipped.files if file.name == "model.safetensors")
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != expected:
        raise Damaged(
            f"{path} is not the file that was shipped (its checksum differs); put it back, or ship "
            f"it again with "
            f"`archsmith resume {run.folder}`"
        )
    network.load_state_dict(parse(data))
    return network.eval()


def _from_checkpoint(run: Run, network: nn.Module, name: str, *, again: bool) -> nn.Module:
    """`again`: whether shipping would train it again."""
    from archsmith.training.checkpoint import load, read

    path = run.folder / "checkpoints" / f"{name}.safetensors"
    try:
        if (read(path)[1].get("of") or {}).get("run") != run.record["id"]:
            raise Damaged(f"{path} is the checkpoint of another run")
        return load(path, network).network.eval()
    except UserError as error:
        why = str(error).partition("; ")[0].partition(". Delete it")[0]
        on = (
            (
                f", or move {run.folder / 'best'} away and let `archsmith resume {run.folder}` "
                f"train "
                f"it again"
            )
            if again
            else ""
        )
        raise Damaged(f"{why}; put back a copy of the file{on}") from error


def export(
    run: Run,
    path: Path | None = None,
    format: Literal["onnx", "pt2", "safetensors"] | None = None,
    *,
    over: bool = True,
    which: str | None = None,
) -> Path:
    """The shipped network, or `which` (as in `best`), as one file, verified; `format` from the
    ending where it is not given.

    `path`: NAME.FORMAT beside the run where it is not given, and then never over another file;
    `over`: whether a file that was named may be replaced. Files of the run itself never are.
    """
    from archsmith.export import deployment_of, export_file

    over = over and path is not None
    path, kind = _exported(run, path, format)
    _check_package(run)
    network, looked = best(run, which), run.looked
    assert looked is not None
    shape = (looked.channels, looked.size, looked.size)
    task = task_of(looked)
    around = deployment_of(task, looked.mean, looked.std)
    how = {"fit": "crop"} if looked.preprocessing is None else looked.preprocessing.to_json()
    notes = {"labels": list(task.names), "task": task.kind, "preprocess": how}
    return export_file(
        network, path, kind, shape=shape, deployment=around, metadata=notes, over=over
    )


def _check_package(run: Run) -> None:
    """Damaged where best/ says another thing of the network than the run: what is exported has
    classes and preprocessing as the run recorded them, which somebody who changed those files would
    not expect. Notes on the card are anybody's to make."""
    changed = [
        path for path in altered(run.folder, run.shipped) if path.suffix not in (".md", ".py")
    ]
    if changed:
        raise Damaged(
            f"{changed[0]} is not the file that was shipped (its checksum differs), and the run "
            f"has its classes and "
            f"preprocessing as they were; put it back, or write it again with `archsmith resume "
            f"{run.folder}`"
        )


def _exported(run: Run, path: Path | None, format: str | None) -> tuple[Path, str]:
    """Where to, and as what; UserError for what would not be what its name says, or would replace a
    file of the run."""
    from archsmith.export import FORMATS

    folder = Path(os.path.abspath(run.folder))  # not resolved: a link is a name for the run
    if path is not None and path.is_dir():
        raise UserError(
            f"{path} is a folder; name the file to write, e.g. {path / f'{folder.name}.onnx'}"
        )
    ending = path.suffix.lstrip(".").lower() if path is not None else ""
    kind = format or ending or ("onnx" if path is None else "")
    if kind not in FORMATS:
        fault = (
            f"cannot export as '{kind}'"
            if kind
            else (f"'{path}' does not say the format; end it in one, or give --format")
        )
        raise UserError(f"{fault}; formats are {', '.join(FORMATS)}{did_you_mean(kind, FORMATS)}")
    if ending in FORMATS and ending != kind:
        raise UserError(
            f"'{path}' ends in .{ending}, the format asked for is {kind}; give one or the other"
        )
    if path is None:
        path = folder.with_name(f"{folder.name}.{kind}")
    if (holder := claim.holder(path)) is not None and (
        path.exists() or path.resolve().parent != holder
    ):
        whose = "the run itself" if holder == folder.resolve() else f"the run {holder}"
        raise UserError(
            f"{path} is {'a file of' if path.exists() else 'in a folder that belongs to'} {whose}; "
            f"give another name"
        )
    if path.exists() and path.suffix.lstrip(".").lower() != kind:
        raise UserError(
            f"{path} is there already and is no .{kind} file; name one that ends in "
            f".{kind}, or remove it first"
        )
    return path, kind
