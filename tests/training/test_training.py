"""The shared loop: resumes exactly, keeps the best epoch, stops on NaN."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from s2gr.errors import UserError
from s2gr.stopwatch import stopwatch
from s2gr.training import Plan, Row, fit, warmup_cosine, write_curve


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.dropout = nn.Linear(3, 1), nn.Dropout(0.5)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.layer(self.dropout(batch)) - batch.sum(1, keepdim=True)).square().mean()}


def batches(epoch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(epoch)
    return [torch.randn(8, 3, generator=generator) for _ in range(5)]


def train(folder: Path, fingerprint: str = "f", **changes: object) -> tuple[Regression, list[Row]]:
    plan = Plan(**{"description": "t", "epochs": 4, "batches": batches, "schedule": warmup_cosine(0.2), **changes})
    model = Regression()
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    rows = fit(Fabric(accelerator="cpu", devices=1), model, optimizer, plan, folder / "c.safetensors", fingerprint)
    return model, rows


class Killed(BaseException):
    pass


def killing(after: int) -> Callable[[int], list[Tensor]]:
    def cut(epoch: int) -> list[Tensor]:
        made = batches(epoch)
        if epoch == after:
            made[2] = None  # type: ignore[call-overload]
        return made

    return cut


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_run_killed_in_any_epoch_ends_like_an_undisturbed_one(tmp_path: Path, epoch: int) -> None:
    whole, rows = train(tmp_path / "a")
    with pytest.raises(Exception, match="NoneType"):
        train(tmp_path / "b", batches=killing(epoch))
    assert (tmp_path / "b/c.safetensors").exists() == (epoch > 0)
    resumed, resumed_rows = train(tmp_path / "b")
    assert torch.equal(whole.layer.weight, resumed.layer.weight)
    assert rows == resumed_rows


def test_the_time_of_a_resumed_run_counts_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(time, "process_time", lambda: float(next(clock)))
    with pytest.raises(Exception, match="NoneType"), stopwatch():
        train(tmp_path, batches=killing(2))  # 0 when it starts, 1 and 2 after the epochs
    with stopwatch() as watch:  # 3
        train(tmp_path)  # 4 and 5
        assert watch.read().cpu_seconds == 2.0 + (6 - 3)
    with stopwatch() as watch:
        assert watch.read().cpu_seconds == 1.0


def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="NoneType"):
        train(tmp_path, batches=killing(2))
    other, _ = train(tmp_path, fingerprint="g")
    fresh, _ = train(tmp_path / "fresh")
    assert torch.equal(other.layer.weight, fresh.layer.weight)


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "c.safetensors").write_bytes(b"half a file")
    model, _ = train(tmp_path)
    fresh, _ = train(tmp_path / "fresh")
    assert torch.equal(model.layer.weight, fresh.layer.weight)


def test_keeps_the_best_epoch_and_stops_when_it_is_long_ago(tmp_path: Path) -> None:
    scores, kept = iter([0.1, 0.5, 0.3, 0.2, 0.9]), []

    class Recorded(Regression):
        pass

    def validate() -> Row:
        kept.append(model.layer.weight.detach().clone())
        return {"score": next(scores)}

    model = Recorded()
    plan = Plan("t", 9, batches, validate=validate, criterion="score", patience=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    rows = fit(Fabric(accelerator="cpu", devices=1), model, optimizer, plan, tmp_path / "c", "f")
    assert [row["score"] for row in rows] == [0.1, 0.5, 0.3, 0.2]
    assert torch.equal(model.layer.weight, kept[1])
    # Killed before what comes after the training was safe: it has stopped, and stays so.
    again = Recorded()
    optimizer = torch.optim.AdamW(again.parameters(), lr=0.05)
    assert fit(Fabric(accelerator="cpu", devices=1), again, optimizer, plan, tmp_path / "c", "f") == rows
    assert torch.equal(again.layer.weight, kept[1])
    assert len(kept) == 4


def test_a_loss_that_is_not_finite_stops_with_epoch_and_batch(tmp_path: Path) -> None:
    def poisoned(epoch: int) -> list[Tensor]:
        made = batches(epoch)
        if epoch == 1:
            made[3][0, 0] = torch.nan
        return made

    with pytest.raises(UserError, match="epoch 2, batch 4 of 5"):
        train(tmp_path, batches=poisoned)


def test_epoch_loss_is_the_mean_over_its_batches(tmp_path: Path) -> None:
    model = Regression()
    model.dropout.p = 0.0
    expected = sum(float(model(batch)["loss"].detach()) for batch in batches(0)) / 5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    rows = fit(Fabric(accelerator="cpu", devices=1), model, optimizer, Plan("t", 1, batches), tmp_path / "c", "f")
    assert rows[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_schedule_warms_up_and_decays_to_zero() -> None:
    schedule = warmup_cosine(0.1)
    assert [schedule(x) for x in (0.0, 0.05, 0.1, 1.0)] == pytest.approx([0, 0.5, 1, 0])
    assert schedule(0.55) == pytest.approx(0.5)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_no_step_is_wasted_at_a_rate_of_zero(tmp_path: Path, steps: int) -> None:
    model, rates = Regression(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    plan = Plan("t", 1, lambda epoch: batches(epoch)[:steps], schedule=warmup_cosine(0.5))
    fit(Fabric(accelerator="cpu", devices=1), model, optimizer, plan, tmp_path / "c", "f")
    assert rates == pytest.approx([2 * warmup_cosine(0.5)((step + 0.5) / steps) for step in range(steps)])
    assert min(rates) > 0


def test_curve_is_a_table_with_a_line_per_epoch(tmp_path: Path) -> None:
    write_curve([{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}], tmp_path / "curve.csv")
    assert (tmp_path / "curve.csv").read_text() == "epoch,loss\n1,0.5\n2,0.25\n"
