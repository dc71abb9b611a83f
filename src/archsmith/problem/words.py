"""The words that budgets are written in: metrics, units and signs, in every spelling."""

from __future__ import annotations

_COUNT = {
    "": 1.0,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "b": 1e9,
    "t": 1e12,
    "thousand": 1e3,
    "mio": 1e6,
    "mn": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "bn": 1e9,
    "billion": 1e9,
    "billions": 1e9,
}
_MILLISECONDS = {
    "": 1.0,
    "ms": 1.0,
    "us": 1e-3,
    "ns": 1e-6,
    "s": 1e3,
    "msec": 1.0,
    "msecs": 1.0,
    "usec": 1e-3,
    "sec": 1e3,
    "secs": 1e3,
    "millisecond": 1.0,
    "milliseconds": 1.0,
    "microsecond": 1e-3,
    "microseconds": 1e-3,
    "second": 1e3,
    "seconds": 1e3,
}
_BYTES = {
    "": 1.0,
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "ki": 2.0**10,
    "mi": 2.0**20,
    "gi": 2.0**30,
    "byte": 1.0,
    "bytes": 1.0,
    "kbyte": 1e3,
    "kbytes": 1e3,
    "mbyte": 1e6,
    "mbytes": 1e6,
    "gbyte": 1e9,
    "gbytes": 1e9,
    "kilobytes": 1e3,
    "megabytes": 1e6,
    "gigabytes": 1e9,
    "kibibytes": 2.0**10,
    "mebibytes": 2.0**20,
    "gibibytes": 2.0**30,
}
UNITS: dict[str, tuple[str, dict[str, float]]] = {  # metric -> (its unit, suffix -> factor)
    "params": ("", _COUNT),
    "macs": ("", _COUNT),
    "latency": ("ms", _MILLISECONDS),
    "memory": ("bytes", _BYTES),
    "depth": ("", {"": 1.0}),  # convolutions and linear layers
    "layers": ("", {"": 1.0}),  # as a space counts them that does so itself (`zen`)
}
ALLOWED = {  # in messages, not every spelling
    "params": "k, M, G or none",
    "macs": "k, M, G or none",
    "latency": "us, ms, s or none (ms)",
    "memory": "B, KB, MB, GB, KiB, MiB, GiB or none (bytes)",
    "depth": "none",
    "layers": "none",
}
_SAME = {  # how else a metric is called
    "params": (
        "param",
        "parameter",
        "parameters",
        "weights",
        "num_params",
        "n_params",
        "nparams",
        "#params",
    ),
    "macs": (
        "mac",
        "madd",
        "madds",
        "mult_adds",
        "mult-adds",
        "multadds",
        "multiply_adds",
        "flops",
        "flop",
    ),
    "latency": ("lat", "delay", "inference_time"),
    "memory": ("mem", "ram", "peak_memory"),
    "depth": (),
    "layers": ("layer",),
}
METRIC = {word: metric for metric, words in _SAME.items() for word in (metric, *words)}
NOUNS = {  # what may follow the number: "60 MFLOPs", "3M parameters"
    "params": ("params", "param", "parameters", "parameter", "weights"),
    "macs": ("macs", "mac", "flops", "flop", "madds", "madd"),
    "depth": ("layers", "layer"),
    "layers": ("layers", "layer"),
}
TAGGED = {  # metrics with their unit in the name: latency_ms<=8, mflops<=60
    **{f"latency_{unit}": ("latency", unit) for unit in ("us", "ms", "s")},
    **{
        f"memory_{unit}": ("memory", unit)
        for unit in ("b", "kb", "mb", "gb", "kib", "mib", "gib", "bytes")
    },
    **{
        f"{prefix}{noun}": (noun, prefix)
        for prefix in "kmg"
        for noun in ("macs", "flops", "params")
    },
    **{
        f"{noun}_{prefix}": (noun, prefix)
        for prefix in "kmg"
        for noun in ("macs", "flops", "params")
    },
}
PERCENT = ("%", "percent", "per cent", "pct")  # of what the largest network of a space costs
OPS = {"<=": "<=", "=<": "<=", "<": "<=", ">=": ">=", "=>": ">=", ">": ">="}
TURNED = {"<=": ">=", ">=": "<="}
LETTERS = str.maketrans(
    {
        **dict.fromkeys("µμ", "u"),
        **dict.fromkeys("≤⩽≦", "<="),
        **dict.fromkeys("≥⩾≧", ">="),
        "−": "-",
        "×": "x",
        **{chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)},
        "、": ",",
        **dict.fromkeys("\u200b\u200e\u200f\ufeff"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000\t\r", " "),
        **dict.fromkeys("’‘", "'"),
        "\n": ";",
    }
)
