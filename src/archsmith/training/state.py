"""One network in training: its state, and how it starts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import UserError
from archsmith.metrics.proxies.surgery import ancestors, sums
from archsmith.training.recipe import Recipe


@dataclass
class TrainState:
    """One network in training. `seconds` are training's own (data and steps), evaluations and
    checkpoints are counted apart.

    `images` were drawn, `passes` of them went forward and back: once for each network that a step
    trains. `macs`: multiply-accumulates of those where somebody counts them, forward and back as
    three times forward. `history`: points of {"step", "seconds", "progress", "train_loss", "lr",
    "val_measure", ...}; `train_loss` is the mean since the point before. `extra`: tensors that
    belong to the training besides the network, e.g. architecture parameters. `of`: whose training
    it is (data, seed, network, ...), as JSON holds it; a checkpoint of another one is not gone on
    from.
    """

    module: nn.Module
    ema: nn.Module | None
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    seed: int
    class_weights: Tensor | None = None
    step: int = 0
    images: int = 0
    passes: int = 0
    macs: float = 0.0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    saving_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Tensor] = field(default_factory=dict)
    of: Mapping[str, Any] = field(default_factory=dict)
    _averaged: tuple[list[Tensor], list[Tensor]] = field(init=False, repr=False)
    _copied: tuple[list[Tensor], list[Tensor]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Collects the tensors of average and network once: walking the modules takes longer than
        the update itself."""
        self._averaged, self._copied = ([], []), ([], [])
        if self.ema is None:
            return
        for average, live in (
            (self.ema.parameters(), self.module.parameters()),
            (self.ema.buffers(), self.module.buffers()),
        ):
            for a, b in zip(average, live, strict=True):
                into = self._averaged if a.is_floating_point() else self._copied
                into[0].append(a)
                into[1].append(b)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """average <- decay * average + (1 - decay) * network, for weights and BatchNorm's
        statistics; counters are copied."""
        if self._averaged[0]:
            torch._foreach_lerp_(*self._averaged, 1.0 - decay)
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def network(self) -> nn.Module:
        """The network to evaluate and to ship: the averaged one where there is one."""
        return self.module if self.ema is None else self.ema


def start(
    module: nn.Module,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    class_counts: Sequence[int] | None = None,
    fresh: bool = True,
    of: Mapping[str, Any] | None = None,
) -> TrainState:
    """Takes the module over (moves it to `device`, channels last, train mode) and sets up its
    optimizer and average.

    `class_counts`: training images per class, needed by `recipe.class_balance`. `fresh=False`: the
    weights come from elsewhere, so starting values that would spoil them (`zero_gamma`) are left
    out. `of`: whose training it is.
    """
    module = module.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train()
    if recipe.zero_gamma and fresh:
        zero_residual_gammas(module)
    weights = None
    if recipe.class_balance:
        if class_counts is None:
            raise UserError(
                "recipe: class_balance needs class_counts, the training images of each "
                "class; pass them to start()"
            )
        weights = _balance(class_counts).to(device)
    average = None
    if recipe.ema > 0:
        average = copy.deepcopy(module).requires_grad_(False).eval()
    return TrainState(
        module,
        average,
        make_optimizer(module, recipe),
        recipe=recipe,
        seed=seed,
        class_weights=weights,
        of=dict(of or {}),
    )


def _balance(counts: Sequence[int]) -> Tensor:
    """Inverse frequencies with mean 1 over the images; a class without images weighs nothing."""
    tensor = torch.tensor(counts, dtype=torch.float64)
    present = tensor > 0
    weights = torch.where(present, tensor.sum() / (present.sum() * tensor.clamp(min=1)), 0.0)
    return weights.to(torch.float32)


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW; two groups: matrices and kernels decay, vectors do not.
    Its tensors exist from the start, laid out as the weights, so that a resumed run runs through
    the same instructions as a straight one.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise UserError(f"{type(module).__name__} has no trainable parameters; nothing to train")
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = parameters[0].device.type in ("cpu", "cuda")
    kernel = {"fused": True} if fused else {"foreach": True}
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        nesterov = recipe.momentum > 0
        optimizer = torch.optim.SGD(
            groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, **kernel
        )
        if nesterov:
            for p in parameters:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
        return optimizer
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999), **kernel)
    for p in parameters:
        steps = torch.zeros((), dtype=torch.float32, device=p.device if fused else "cpu")
        optimizer.state[p].update(
            step=steps, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p)
        )
    return optimizer


def zero_residual_gammas(module: nn.Module) -> int:
    """Sets gamma to 0 in each BatchNorm whose output is added to something it was computed from;
    returns how many. Where the module cannot be traced nothing changes."""
    try:
        graph = torch.fx.symbolic_trace(module).graph
    # a user's own module may do anything in forward; the option is a mere improvement
    except Exception:
        return 0
    modules = dict(module.named_modules())
    norms = set()
    for one, other in sums(graph):
        for source, branch in ((one, other), (other, one)):
            norm = modules.get(str(branch.target)) if branch.op == "call_module" else None
            if isinstance(norm, nn.BatchNorm2d) and norm.affine and source in ancestors(branch):
                # not that of `source`, which may end in a BatchNorm itself: everything passes there
                norms.add(norm)
    for norm in norms:
        nn.init.zeros_(norm.weight)
    return len(norms)
