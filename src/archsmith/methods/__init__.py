"""One paper, one page: each method is a module with the stages it fills in; the table by which the command line finds them."""

from __future__ import annotations

METHODS = {
    "zico": ("archsmith.methods.zico", "rank networks by ZiCo without training, search on the score (Li et al., ICLR 2023)"),
    "ensemble": (
        "archsmith.methods.ensemble",
        "rank networks by a rank sum of AZ-NAS's expressivity, working parameters and MeCo, search on it",
    ),
    "random": ("archsmith.methods.random", "random feasible networks, no score: the baseline every method has to beat"),
}
AUTO = "zico"
