from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from s2gr.params import Runtime
from s2gr.runtime import side_by_side, start_fabric

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("instructions", "told"),
    [({"avx512_bf16": False, "amx_bf16": False}, True), ({"avx512_bf16": True, "amx_bf16": False}, False)],
)
def test_bf16_on_a_processor_without_it_is_told(
    instructions: dict[str, bool], told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", **instructions})
    with caplog.at_level("WARNING", "s2gr"):
        start_fabric(Runtime(device="cpu", precision="bf16-mixed"))
    assert ("32-true" in caplog.text) == told


def test_results_come_in_the_order_of_the_batches_each_from_one_thread() -> None:
    found = list(side_by_side(lambda batch: (batch, torch.get_num_threads()), range(20), CPU, Runtime(), 0))
    assert found == [(batch, 1) for batch in range(20)]
    assert torch.get_num_threads() == 3


def test_an_error_in_a_batch_is_raised_and_the_threads_are_given_back() -> None:
    def fails(batch: int) -> int:
        if batch == 2:
            raise ValueError("the third")
        return batch

    with pytest.raises(ValueError, match="the third"):
        list(side_by_side(fails, range(100), CPU, Runtime(), 0))
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("memory_gb", "at_a_time"), [(8.0, 3), (2.5, 2), (0.5, 1)])
def test_as_many_batches_at_a_time_as_memory_holds_and_at_least_one(memory_gb: float, at_a_time: int) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(batch: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return batch

    assert list(side_by_side(work, range(20), CPU, Runtime(memory_gb=memory_gb), 2**30)) == list(range(20))
    assert most == at_a_time


def test_batches_are_taken_as_they_are_needed() -> None:
    batches = iter(range(100))
    results = side_by_side(lambda batch: batch, batches, CPU, Runtime(), 0)
    assert next(results) == 0
    assert next(batches) <= 7
