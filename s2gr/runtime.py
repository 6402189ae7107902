"""Device, precision, threads and seed of the stages that use torch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.params import Runtime

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy

T = TypeVar("T")
Result = TypeVar("Result")


def prepare_torch(runtime: Runtime) -> torch.device:
    """Set threads and determinism; the device that the configuration asks for.

    Raises: UserError: if ``runtime.device`` is ``cuda`` and there is none.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise UserError("runtime.device is `cuda`, but torch sees no GPU; use `auto` or `cpu`")
    # cuBLAS needs this set before its first call to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The cores that this process may use, which need not be all of them.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(runtime.threads or cores)
    # As `use_deterministic_algorithms(True)`, which for the sake of `torch.compile` imports the compiler: four seconds.
    torch.set_deterministic_debug_mode("error")
    # Filling fresh memory guards against reading it; it would cost 3 % of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device("cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu")


def start_fabric(runtime: Runtime) -> Fabric:
    """A launched Fabric for training, and a seeded torch. Raises as :func:`prepare_torch`."""
    # Imported here, as it takes seconds that serving has not.
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    device = prepare_torch(runtime)
    if device.type == "cpu" and runtime.precision == "bf16-mixed" and not processor_has_bf16():
        log.warning("this processor has no bf16 instructions: runtime.precision `32-true` is many times faster here")
    strategy: str | Strategy = "auto"
    if runtime.devices > 1:
        # Unused parameters: the losses that are switched off leave some heads without a gradient. Buffers are the same
        # everywhere by themselves; the first process's, sent before each step, would wipe out what others counted.
        strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    fabric = Fabric(accelerator=device.type, devices=runtime.devices, precision=runtime.precision, strategy=strategy)
    fabric.launch()
    torch.manual_seed(runtime.seed)
    return fabric


def processor_has_bf16() -> bool:
    """Whether it multiplies bf16 itself; without, one matrix product took 58 times as long as in fp32 (AVX2)."""
    known = torch.cpu.get_capabilities()
    return known.get("architecture") != "x86_64" or bool(known["avx512_bf16"] or known["amx_bf16"])


def side_by_side(
    function: Callable[[T], Result], batches: Iterable[T], device: torch.device, runtime: Runtime, bytes_each: int
) -> Iterator[Result]:
    """``function`` of each batch, in their order: on a processor as many at a time as torch has threads, one for each.

    A fifth faster than one after the other on all threads, as most of what a batch needs is too small to be shared;
    and the results don't hang on the number of threads. Fewer at a time where ``runtime.memory_gb`` holds fewer.

    Args:
        bytes_each: memory that the work on one batch takes.
    """
    threads = torch.get_num_threads()
    fit = max(1, int(runtime.memory_gb * 2**30 / max(bytes_each, 1)))
    workers = min(threads, fit) if device.type == "cpu" else 1
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers)
    try:
        # So many are handed out that nobody waits for the slowest, and no more: each is held until its turn.
        handed_out: deque[Future[Result]] = deque()
        for batch in batches:
            if len(handed_out) == 2 * workers:
                yield handed_out.popleft().result()
            handed_out.append(pool.submit(function, batch))
        while handed_out:
            yield handed_out.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
