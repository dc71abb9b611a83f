"""What every stage of a made-up run decided, complete, as the real ones write it; and the trials
beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from archsmith._internal.statistics import wilson
from archsmith.problem import Candidate, Trial
from archsmith.report.run_record import RunRecord
from archsmith.run.record import RunFile
from archsmith.run.request import Request
from archsmith.space import Architecture

CHECKED = {
    "key": "a1",
    "estimate": 0.4,
    "estimated_loss": 1.2,
    "accuracy": 0.5,
    "loss": 1.1,
    "images": 800.0,
}
SHARED = {  # of methods that train shared weights
    "nodes": [
        {"name": "all", "parent": None, "images": 960, "macs": 1e9, "options": {}},
        {
            "name": "all.0",
            "parent": "all",
            "images": 480,
            "macs": 5e8,
            "options": {"kernel": [3, 5]},
        },
    ],
    "images": 1440,
    "macs": 1.5e9,
    "trust": {
        "networks": [CHECKED],
        "kendall": 0.0,
        "spearman": 0.0,
        "p": 1.0,
        "why": "there was time for one",
    },
    "distribution": {
        "options": {"kernel": ["3", "5"]},
        "stages": [{"theta": {"kernel": [0.5, 0.5]}, "alive": {"kernel": [0, 1]}}],
        "survivor": {"kernel": 3},
    },
}


def confusion(rng: Random, per_class: int, classes: int, error: float) -> list[list[int]]:
    """Mostly right, a few mistakes among neighbors."""
    matrix = [[0] * classes for _ in range(classes)]
    for i in range(classes):
        for _ in range(per_class):
            j = (
                i
                if rng.random() > error * (0.3 + 1.4 * ((7 * i) % 5) / 4)
                else (i + rng.choice((1, 1, 3, 5))) % classes
            )
            matrix[i][j] += 1
    return matrix


def tested(matrix: list[list[int]]) -> dict[str, Any]:
    """What an evaluation on the test images records."""
    n, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    recall = [row[i] / sum(row) for i, row in enumerate(matrix)]
    return {
        "accuracy": right / n,
        "balanced_accuracy": sum(recall) / len(recall),
        "per_class_recall": recall,
        "confusion": matrix,
        "n": n,
        "interval": list(wilson(right, n)),
        "loss": 0.09,
        "constant": max(map(sum, matrix)) / n,
        "above": True,
    }


def curve(rng: Random, until: float, final: float, pace: float) -> list[dict[str, Any]]:
    """A learning curve that saturates."""
    found = []
    for i in range(1, round(until * 10) + 1):
        p = i / 10
        accuracy = final * (1 - math.exp(-pace * p)) + rng.gauss(0, 0.003)
        loss = 2.1 * math.exp(-pace * p) + 0.06
        found.append(
            {
                "step": round(1500 * p),
                "seconds": 40 * p,
                "progress": p,
                "train_loss": loss,
                "lr": 0.1,
                "val_measure": min(accuracy, 1.0),
                "val_loss": 1.1 * loss,
            }
        )
    return found


def architecture(rng: Random) -> Architecture:
    """Something with a hash."""
    return Architecture(
        {
            f"stage{i}.{what}": rng.choice((2, 3, 4))
            for i in range(1, 4)
            for what in ("depth", "width", "kernel")
        }
    )


def trial(rng: Random, stage: str) -> Trial:
    """A scored network: larger ones score higher, with scatter; a lucky search scores a little
    higher still."""
    params = math.exp(rng.uniform(math.log(4e3), math.log(2e4)))
    macs = params * rng.uniform(25, 70)
    score = (
        9 * math.log(params)
        + 3 * math.log(macs)
        - 60
        + rng.gauss(0, 3.5)
        + (4 if stage == "search" else 0)
    )
    metrics = {
        "params": round(params),
        "macs": round(macs),
        "memory": round(params * 0.9 + 4096),
        "latency": 0.02 + macs / 9e6,
        "zico": score,
    }
    return Trial(Candidate(architecture(rng)), metrics, (-score, macs), stage=stage)


def layers() -> list[dict[str, Any]]:
    """A small MobileNet."""
    found = [("stem", "", "3x3 convolution, 16 channels", [1, 8, 8], [16, 8, 8], 176, 9216)]
    before, plan = [16, 8, 8], [("stage1", 2, 16, 8), ("stage2", 3, 24, 4), ("stage3", 2, 40, 2)]
    for stage, depth, width, side in plan:
        for i in range(depth):
            expand, kernel, out = 3 + i, 3 if i % 2 == 0 else 5, [width, side, side]
            params = before[0] * expand * (before[0] + width) + kernel * kernel * before[0] * expand
            more = "shortcut" if out == before else "stride 2"
            words = (
                f"{kernel}x{kernel} depthwise, expand {expand}, squeeze-excite, {width} "
                f"channels, {more}"
            )
            found.append((stage, f"block{i + 1}", words, before, out, params, params * side * side))
            before = out
    found.append(("head", "pool", "pooling", before, [40], 0, 0))
    found.append(("head", "classifier", "linear 10", [40], [10], 410, 400))
    keys = ("stage", "name", "text", "in", "out", "params", "macs")
    return [dict(zip(keys, layer, strict=True)) for layer in found]


def network(rng: Random, until: float, final: float, origin: str, **more: Any) -> dict[str, Any]:
    """A trained network as the finish stage records it."""
    points = curve(rng, until, final, rng.uniform(6, 11))
    params = more.pop("params", None) or round(math.exp(rng.uniform(math.log(9e3), math.log(2e4))))
    own = (
        {"text": "3 inverted blocks a stage"}
        if origin == "hand-made"
        else {"origin": origin, "options": {"depth": 3}}
    )
    return {
        "params": params,
        "macs": params * 38,
        "memory": 21504,
        "curve": points,
        "val_measure": points[-1]["val_measure"] if points else None,
        "seconds": 40 * until,
        "steps": round(1500 * until),
        "progress": until,
        "failed": None,
        "above": True,
        "precision": "float32",
        **own,
        **more,
    }


def by_hand(depth: int) -> dict[str, Any]:
    """A hand-made network as the profile stage records it."""
    sizes = {"classes": 10, "channels": 1, "size": 8, "depth": depth, "width": 0.5, "head": 128}
    return {"name": f"depth {depth}", **sizes, "kind": "inverted", "first": 1}


def payloads(kind: str, keys: list[str], rng: Random) -> dict[str, dict[str, Any]]:
    """What every stage decided: of grey digits, or of a few large photos with awkward names."""
    digits = kind == "digits"
    classes = (
        [str(i) for i in range(10)]
        if digits
        else ["cat", "dog", "<script>alert(1)</script> & co", "Größe / 大きい"]
    )
    split = (
        {"train": [98] * 10, "val": [25] * 10, "test": [54] * 10}
        if digits
        else {"train": [300, 210, 120, 60], "val": [75, 52, 30, 9], "test": [90, 60, 40, 8]}
    )
    count = len(classes)
    made = {
        "sha256": "ab" * 32,
        "seed": 0,
        "how": "stratified",
        "val_share": 0.15,
        "test_share": 0.3,
    }
    look = {
        "name": kind,
        "kind": "digits" if digits else "folder",
        "source": f"/data/{kind}",
        "images": sum(map(sum, split.values())),
        "classes": classes,
        "counts": split,
        "channels": 1 if digits else 3,
        "size": 8 if digits else 128,
        "original_sizes": {"min": [8, 8], "median": [8, 8], "max": [8, 8]}
        if digits
        else {"min": [90, 64], "median": [640, 480], "max": [4000, 3000]},
        "unreadable": []
        if digits
        else [{"path": "cat/<b>torn</b>.jpg", "reason": "truncated after 812 bytes"}],
        "split": made,
        "data_hash": "cd" * 32,
        "resident": True,
        "imbalance": 1.05 if digits else 5.0,
        "notes": ["two files were left out"],
        "duplicates": {"exact": 0, "near": 0, "searched": True, "conflicting": 0, "examples": []}
        if digits
        else {
            "exact": 2,
            "near": 5,
            "searched": True,
            "conflicting": 0,
            "examples": [["cat/1.jpg", "dog/7.jpg"]],
        },
        "preprocessing": {
            "fit": "crop",
            "integers": [0.0, 65535.0],
            "floats": [0.0, 1.0],
            "why": "all are square",
        },
        "flip": {"suggested": False, "why": "left and right matter"},
        "goal": {
            "task": "classification",
            "measure": "accuracy",
            "classes": classes,
            "mirrors": False,
        },
        "mean": [0.3] if digits else [0.4, 0.45, 0.5],
        "std": [0.2] if digits else [0.2, 0.25, 0.2],
        "split_ids": {
            "format": 1,
            **made,
            "parts": {"train": ["a.png"], "val": ["b.png"], "test": ["c.png"]},
        },
    }
    limits = [
        {"metric": "params", "op": "<=", "limit": 20000, "unit": "", "text": "params<=20k"},
        {"metric": "macs", "op": "<=", "limit": 1000000, "unit": "", "text": "macs<=1M"},
    ]
    spans = {
        "params": (4100, 151000, 1920000),
        "macs": (210000, 5.1e6, 4.4e7),
        "memory": (9216, 40960, 262144),
        "latency": (0.03, 0.4, 2.2),
    }
    profile = {
        "space": "mobilenet",
        "space_size": "1.17e+14",
        "decisions": 31,
        "metrics": {
            m: dict(zip(("min", "median", "max"), v, strict=True)) for m, v in spans.items()
        },
        "feasible_share": {
            "share": 0.0021,
            "low": 0.0013,
            "high": 0.0034,
            "draws": 8000,
            "found": 1,
        },
        "budget": limits,
        "latency_table": {
            "entries": 212,
            "machine": "AMD EPYC 7B13",
            "runtime": "onnxruntime 1.23",
            "threads": 2,
            "batch": 1,
            "held_out": 20,
            "fitted_on": 24,
            "mape": 0.061,
            "max_error": 0.17,
            "spearman": 0.985,
            "rough_mape": 0.12,
            "measured_ms": {"min": 0.03, "median": 0.4, "max": 2.2},
        },
        "init": None,
        "references": {"networks": [by_hand(depth) for depth in (2, 3, 4)], "why": None},
    }
    test, other = tested(confusion(rng, 54, count, 0.018)), tested(confusion(rng, 54, count, 0.026))
    finals = [(1.0, 0.988), (0.3, 0.981), (0.1, 0.975), (0.1, 0.97), (0.1, 0.962), (0.1, 0.955)]
    networks = {
        k: network(rng, u, f, "search" if i % 3 else "screen")
        for i, (k, (u, f)) in enumerate(zip(keys, finals, strict=False))
    }
    networks[keys[0]].update(params=18234, macs=684210, origin="search")
    networks[keys[-1]].update(
        failed="loss became NaN at step 41", val_measure=None, curve=[], progress=0.0
    )
    hand = {
        f"depth {d}": network(rng, u, f, "hand-made", params=19640)
        for d, u, f in ((2, 0.2, 0.96), (3, 1.0, 0.982), (4, 0.2, 0.955))
    }
    finish = {
        "recipe": {
            "optimizer": "sgd",
            "lr": 0.2,
            "batch_size": 64,
            "label_smoothing": 0.1,
            "ema": 0.995,
        },
        "plan": {"unit": "seconds", "search": 62.0, "reference": 56.4, "scoring_s": 39.8},
        "rungs": [
            {"until": 0.1, "keep": 2, "entries": keys[:-1]},
            {"until": 1.0, "keep": 1, "entries": keys[:1]},
        ],
        "chosen": keys[0],
        "networks": networks,
        "ranking": keys[:-1],
        "reference": {
            "name": "mobilenet",
            "chosen": "depth 3",
            "networks": hand,
            "seconds": 56.3,
            "steps": 2100,
        },
    }
    kept = [{**limits[0], "value": 18234, "met": True}, {**limits[1], "value": 684210, "met": True}]
    ship = {
        "files": [
            {"name": n, "bytes": b, "sha256": "ef" * 32}
            for n, b in (
                ("model.onnx", 81234),
                ("model.pt2", 142100),
                ("model.safetensors", 74020),
                ("model.py", 9120),
                ("architecture.json", 612),
                ("preprocess.json", 190),
                ("labels.json", 44),
                ("predict.py", 4103),
                ("card.md", 1822),
            )
        ],
        "skipped": [],
        "max_difference": {"onnx": 8.3e-7, "pt2": 0.0, "model.py": 2.4e-7},
        "latency_ms": {
            "median_ms": 0.0871,
            "p10_ms": 0.0832,
            "p90_ms": 0.0954,
            "runs": 300,
            "threads": 2,
            "batch": 1,
            "runtime": "onnxruntime 1.23",
            "provider": "CPUExecutionProvider",
            "machine": "AMD EPYC 7B13",
        },
        "budget": kept,
        "architecture": {"space": "mobilenet", "key": keys[0], "options": {"depth": 3}},
        "layers": layers(),
        "fell_back": [],
        "network": "search",
        "key": keys[0],
        "test": test,
        "search": {"key": keys[0], "options": {"depth": 3}, "budget": kept, "test": test},
        "reference_test": other,
        "verdict": "a tie within the interval",
        "warning": None,
        "mistakes": [
            {"true": classes[0], "predicted": classes[1], "share": 0.9876, "png": "iVBORw0KGgo="}
        ],
        "measure": "accuracy",
    }
    return {
        "look": look,
        "profile": profile,
        "train": {"skipped": True, "why": "this method trains no shared weights"},
        "finish": finish,
        "ship": ship,
        "screen": {
            "proxy": "zico",
            "scored": 300,
            "best": {"key": keys[1], "score": 71.2, "depth": 14},
            "passes": 600,
            "seconds_per_score": 0.04,
        },
        "search": {
            "searcher": "nsga2",
            "trials": 600,
            "best": {"key": keys[0], "score": 79.9, "depth": 17},
            "random": {"trials": 600, "best": {"key": keys[1], "score": 74.3, "depth": 14}},
            "shortlist": [
                {"key": k, "options": {"depth": 3}, "origin": "search", "zico": 79.9} for k in keys
            ],
        },
    }


def bare(folder: Path, **left: Any) -> RunRecord:
    """A run with nothing in it but what is given."""
    said = {
        "id": "x",
        "archsmith": "0",
        "created": "",
        "status": "running",
        "request": {},
        "versions": {},
        "machine": {},
    }
    return RunRecord(folder, RunFile.model_validate(said), Request(data="digits"), **left)


def other(record: RunRecord, left: str, **changes: Any) -> RunRecord:
    """The same run, but what a stage left has other entries: `test__n=5` for those inside
    another."""
    was = getattr(record, left)
    payload = was.to_json()
    for way, entry in changes.items():
        *outer, last = way.split("__")
        at = payload
        for step in outer:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[last] = entry
    return replace(record, **{left: type(was).from_json(payload, "made up")})
