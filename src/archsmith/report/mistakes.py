"""What the network got wrong: its errors, and which class was taken for which."""

from __future__ import annotations

from typing import Any

from archsmith._internal.statistics import wilson
from archsmith.report import text
from archsmith.report.run_record import RunRecord
from archsmith.run.records.ship import Classified, Explained

MANY = 12  # classes up to which the confusion matrix carries numbers
DRAWN = 60  # classes up to which it is drawn at all


def errors(record: RunRecord) -> dict[str, Any] | None:
    """How far off numbers and pixels are, in their units; None for classes, and before the test."""
    test = record.test
    if not isinstance(test, Explained):
        return None
    rows = [
        {
            "value": f"{value:.3g}",
            "of": "of pixels from 0 to 1" if record.task == "reconstruction" else f"of {name}",
        }
        for name, value in test.rmse.items()
    ]
    psnr = f"{test.psnr:.1f}" if text.is_number(test.psnr) else ""
    return {"rows": rows, "psnr": psnr, "n": test.n, "left": text.percent(1 - test.accuracy)}


def mistakes(record: RunRecord) -> dict[str, Any] | None:
    """The confusion matrix (true class down, predicted across), recall by class from the worst, the
    commonest confusions."""
    test, classes = record.test, record.looked.classes if record.looked is not None else ()
    if not isinstance(test, Classified) or record.shipped is None:
        return None
    matrix = test.confusion
    names = list(classes) if len(classes) == len(matrix) else [str(i) for i in range(len(matrix))]
    totals = [sum(row) for row in matrix]
    recalls = []
    for i, (name, total) in enumerate(zip(names, totals, strict=True)):
        recall = matrix[i][i] / total if total else None
        low, high = wilson(matrix[i][i], total)
        recalls.append(
            {
                "name": name,
                "recall": recall,
                "right": matrix[i][i],
                "n": total,
                "low": 100 * low,
                "high": 100 * high,
            }
        )
    recalls.sort(key=lambda r: (r["recall"] is None, r["recall"]))
    wrong = [
        (n, names[i], names[j], totals[i])
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return {
        "names": names,
        "numbered": [n if len(n) <= 2 else str(i + 1) for i, n in enumerate(names)],
        "short": all(len(n) <= 2 for n in names),
        "cells": [
            [{"n": n, "share": n / totals[i] if totals[i] else 0.0} for n in row]
            for i, row in enumerate(matrix)
        ]
        if len(matrix) <= DRAWN
        else None,
        "with_numbers": len(matrix) <= MANY,
        "recalls": recalls[:20],
        "left_out": max(0, len(recalls) - 20),
        "worst": [
            {"n": n, "true": t, "predicted": p, "of": of}
            for n, t, p, of in sorted(wrong, key=lambda w: -w[0])[:6]
        ],
        "total_wrong": sum(w[0] for w in wrong),
        "examples": [
            {**row.to_json(), "share": text.percent(row.share, 0)}
            for row in record.shipped.mistakes
        ],
        "n": sum(totals),
    }
