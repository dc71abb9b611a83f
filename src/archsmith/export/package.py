"""Ships a network: the folder best/, complete and verified, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.files import exchange_folder, sync_folder
from archsmith._version import __version__
from archsmith.data.decode import PLAIN, Preprocessing
from archsmith.elastic.resize import Resize, resizes_first, without_resize
from archsmith.elastic.views import looks_twice
from archsmith.errors import Damaged, EvaluationFailed, UserError
from archsmith.export.card import TITLES, card
from archsmith.export.files import deployment_of, safetensors_bytes, verify
from archsmith.export.fit import PICTURES, with_fit
from archsmith.export.layers import layers
from archsmith.export.source import source
from archsmith.graph.export import exported, onnx_bytes, pt2_bytes
from archsmith.graph.trace import Untraceable, evaluation
from archsmith.graph.writer import Deployment, annotate
from archsmith.metrics.timing import time_onnx
from archsmith.space import Architecture
from archsmith.tasks import Classification, Task

FILES = (
    "model.onnx",
    "picture.onnx",
    "predict.py",
    "model.py",
    "model.safetensors",
    "model.pt2",
    "architecture.json",
    "preprocess.json",
    "labels.json",
)
HOW = (
    "upright by its EXIF orientation, 8 bits a channel{deep}, transparency over white, {color}, "
    "{fit}"
)
_READ_AT = (
    "It was trained and measured on pictures read at {trained} x {trained} and then resized to "
    "{side} x {side}; read at that size at once they are {sharper}."
)
FITS = {
    "crop": "the central square resized to {size} x {size}",
    "pad": "all of it resized to fit {size} x {size}, bars of grey 128 around it",
    "squeeze": "all of it stretched to {size} x {size}",
}


def ship(
    folder: str | Path,
    network: nn.Module,
    *,
    shape: Sequence[int],
    task: Task,
    mean: Sequence[float],
    std: Sequence[float],
    architecture: Architecture | None = None,
    facts: Mapping[str, Any] | None = None,
    threads: int = 1,
    images: Tensor | None = None,
    preprocessing: Preprocessing = PLAIN,
) -> dict[str, Any]:
    """Writes best/ beside what is there, verifies it, times the ONNX file, then puts it in its
    place; the `ship` payload.

    shape: (C, H, W) with C 1 or 3 and H = W. A network that begins with a `Resize` to p pixels is
    written without it, for pictures that are read at p x p at once: the files agree with the
    network given such pictures. In training each was read at H x H and then resized, which is
    filtered and rounded to bytes once more, so a little smoother; of p above H, pictures that have
    the pixels are sharper than any that it saw. facts, for the card: name, summary, accuracy,
    budget, costs, caveats, any more. images: real ones to verify with, uint8 (N, C, H, W).
    preprocessing: how a picture becomes the input, for predict.py. A file that a network cannot be
    written as is left out and named under `skipped`. Raises EvaluationFailed where a file disagrees
    with PyTorch, or a network sees its images in another size than that of its `Resize`; UserError
    where the folder cannot be written; the earlier folder is intact then.
    """
    folder, facts = Path(folder), dict(facts or {})
    _check(shape, task, mean, std)
    whole, read_at = network, tuple(shape)
    network, shape = without_resize(whole, read_at)
    if shape != read_at:
        _check_first(whole, read_at)
        images = None if images is None else _resized(images, shape[1])
        sharper = "a little sharper" if shape[1] < read_at[1] else "sharper than any that it saw"
        caveat = _READ_AT.format(trained=read_at[1], side=shape[1], sharper=sharper)
        facts["caveats"] = (*(facts.get("caveats") or ()), caveat)
    recover(folder)
    partial, old = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("partial", "old"))
    facts["architecture"] = (
        None if architecture is None else {"key": architecture.key, "options": dict(architecture)}
    )
    facts["mirrored"] = looks_twice(network)
    deployment = deployment_of(task, mean, std)
    written, skipped = _contents(
        network, shape, task, deployment, facts=facts, preprocessing=preprocessing
    )
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, data in written.items():
            _put(partial / name, data)
        differences = verify(partial, whole, shape=shape, deployment=deployment, images=images)
        onnx = partial / "model.onnx"
        latency = time_onnx(onnx, tuple(shape), threads=threads) if onnx.exists() else None
        written["card.md"] = card(
            facts, written, skipped, differences=differences, latency=latency
        ).encode()
        _put(partial / "card.md", written["card.md"])
        exchange_folder(partial, folder, old)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; make room or allow writing there. "
            f"What was there is intact"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {
        "files": [
            {"name": n, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()}
            for n, d in written.items()
        ],
        "skipped": skipped,
        "max_difference": differences,
        "latency_ms": latency,
        "budget": list(facts.get("budget") or ()),
        "architecture": facts["architecture"],
        "layers": layers(network, shape),
        "fell_back": [],
    }


def _check(shape: Sequence[int], task: Task, mean: Sequence[float], std: Sequence[float]) -> None:
    if len(shape) != 3 or shape[0] not in (1, 3) or shape[1] != shape[2]:
        raise UserError(f"shape {tuple(shape)} of one image is not (1 or 3, size, size)")
    if len(mean) != shape[0] or len(std) != shape[0] or not all(s > 0 for s in std):
        raise UserError(
            f"mean {tuple(mean)} and std {tuple(std)} must have {shape[0]} entries, "
            f"those of std above zero"
        )
    if isinstance(task, Classification) and not task.classes:
        raise UserError(
            "a classifier without classes cannot be shipped; give their names in the "
            "order of the outputs"
        )


def _check_first(network: nn.Module, shape: Sequence[int]) -> None:
    """EvaluationFailed where the network is another one without its Resize."""
    with evaluation(network):
        if not resizes_first(network, tuple(shape)):
            raise EvaluationFailed(
                f"{type(network).__name__} does not only see what its Resize makes of an image, so "
                "it cannot be shipped without it; put the Resize first, before all else"
            )


def _resized(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) of bytes at another side."""
    return Resize(side)(images.float()).round().clamp(0, 255).to(torch.uint8)


def _contents(
    network: nn.Module,
    shape: Sequence[int],
    task: Task,
    deployment: Deployment,
    *,
    facts: dict[str, Any],
    preprocessing: Preprocessing,
) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """File name -> bytes, and what could not be written and why."""
    # folders may have any bytes as names
    labels = [str(c).encode("utf-8", "backslashreplace").decode() for c in task.names]
    how = _steps(shape, preprocessing)
    preprocess = _preprocess(shape, labels, deployment, how=how, preprocessing=preprocessing)
    summary = _summary(facts, task, labels)
    written: dict[str, bytes] = {}
    skipped: list[dict[str, str]] = []
    program = None
    try:
        program = exported(network, shape, deployment)
        written["model.pt2"] = pt2_bytes(program)
    except Untraceable as error:
        skipped.append({"name": "model.pt2", "why": str(error)})
    try:
        onnx = onnx_bytes(network, shape, deployment, program)
        written |= _onnx_files(onnx, labels, task, preprocess, fit=preprocessing.fit)
    except Untraceable as error:
        skipped.append({"name": "model.onnx", "why": str(error)})
        skipped += [
            {"name": name, "why": "it needs model.onnx"} for name in ("picture.onnx", "predict.py")
        ]
    written["model.safetensors"] = safetensors_bytes(network)
    try:
        known = {
            "title": _quotable(facts.get("name") or TITLES[task.kind]),
            "summary": _quotable(summary),
            "classes": labels,
            "how": how,
            "deployment": deployment,
        }
        written["model.py"] = source(network, shape, known).encode("utf-8", "backslashreplace")
    except Untraceable as error:
        skipped.append({"name": "model.py", "why": str(error)})
    written |= _documents(facts["architecture"], preprocess, labels)
    facts.update(
        classes=labels,
        shape=list(shape),
        how=how,
        task=task.kind,
        answer=deployment.answer,
        measure=task.measure,
    )
    facts.setdefault("summary", summary)
    facts.setdefault("name", TITLES[task.kind])
    facts.setdefault("params", sum(p.numel() for p in network.parameters()))
    return {name: written[name] for name in FILES if name in written}, skipped


def _color(shape: Sequence[int]) -> str:
    return "grey" if shape[0] == 1 else "RGB"


def _steps(shape: Sequence[int], preprocessing: Preprocessing) -> str:
    """How a picture becomes the input, in words."""
    fit = FITS[preprocessing.fit].format(size=shape[1])
    return HOW.format(color=_color(shape), fit=fit, deep=_deep(preprocessing))


def _preprocess(
    shape: Sequence[int],
    labels: Sequence[str],
    deployment: Deployment,
    *,
    how: str,
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """The document preprocess.json: what goes in, how it is made, what comes out."""
    return {
        "input": {
            "name": "images",
            "type": "uint8",
            "shape": ["batch", *shape],
            "color": _color(shape),
        },
        "steps": how,
        **preprocessing.document(),
        "normalization": {
            "mean": list(deployment.mean),
            "std": list(deployment.std),
            "of": "pixels in [0, 1]",
        },
        "inside": ["model.onnx", "picture.onnx", "model.pt2"],
        "fit_inside": ["picture.onnx"],
        "output": {
            "name": deployment.answer,
            "shape": ["batch", *(shape if deployment.answer == "pixels" else [len(labels)])],
        },
    }


def _onnx_files(
    onnx: bytes, labels: Sequence[str], task: Task, preprocess: dict[str, Any], *, fit: str
) -> dict[str, bytes]:
    """The network for inputs of its size, the one for pictures of any size, and what runs them."""
    notes = {
        "labels": labels,
        "task": task.kind,
        "preprocess": preprocess,
        "archsmith": __version__,
    }
    taken = preprocess["input"]
    free = {
        **taken,
        "name": PICTURES,
        "shape": [*taken["shape"][:2], "height", "width"],
    }
    return {
        "model.onnx": annotate(onnx, notes),
        "picture.onnx": annotate(
            with_fit(onnx, fit), {**notes, "preprocess": {**preprocess, "input": free}}
        ),
        "predict.py": predict_source().encode(),
    }


def _documents(
    architecture: Mapping[str, Any] | None, preprocess: Mapping[str, Any], labels: Sequence[str]
) -> dict[str, bytes]:
    """The JSON files; those left out that there is nothing to say in."""
    documents = {
        "architecture.json": architecture,
        "preprocess.json": preprocess,
        "labels.json": labels or None,
    }
    return {  # half a character, from a name of bytes, as JSON writes it
        name: (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode(
            "utf-8", "backslashreplace"
        )
        for name, document in documents.items()
        if document is not None
    }


def _deep(how: Preprocessing) -> str:
    """What is black and white in pictures of more than 8 bits, where that is not what such files
    mean by themselves."""
    own = [
        f"{name} from {low:g} (black) to {high:g} (white)"
        for name, (low, high), usual in (
            ("whole numbers", how.integers, PLAIN.integers),
            ("floats", how.floats, PLAIN.floats),
        )
        if (low, high) != usual
    ]
    return f" ({', '.join(own)})" if own else ""


def _summary(facts: Mapping[str, Any], task: Task, labels: Sequence[str]) -> str:
    listed = f"{', '.join(labels[:8])}{', ...' if len(labels) > 8 else ''}"
    own = {
        "regression": f"Predicts {listed}",
        "reconstruction": f"Gives an image again from {task.outputs} numbers",
    }
    return (
        facts.get("summary")
        or own.get(task.kind)
        or (f"Tells {len(labels)} classes apart: {listed}")
    )


def _quotable(text: str) -> str:
    """Fit for a docstring."""
    return str(text).replace("\\", "/").replace('"', "'")


def predict_source() -> str:
    """The text of predict.py: shipped/predict.py with the decoder of `data` in place of its import:
    one code for both."""
    package = resources.files("archsmith")
    text = package.joinpath("shipped/predict.py").read_text(encoding="utf-8")
    _, _, decoder = (
        package.joinpath("data/decode.py")
        .read_text(encoding="utf-8")
        .partition("from __future__ import annotations\n")
    )
    own = [line.strip() for line in text.splitlines()]
    code = [
        line
        for line in decoder.splitlines()
        if not (line.startswith(("import ", "from ")) and line in own)
    ]
    marker = "from archsmith.data.decode import Preprocessing, decode\n"
    assert text.count(marker) == 1 and decoder
    return text.replace(marker, "\n".join(code).strip("\n") + "\n\n")


def _put(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_architecture(path: str | Path) -> Architecture:
    """The architecture of a shipped architecture.json; raises Damaged where its key does not fit
    its options."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        architecture, key = Architecture.from_json(document["options"]), document["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is not a shipped architecture: {error}") from error
    if architecture.key != key:
        raise Damaged(
            f"{path} was changed: its options have the key {architecture.key}, the file "
            f"says {key}; ship it again"
        )
    return architecture


def recover(folder: str | Path) -> None:
    """After a crash between the two moves of an exchange: puts the earlier folder back where
    nothing is in its place."""
    folder = Path(folder)
    old = folder.with_name(f"{folder.name}.old")
    if old.exists() and not folder.exists():
        with contextlib.suppress(OSError):
            os.replace(old, folder)
            sync_folder(folder.parent)
