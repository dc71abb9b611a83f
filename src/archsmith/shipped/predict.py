"""Says what the model makes of pictures: python predict.py IMAGE [IMAGE ...] [--top K] [--json]

Classes with their probabilities, or values; a model that gives the picture again writes it beside
it, as NAME.again.png.

Needs onnxruntime, numpy and pillow (pip install onnxruntime numpy pillow) and model.onnx beside
this file. Exit code 2 when a picture could not be read; the others are answered all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime
    from PIL import Image, UnidentifiedImageError
except ImportError as missing:
    sys.exit(f"{missing}: pip install onnxruntime numpy pillow")

from archsmith.data.decode import Preprocessing, decode

MODEL = Path(__file__).with_name("model.onnx")


def load(model: str | Path = MODEL, threads: int = 0) -> tuple[Any, list[str]]:
    """The ONNX Runtime session and the labels, which the file carries. threads: 0 for all cores."""
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["labels"])


def outputs(session: Any, picture: str | Path) -> np.ndarray:
    """What the model makes of one picture: probabilities (classes,) that sum to 1, values (k,) or
    pixels (C, S, S) in 0..1.

    The picture is read as those of the training were: how is said in the file, as in
    preprocess.json.
    """
    _, channels, size, _ = session.get_inputs()[0].shape
    preprocess = json.loads(session.get_modelmeta().custom_metadata_map.get("preprocess", "{}"))
    return session.run(
        None, {"images": decode(picture, channels, size, Preprocessing.of(preprocess))[None]}
    )[0][0]


def answer(
    session: Any, labels: list[str], picture: str, top: int, *, taken: set[Path] | None = None
) -> dict[str, Any]:
    """The `top` likeliest labels of one picture (its values; where it was written again), or why it
    could not be read.

    `taken`: files that are not written over; what is written comes to them.
    """
    try:
        scores = outputs(session, picture)
        kind = session.get_outputs()[0].name
        if kind == "values":
            return {"image": picture, "values": dict(zip(labels, map(float, scores), strict=True))}
        if kind == "pixels":
            path = vacant(Path(picture), set() if taken is None else taken)
            grid = np.rint(255 * scores).astype(np.uint8)
            Image.fromarray(grid[0] if len(grid) == 1 else grid.transpose(1, 2, 0)).save(path)
            return {"image": picture, "again": str(path)}
    except Exception as error:  # pillow raises a dozen kinds; one bad file must not stop the rest
        return {"image": picture, "error": reason(error)}
    likeliest = [
        {"label": labels[i], "probability": float(scores[i])}
        for i in np.argsort(-scores, kind="stable")[:top]
    ]
    return {"image": picture, **likeliest[0], "top": likeliest}


def vacant(picture: Path, taken: set[Path]) -> Path:
    """NAME.again.png; where another picture of that NAME has it, with the picture's ending, then a
    number, before `again`."""
    path, number = picture.with_suffix(".again.png"), 1
    while path in taken:
        path = picture.with_name(f"{picture.name}{number if number > 1 else ''}.again.png")
        number += 1
    taken.add(path)
    return path


def reason(error: Exception) -> str:
    """Why a picture could not be read, in one line."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known format (JPEG, PNG, BMP, GIF, WebP, TIFF, ...)"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def lines(row: dict[str, Any]) -> list[str]:
    """An answer for people."""
    if "values" in row:
        return [f"{name} {value:.4g}" for name, value in row["values"].items()]
    if "again" in row:
        return [row["again"]]
    return [f"{t['label']} {100 * t['probability']:.1f} %" for t in row["top"]]


def main() -> int:
    """Answers for every picture on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="how many labels to name (3)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    arguments = parser.parse_args()
    if not MODEL.is_file():
        parser.error(f"{MODEL} is missing: keep predict.py beside its model.onnx")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names of any bytes
    # pillow's remarks on damaged files, which are answered with a reason
    warnings.simplefilter("ignore")
    try:
        session, labels = load()
    except Exception as error:  # what ONNX Runtime raises for a torn file has no common class
        parser.error(
            f"{MODEL} cannot be used ({reason(error)}): copy it again from the run's best/"
        )
    taken = {Path(picture) for picture in arguments.images}
    answers = [
        answer(session, labels, picture, max(1, arguments.top), taken=taken)
        for picture in arguments.images
    ]
    if arguments.json:
        print(json.dumps(answers, indent=1))
    for row in answers if not arguments.json else ():
        if "error" in row:
            print(f"{row['image']}: {row['error']}", file=sys.stderr)
        else:
            print(row["image"], *lines(row), sep="  ")
    sys.stdout.flush()
    return 2 if any("error" in row for row in answers) else 0


def command() -> int:
    """main, for a terminal: whoever stops reading (| head), a full disk and Ctrl-C end it without a
    traceback."""
    try:
        return main()
    except KeyboardInterrupt:
        code, why = 130, ""
    except BrokenPipeError:
        code, why = 0, ""
    except OSError as error:
        code, why = 2, f"cannot write the answer: {reason(error)}"
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # what Python still holds for it goes there when it ends
    if why:
        print(why, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(command())
