"""Targets trained per second beside cornac's TIGER at equal shape, batch, threads and precision, on real histories.

`python -m benchmarks.training --data FOLDER` lets all contenders take steps in turn (forward, backward, AdamW, in ours
clipping) on the training part of an Amazon-style folder, on one core in float32. cornac trains one target a row, on
histories padded to 20 items; ours trains all targets of a window in one row. `--growth` instead measures how the cost
of our training grows with the number of targets and with the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.contenders import (
    CODES,
    HISTORY,
    LEVELS,
    PAPER_FORM,
    S2GR_FORM,
    TIGER,
    Cornac,
    History,
    IntArray,
    ours,
    peer,
    random_codes,
    read_histories,
    semantic_ids,
    with_digit,
)
from benchmarks.report import row, write_rows
from benchmarks.timing import Work, one_core, rates
from s2gr.console import set_up_logging
from s2gr.params import Reasoner
from s2gr.reasoner.batches import Batch, packed_batches
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.reasoner.objective import Objective
from s2gr.sequences import TEST, Sequences
from s2gr.training import parameter_groups

BATCH = 256
LARGE_BATCH = 1024
ROUNDS = 5
# Batches of ours in one round; a peer takes one, which is many times slower.
STEPS = 4
GROWTH_TARGETS = (1_000, 4_000, 16_000)
GROWTH_ITEMS = (10_000, 100_000, 1_000_000)


class Trainer:
    """Steps of our training, as s2gr/training.py takes them."""

    def __init__(self, model: S2GR) -> None:
        self.objective = Objective(model.train(), model.params)
        groups = parameter_groups(self.objective.named_parameters(), model.params.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4)

    def steps(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.objective(batch)["loss"].backward()
            nn.utils.clip_grad_norm_(self.objective.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def training_part(sequences: Sequences) -> Sequences:
    """All but the last two events of each user."""
    split = np.zeros(len(sequences.items), np.uint8)
    for back in (1, 2):
        split[sequences.offsets[1:] - back] = TEST
    return replace(sequences, split=split).training()


def targets_of(batches: Sequence[Batch]) -> int:
    return sum(int((batch.targets >= 0).sum()) for batch in batches)


def main(
    data: Annotated[Path, typer.Option(help="The Amazon-style files.")],
    growth: Annotated[bool, typer.Option(help="Measure more targets and larger catalogues instead.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    """Compare training with the peers, or measure how it grows."""
    set_up_logging()
    one_core()
    sequences = training_part(read_histories(data))
    rows = grow(sequences) if growth else compare(sequences, semantic_ids(data, sequences.item_ids))
    table = Table("what", "ours", "peer", "ratio", box=None)
    for entry in rows:
        table.add_row(entry["name"], *(f"{entry[key]:.4g}" if entry[key] else "" for key in ("ours", "peer", "ratio")))
    Console(width=120).print(table)
    if json_file:
        write_rows(json_file, rows)


def compare(sequences: Sequences, codes: IntArray) -> list[dict[str, Any]]:
    """Targets per second of one core."""
    forms = {"TIGER": TIGER, "S²GR": S2GR_FORM, "S²GR with the paper's interest decoder": PAPER_FORM}
    batches = packed_batches(sequences, HISTORY, BATCH, seed=0)[:STEPS]
    large = packed_batches(sequences, HISTORY, LARGE_BATCH, seed=0)[:1]
    contenders: dict[str, Work] = {}
    for name, form in forms.items():
        trainer = Trainer(ours(codes, form))
        contenders[name] = (targets_of(batches), partial(trainer.steps, batches))
        contenders[f"{name}, large"] = (targets_of(large), partial(trainer.steps, large))
    peers: dict[str, Work] = {}
    if module := peer("cornac.models.tiger.tiger"):
        peers["cornac's TIGER"] = (BATCH, cornac_steps(Cornac(module, with_digit(codes)), sequences))
        peers["cornac's TIGER without its fourth digit"] = (BATCH, cornac_steps(Cornac(module, codes), sequences))
    found = rates(contenders | peers, ROUNDS)
    rows = [
        row(f"{name} beside our TIGER, batches of {size:,}, targets/s", found[f"{name}{of}"], found[f"TIGER{of}"])
        for name in ("S²GR", "S²GR with the paper's interest decoder")
        for size, of in ((BATCH, ""), (LARGE_BATCH, ", large"))
    ]
    return rows + [
        row(f"{name} beside {other}, targets/s", found[name], found[other]) for name in forms for other in peers
    ]


def cornac_steps(cornac: Cornac, sequences: Sequences) -> Callable[[], None]:
    """One step on the next 256 targets: users in random order, each one's targets in a row, as cornac takes them."""
    model = cornac.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def endless() -> Iterator[tuple[History, int]]:
        generator = np.random.default_rng(0)
        while True:
            for user in generator.permutation(sequences.n_users):
                own = sequences.items[sequences.offsets[user] : sequences.offsets[user + 1]]
                yield from ((own[max(0, end - HISTORY) : end], int(own[end])) for end in range(1, len(own)))

    pairs = endless()

    def step() -> None:
        histories, targets = zip(*(next(pairs) for _ in range(BATCH)), strict=True)
        tokens, mask = cornac.encoder_input(histories)
        optimizer.zero_grad()
        model(tokens, mask, torch.from_numpy(cornac.codes[list(targets)])).backward()
        optimizer.step()

    return step


def grow(sequences: Sequences) -> list[dict[str, Any]]:
    """Seconds of our training against the number of targets, and targets per second against the catalogue."""
    rows = []
    codes = random_codes(sequences.n_items)
    trainer = Trainer(ours(codes, S2GR_FORM))
    batches = packed_batches(sequences, HISTORY, 512, seed=0)
    sizes = np.cumsum([targets_of([batch]) for batch in batches])
    for targets in GROWTH_TARGETS:
        some = batches[: int(np.searchsorted(sizes, targets)) + 1]
        rate = rates({"": (targets_of(some), partial(trainer.steps, some))}, 1)[""]
        rows.append(row(f"seconds for {targets_of(some):,} targets", targets_of(some) / rate))
    for items in GROWTH_ITEMS:
        rate = _default_on(sequences, items)
        rows.append(row(f"defaults, a catalogue of {items:,} items, targets/s", rate))
    return rows


def _default_on(sequences: Sequences, items: int) -> float:
    """Targets per second of the default reasoner, with histories spread over so many items."""
    generator = np.random.default_rng(0)
    spread = replace(sequences, items=generator.integers(0, items, len(sequences.items)).astype(np.int32))
    params = Reasoner()
    batches = packed_batches(spread, params.history, params.batch_size, seed=0)[:STEPS]
    clusters = torch.randint(0, params.clusters, (LEVELS, CODES))
    centres = torch.randn(LEVELS, params.clusters, 32)
    catalogue = Catalogue(torch.from_numpy(random_codes(items)), CODES, centres, clusters)
    trainer = Trainer(S2GR(params, catalogue))
    return rates({"": (targets_of(batches), partial(trainer.steps, batches))}, 1)[""]


if __name__ == "__main__":
    typer.run(main)
