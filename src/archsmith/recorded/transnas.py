"""TransNAS-Bench-101 micro: 4,096 cells on seven tasks, the final validation metric and nothing
else."""

from __future__ import annotations

from os import PathLike

from archsmith.recorded.benchmark import Lookup, Recorded, Rows, optimum
from archsmith.recorded.columns import KINDS, read
from archsmith.spaces.catalog.transnas import TRANSNAS, transnas_arch, transnas_text

_UNITS = {
    "class_scene": "top-1 %",
    "class_object": "top-1 %",
    "jigsaw": "top-1 %",
    "room_layout": "negative loss",
    "segmentsemantic": "pixel accuracy %",
    "autoencoder": "SSIM",
    "normal": "SSIM",
}


def load(name: str, data: str | PathLike[str] | None = None) -> Recorded:
    """`transnas:TASK`: one metric serves as score and as truth, larger is better for every task."""
    task = name.partition(":")[2]
    columns = read(KINDS["transnas"], data)
    texts = columns["arch_str"].tolist()
    rows = Rows(name, texts, transnas_text, texts=texts, read=transnas_arch)
    values = columns[f"{task}_valid"]
    only = "validation metric after the last epoch, one run"
    facts = {
        **columns.facts(),
        "score": only,
        "truth": f"the same {only}: nothing else is recorded, so a search sees what it is judged "
        f"by",
        "unit": _UNITS[task],
        **optimum(values, rows),
        "noise": None,
        "surrogate": None,
        "simulated_seconds": None,
        "complete": len(texts) == TRANSNAS.size,
        "count": len(texts),
        "truth_fidelity": None,
    }
    metric = Lookup("accuracy", rows, values)
    return Recorded(name, TRANSNAS, metric, truth=metric, facts=facts, rows=rows)
