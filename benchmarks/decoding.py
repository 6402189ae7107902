"""Users decoded per second beside cornac's TIGER and torch-rechub's Hugging Face `generate` with a trie.

`python -m benchmarks.decoding --data FOLDER` decodes users of an Amazon-style folder (recipes/amazon.yaml) with all
contenders in turn, on one core, and says whether the beam's ten best are those of the whole catalogue scored exactly.
`--workdir W` adds the trained model of a finished run: its speed, one user's latency, its beam against exact scores,
and bf16 against fp32. `--growth` instead measures catalogues of 10 k to 1 M items and beams of 10 to 500.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.contenders import (
    HISTORY,
    PAPER_FORM,
    TIGER,
    Cornac,
    History,
    IntArray,
    Rechub,
    histories_of,
    ours,
    peer,
    random_codes,
    read_histories,
    semantic_ids,
    with_digit,
)
from benchmarks.report import row, write_rows
from benchmarks.timing import Work, latencies, one_core, rates
from s2gr.console import log, set_up_logging
from s2gr.params import Params, Runtime
from s2gr.reasoner.decoding import Beam, Constraint, beam_search, item_log_probabilities
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.recommender import Recommender
from s2gr.reasoner.trie import build_trie
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace

matplotlib.use("Agg")
from matplotlib import pyplot

BEAMS = (10, 20, 50)
ROUNDS = 3
USERS = 256  # of ours, in one round
BATCH = 64  # users that are decoded together
PEER_USERS = 8  # of a peer, in one round; torch-rechub decodes them together
EXACT_USERS = 5
LATENCY_CALLS = 200
GROWTH_ITEMS = (10_000, 100_000, 1_000_000)
GROWTH_BEAMS = (10, 20, 50, 100, 200, 500)


class Network:
    """A network and the catalogue that it decodes."""

    def __init__(self, model: S2GR) -> None:
        self.model = model.eval()
        self.constraint = Constraint.of(build_trie(model.codes.numpy()), torch.device("cpu"))

    @torch.no_grad()
    def decode(self, histories: Sequence[History], beam: int) -> list[Beam]:
        """The beams of histories, those of similar length together."""
        histories = sorted(histories, key=len)
        batches = [histories[start : start + BATCH] for start in range(0, len(histories), BATCH)]
        return [beam_search(self.model, self.model.encode(*_tensors(some)), self.constraint, beam) for some in batches]

    @torch.no_grad()
    def exact_top_10(self, history: History) -> set[int]:
        """The ten best items of the whole catalogue, every one scored by the training path, without a beam."""
        memory = self.model.encode(*_tensors([history]))
        parts = [
            item_log_probabilities(self.model, memory, self.constraint, torch.arange(start, end)[None])
            for start, end in pairwise([*range(0, len(self.model.codes), 1024), len(self.model.codes)])
        ]
        return set(torch.cat(parts, 1).topk(10).indices[0].tolist())


def _tensors(histories: Sequence[History]) -> tuple[Tensor, Tensor]:
    items = np.full((len(histories), max(map(len, histories))), -1, dtype=np.int64)
    for known, history in zip(items, histories, strict=True):
        known[: len(history)] = history
    return torch.from_numpy(items), torch.tensor([[len(history) - 1] for history in histories])


def main(
    data: Annotated[Path, typer.Option(help="The Amazon-style files.")],
    workdir: Annotated[Path | None, typer.Option(help="A finished run, whose trained model is measured too.")] = None,
    growth: Annotated[bool, typer.Option(help="Measure large catalogues and wide beams instead.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
    plot: Annotated[Path | None, typer.Option(help="With --growth: draw it there (PNG).")] = None,
) -> None:
    """Compare decoding with the peers, or measure how it grows."""
    set_up_logging()
    one_core()
    rows = grow(plot) if growth else compare(data, workdir)
    if json_file:
        write_rows(json_file, rows)


def compare(data: Path, workdir: Path | None) -> list[dict[str, Any]]:
    """Ours alone, then beside each peer for each beam."""
    sequences = read_histories(data)
    histories = histories_of(sequences, USERS)
    codes = semantic_ids(data, sequences.item_ids)
    networks = {"TIGER": Network(ours(codes, TIGER)), "S²GR": Network(ours(codes, PAPER_FORM))}
    rows = [entry for name, network in networks.items() for entry in alone(name, network, histories)]
    if workdir is not None:
        rows += trained(workdir)
    rows.append(row("peak memory of all of this, GB", _peak()))
    peers = _peers(codes, histories[:PEER_USERS])
    long = [np.resize(history, HISTORY) for history in histories]
    for beam in BEAMS:
        contenders: dict[str, Work] = {
            name: (USERS, partial(network.decode, histories, beam)) for name, network in networks.items()
        }
        contenders |= {name: (PEER_USERS, search(beam)) for name, search in peers.items()}
        if beam == 20:
            contenders |= {
                f"{name}, long": (USERS, partial(network.decode, long, beam)) for name, network in networks.items()
            }
        found = rates(contenders, ROUNDS)
        rows.append(row(f"S²GR beside our TIGER, beam {beam}, users/s", found["S²GR"], found["TIGER"]))
        if beam == 20:
            name = f"S²GR beside our TIGER, beam 20, {HISTORY} items of history, users/s"
            rows.append(row(name, found["S²GR, long"], found["TIGER, long"]))
        for name in networks:
            rows += [row(f"{name} beside {other}, beam {beam}, users/s", found[name], found[other]) for other in peers]
    _print(rows)
    return rows


def alone(name: str, network: Network, histories: Sequence[History]) -> list[dict[str, Any]]:
    """One user's latency, and how often the beam's ten best are the catalogue's."""
    typical, slow = latencies(lambda call: network.decode([histories[call]], 20), LATENCY_CALLS)
    rows = [row(f"{name}: one user alone, beam 20, milliseconds", typical, p99=slow)]
    few = histories[:EXACT_USERS]
    exact = [network.exact_top_10(history) for history in few]
    for beam in (20, 50, 200):
        found = [set(network.decode([history], beam)[0].items[0, :10].tolist()) for history in few]
        shares = [len(own & best) / 10 for own, best in zip(found, exact, strict=True)]
        all_ten = sum(share == 1 for share in shares)
        mean = sum(shares) / len(shares)
        rows.append(row(f"{name}: share of the exact top 10 in the beam's, beam {beam}", mean, users_with_all=all_ten))
    return rows


def trained(workdir: Path) -> list[dict[str, Any]]:
    """The trained model of a finished run on its own users: also what bf16 changes."""
    workspace = Workspace(workdir)
    recommender = Recommender.load(workspace, Params(runtime=Runtime(threads=1, device="cpu")))
    network = Network(recommender.model)
    histories = histories_of(load_sequences(workspace.events, workspace.items), USERS)
    decode = partial(network.decode, histories, 20)
    found = rates({"fp32": (USERS, decode), "bf16": (USERS, lambda: in_bf16(decode))}, ROUNDS)
    exact, rounded = (torch.cat([beam.items[:, :10] for beam in found]) for found in (decode(), in_bf16(decode)))
    same = (exact.sort(1).values == rounded.sort(1).values).all(1).float().mean().item()
    return [
        row("trained model, beam 20, users/s", found["fp32"]),
        row("trained model, bf16 beside fp32, beam 20, users/s", found["bf16"], found["fp32"]),
        row("trained model: users with the same top 10 in bf16 as in fp32", same, users=USERS),
        *alone("trained model", network, histories),
    ]


def in_bf16(decode: Callable[[], list[Beam]]) -> list[Beam]:
    with torch.autocast("cpu", torch.bfloat16):
        return decode()


def _peers(codes: IntArray, histories: list[History]) -> dict[str, Callable[[int], Callable[[], None]]]:
    """For each peer that is installed: a beam's width → what decodes the histories."""
    found: dict[str, Callable[[int], Callable[[], None]]] = {}
    for name, path, contender in (
        ("cornac", "cornac.models.tiger.tiger", Cornac),
        ("torch-rechub", "torch_rechub.models.generative.tiger", Rechub),
    ):
        if module := peer(path):
            found[name] = partial(contender(module, with_digit(codes)).search, histories=histories)
            found[f"{name} without a fourth digit"] = partial(contender(module, codes).search, histories=histories)
    return found


def grow(plot: Path | None) -> list[dict[str, Any]]:
    """Users per second against the size of the catalogue and the width of the beam, S²GR, random semantic IDs."""
    rows = []
    generator = np.random.default_rng(0)
    for items in GROWTH_ITEMS:
        network = Network(ours(random_codes(items), PAPER_FORM))
        for beam in GROWTH_BEAMS:
            users = 64 if beam <= 50 else 8
            histories = [generator.integers(0, items, 8) for _ in range(users)]
            found = rates({"": (users, partial(network.decode, histories, beam))}, 2)[""]
            rows.append(row(f"{items:,} items, beam {beam}, users/s", found, items=items, beam=beam))
            log.info("%s: %.1f", rows[-1]["name"], found)
    _print(rows)
    print(f"peak memory {_peak():.2f} GB")
    if plot is not None:
        draw(rows, plot)
    return rows


def draw(rows: Sequence[dict[str, Any]], plot: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for items in GROWTH_ITEMS:
        own = [entry for entry in rows if entry["items"] == items]
        seconds = [1000 / entry["ours"] for entry in own]
        axes.loglog([entry["beam"] for entry in own], seconds, marker="o", label=f"{items:,} items")
    axes.set(xlabel="beam", ylabel="milliseconds of one core per user", title="Decoding, S²GR 4 + 4 layers")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(plot, dpi=130)
    pyplot.close(figure)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("what", "ours", "peer", "ratio", box=None)
    for entry in rows:
        more = f" (p99 {entry['p99']:.1f})" if "p99" in entry else ""
        more += f" (all ten: {entry['users_with_all']} of {EXACT_USERS} users)" if "users_with_all" in entry else ""
        peer_figure, ratio = (f"{entry[key]:.4g}" if entry[key] else "" for key in ("peer", "ratio"))
        table.add_row(entry["name"], f"{entry['ours']:.4g}{more}", peer_figure, ratio)
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
