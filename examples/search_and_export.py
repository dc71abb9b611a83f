"""From data to a file: a short search on the digits, its network as a torch module, and as ONNX run
without archsmith."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import archsmith
from archsmith.data import Resident, load

if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "digits"
    # steps make the run the same to the bit; a real search has a time instead: time="45m"
    run = archsmith.search(
        "digits", budget="params<=20k", out=out, steps=60, reference=False, threads=1
    )

    summary = run.summary()
    print(f"{summary['verdict']}\n{summary['architecture']}")
    for row in run.front()[:3]:
        print(
            {
                name: value
                for name, value in row.items()
                if name in ("key", "params", "macs", "accuracy")
            }
        )

    model = run.best()  # a plain torch module in eval mode
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

    path = run.export(out.parent / "digits.onnx")
    data = load("digits")
    held_out = data.parts["val"]
    assert isinstance(held_out, Resident)  # the images of small sets are kept in memory
    # (1, 1, 8, 8), as it came: what is done to pixels is in the graph
    image = np.asarray(held_out.pixels[:1])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    outputs = session.run(
        None, {given.name: image.astype(np.uint8 if "uint8" in given.type else np.float32)}
    )
    print(
        f"{path.name}: {given.shape} {given.type} -> class {data.classes[int(outputs[0].argmax())]}"
    )
