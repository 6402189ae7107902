"""The one training loop, shared by codebook and reasoner: batches in order, checkpoints, early stopping, a NaN guard.

A killed run resumes from its last finished epoch and ends with the weights of an undisturbed one: the order of the
batches depends on seed and epoch alone, and the checkpoint holds the state of the dropout generator. Of several
processes each has a generator of its own, which begins anew with every epoch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from s2gr.code_behind import digest_of_code
from s2gr.console import log, progress
from s2gr.errors import UserError
from s2gr.files import write_csv
from s2gr.stopwatch import Effort, Stopwatch, running

Row = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What one training run consists of."""

    description: str
    epochs: int
    # The batches of an epoch; under DDP each process takes its share of them.
    batches: Callable[[int], Sequence[Any]]
    # Called before each epoch, for what happens between epochs (dead-code revival).
    before_epoch: Callable[[int], None] | None = None
    # Measured after each epoch; the weights of the epoch with the highest `criterion` among the figures are kept.
    validate: Callable[[], Row] | None = None
    criterion: str = ""
    patience: int | None = None
    gradient_clip: float | None = None
    # The learning rate of a step is the optimiser's times `schedule` of the share of the training that is done in the
    # middle of the step: at its beginning a first step with warm-up would have rate 0, at its end a last one.
    schedule: Callable[[float], float] = lambda progress: 1.0


@dataclass
class _State:
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    rows: list[Row] = field(default_factory=list)


def warmup_cosine(warmup: float) -> Callable[[float], float]:
    """A schedule that rises linearly for the fraction ``warmup`` and then decays to 0 along a cosine."""

    def schedule(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / max(1 - warmup, 1e-9)))

    return schedule


def fit(
    fabric: Fabric, model: nn.Module, optimizer: Optimizer, plan: Plan, checkpoint: Path, fingerprint: str
) -> list[Row]:
    """Train ``model``, whose ``forward(batch)`` returns its loss terms, ``loss`` among them.

    Args:
        checkpoint: file that holds the state between epochs, and the last one when training has ended: it is the
            caller's to remove once the result is safe.
        fingerprint: identifies data and parameters; a checkpoint with another one is ignored.

    Returns: a row per epoch with the mean of each loss term; the model holds the best epoch's weights.
    Raises: UserError: if a loss is not finite, naming step and batch.
    """
    module, optimizer = fabric.setup(model, optimizer)
    # Half the epochs by other code would be nobody's model.
    fingerprint = f"{fingerprint} {digest_of_code(__name__, plan.batches.__module__)}"
    watch = running()
    # Asked before a checkpoint's generator is taken over.
    seed = torch.initial_seed()
    state, best_weights = _resume(checkpoint, fingerprint, model, optimizer, watch)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    steps = len(_share(plan.batches(0), fabric))
    with progress(plan.description, plan.epochs * steps) as tracker:
        tracker.advance(state.epoch * steps)
        for epoch in range(state.epoch, plan.epochs):
            # Asked before the epoch: a run that was killed when it had stopped must stop there again.
            if plan.validate and plan.patience is not None and epoch - 1 - state.best_epoch >= plan.patience:
                log.info("%s: no better %s since epoch %d", plan.description, plan.criterion, state.best_epoch + 1)
                break
            if plan.before_epoch:
                plan.before_epoch(epoch)
            if fabric.world_size > 1:
                torch.manual_seed((seed * 1_000_003 + epoch) * fabric.world_size + fabric.global_rank)
            model.train()
            means = _Means()
            batches = _share(plan.batches(epoch), fabric)
            for index, batch in enumerate(batches):
                done = (epoch + (index + 0.5) / len(batches)) / plan.epochs
                for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
                    group["lr"] = rate * plan.schedule(done)
                terms: Mapping[str, Tensor] = module(fabric.to_device(batch))
                if not bool(torch.isfinite(terms["loss"])):
                    raise UserError(
                        f"the loss is not finite in epoch {epoch + 1}, batch {index + 1} of {len(batches)} "
                        f"({_format(terms)}); lower the learning rate, or look at the input embeddings"
                    )
                fabric.backward(terms["loss"])
                if plan.gradient_clip:
                    fabric.clip_gradients(module, optimizer, max_norm=plan.gradient_clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                means.add(terms)
                tracker.advance(1, f"loss {means.value('loss'):.3f}")
            row = {"epoch": float(epoch + 1), **means.all()}
            if plan.validate:
                model.eval()
                with torch.no_grad():
                    row |= plan.validate()
                if row[plan.criterion] > state.best:
                    state.best, state.best_epoch = row[plan.criterion], epoch
                    best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            state.rows.append(row)
            state.epoch = epoch + 1
            # Hundreds of short epochs would drown everything else.
            if plan.validate or (epoch + 1) % math.ceil(plan.epochs / 10) == 0:
                log.info("%s epoch %d/%d: %s", plan.description, epoch + 1, plan.epochs, _format(row))
            _save(checkpoint, fingerprint, model, optimizer, state, best_weights, fabric, watch.read())
    if best_weights:
        model.load_state_dict(best_weights)
    model.eval()
    return state.rows


def write_curve(rows: Sequence[Row], path: Path) -> None:
    """The training curve as CSV, a line per epoch, for DVC plots and Dagster."""
    header = list(rows[0])
    write_csv(path, header, ([f"{row[name]:.6g}" for name in header] for row in rows))


def _share(batches: Sequence[Any], fabric: Fabric) -> Sequence[Any]:
    """This process's batches: every one gets equally many, or the slower would wait for ever."""
    if fabric.world_size == 1:
        return batches
    share = math.ceil(len(batches) / fabric.world_size)
    return [batches[(fabric.global_rank + index * fabric.world_size) % len(batches)] for index in range(share)]


class _Means:
    """Means over the batches so far, summed on the device, read only when asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        self._count += 1
        for name, value in terms.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def value(self, name: str) -> float:
        return float(self._sums[name]) / self._count

    def all(self) -> Row:
        return {name: self.value(name) for name in self._sums}


def _format(values: Mapping[str, float | Tensor]) -> str:
    plain = {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}
    return ", ".join(f"{name} {value:.4g}" for name, value in plain.items() if name != "epoch")


def _save(
    checkpoint: Path,
    fingerprint: str,
    model: nn.Module,
    optimizer: Optimizer,
    state: _State,
    best: Mapping[str, Tensor],
    fabric: Fabric,
    effort: Effort,
) -> None:
    if fabric.global_rank:
        return
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, values in cast(dict[int, dict[str, Any]], optimizer.state_dict()["state"]).items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    tensors["generator"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["generator.cuda"] = torch.cuda.get_rng_state()
    told = {
        "fingerprint": fingerprint,
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "rows": state.rows,
        # −inf is not JSON.
        "best": state.best if math.isfinite(state.best) else None,
        "effort": asdict(effort),
    }
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    temporary = checkpoint.with_name(f"{checkpoint.name}.{os.getpid()}.tmp")
    save_file({name: value.contiguous().cpu().clone() for name, value in tensors.items()}, temporary, _as_text(told))
    os.replace(temporary, checkpoint)


def _as_text(told: Mapping[str, Any]) -> dict[str, str]:
    return {"state": json.dumps(told)}


def _resume(
    checkpoint: Path, fingerprint: str, model: nn.Module, optimizer: Optimizer, watch: Stopwatch
) -> tuple[_State, dict[str, Tensor]]:
    if not checkpoint.exists():
        return _State(), {}
    try:
        with safe_open(checkpoint, framework="pt") as file:
            told = json.loads(file.metadata()["state"])
        if told["fingerprint"] != fingerprint:
            log.info("%s is of other data, parameters or code: starting anew", checkpoint)
            return _State(), {}
        tensors = load_file(checkpoint)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        log.warning("%s can't be read (%s): starting anew", checkpoint, error)
        return _State(), {}
    model.load_state_dict(_below(tensors, "model."))
    saved: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        saved.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["generator"])
    if "generator.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
    best = told["best"] if told["best"] is not None else -math.inf
    watch.go_on_from(Effort(**told["effort"]))
    log.info("resuming after epoch %d from %s", told["epoch"], checkpoint)
    return _State(told["epoch"], best, told["best_epoch"], told["rows"]), _below(tensors, "best.")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and tables (of positions, too); norms, biases and single vectors go without."""
    parameters = [parameter for _, parameter in named if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
