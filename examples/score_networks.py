"""Training-free scores of many networks of a space within a budget, in one call, and how far the
scores agree."""

from __future__ import annotations

import archsmith
from archsmith.predictors.ranking import kendall

PROXIES = ("naswot", "synflow", "params")  # `archsmith proxies` lists them all

if __name__ == "__main__":
    rows = archsmith.score(
        "vit-nano",
        PROXIES,
        data="digits",
        sample=12,
        budget="params<=60k, macs<=1M",
        batch=16,
        threads=1,
        seed=0,
    )
    for row in rows[:5]:
        scores = "  ".join(f"{name} {value:10.4g}" for name, value in row["scores"].items())
        print(f"{row['key']}  {scores}  {row['macs']:>9,.0f} MACs")
    for position, name in enumerate(PROXIES):
        for other in PROXIES[position + 1 :]:
            tau = kendall(
                [row["scores"][name] for row in rows], [row["scores"][other] for row in rows]
            )
            print(f"Kendall's tau of {name} and {other} on {len(rows)} networks: {tau:.2f}")
