"""Time of one core: contenders take turns, so that what else the machine does hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from s2gr.params import Runtime
from s2gr.runtime import prepare_torch

# So much work, and what does it.
Work = tuple[int, Callable[[], object]]


def one_core() -> None:
    """One thread, and all else as the pipeline's stages set torch up."""
    prepare_torch(Runtime(threads=1, device="cpu"))


def rates(contenders: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Work per second of CPU time: the median over ``rounds``, in each of which every contender runs once."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _, run in contenders.values():
        run()
    for _ in range(rounds):
        for name, (amount, run) in contenders.items():
            start = time.process_time()
            run()
            found[name].append(amount / (time.process_time() - start))
    return {name: statistics.median(seen) for name, seen in found.items()}


def latencies(run: Callable[[int], object], calls: int) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds on the clock of ``run(0) … run(calls − 1)``."""
    times = []
    for call in [0] * 5 + list(range(calls)):
        start = time.perf_counter()
        run(call)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[5:]), statistics.quantiles(times[5:], n=100)[98]
