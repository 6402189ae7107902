"""codebook → sids → reasoner as stages: repeatable to the byte, blind to the test split, safe to kill."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from s2gr.embeddings import embedding_table, unit_rows
from s2gr.errors import UserError
from s2gr.params import load_params
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_json, read_table, write_table

USERS, ITEMS = 24, 40
OVERLAY = {
    "runtime": {"threads": 1},
    "codebook": {"kind": "coba", "levels": 3, "codes": 8, "latent_dim": 4, "hidden": [16], "epochs": 5},
    "reasoner": {
        "dim": 16,
        "heads": 2,
        "feed_forward": 16,
        "clusters": 4,
        "epochs": 3,
        "batch_size": 32,
        "history": 6,
    },
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A random log and random vectors, as the earlier stages leave them."""
    workspace = Workspace(tmp_path / "w")
    generator = np.random.default_rng(0)
    item_ids = [f"i{item:02}" for item in range(ITEMS)]
    vectors = unit_rows(generator.normal(size=(ITEMS, 12)).astype(np.float32))
    write_table(pa.table({"item_id": item_ids, "title": item_ids, "text": item_ids}), workspace.items)
    for path in (workspace.content, workspace.aligned):
        write_table(embedding_table(item_ids, vectors), path)
    pairs = {"item_a": ["i00", "i01"], "item_b": ["i01", "i02"], "count": [3, 1]}
    write_table(pa.table(pairs), workspace.cooccurrence)
    lengths = generator.integers(5, 15, USERS)
    split = [["train"] * (length - 2) + ["validation", "test"] for length in lengths]
    columns = {
        "user_id": np.repeat([f"u{user:02}" for user in range(USERS)], lengths),
        "item_id": generator.choice(item_ids, lengths.sum()),
        "position": np.concatenate([np.arange(length) for length in lengths]).astype(np.int32),
        "split": np.concatenate(split),
    }
    write_table(pa.table(columns), workspace.events)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(OVERLAY))
    return workspace


def run(workspace: Workspace, *stages: str) -> None:
    params = load_params([workspace.root.parent / "params.yaml"])
    for stage in stages:
        execute(stage, params, workspace)


def digests(workspace: Workspace) -> dict[str, str]:
    files = [*(workspace.root / "models").rglob("*"), *(workspace.root / "reports").rglob("*"), workspace.sids]
    return {
        str(path.relative_to(workspace.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


def test_same_inputs_and_params_give_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    copy = Workspace(tmp_path / "again")
    shutil.copytree(workspace.root, copy.root)
    for each in (workspace, copy):
        run(each, "codebook", "sids", "reasoner")
    found = digests(workspace)
    assert {"models/reasoner/model.safetensors", "models/codebook/model.safetensors", "data/sids.parquet"} <= set(found)
    assert found == digests(copy)


def test_the_test_split_reaches_nothing_before_the_evaluation(workspace: Workspace) -> None:
    run(workspace, "codebook", "sids", "reasoner")
    before = digests(workspace)
    events = read_table(workspace.events)
    items = np.array(events["item_id"].to_pylist())
    tests = np.array(events["split"].to_pylist()) == "test"
    items[tests] = np.roll(items[tests], 1)
    changed = events.set_column(events.column_names.index("item_id"), "item_id", pa.array(items))
    assert changed != events
    write_table(changed, workspace.events)
    run(workspace, "codebook", "sids", "reasoner")
    assert digests(workspace) == before


def test_sids_are_unique_and_reported(workspace: Workspace) -> None:
    run(workspace, "codebook", "sids")
    table = read_table(workspace.sids)
    codes = np.stack([table[f"code_{level}"].to_numpy() for level in (1, 2, 3)], axis=1)
    assert len(np.unique(codes, axis=0)) == ITEMS
    report = read_json(workspace.report("sids"))
    assert report["collisions"]["after"] == 0
    usage = workspace.plot("code_usage").read_text().splitlines()
    assert len(usage) == 1 + 3 * 8
    assert sum(int(line.split(",")[2]) for line in usage[1:]) == 3 * ITEMS


@pytest.mark.parametrize(("stage", "devices"), [("codebook", 1), ("reasoner", 1), ("reasoner", 2)])
def test_a_stage_killed_in_training_resumes_and_ends_with_the_same_bytes(
    workspace: Workspace, tmp_path: Path, stage: str, devices: int
) -> None:
    overlay = {**OVERLAY, "codebook": {**OVERLAY["codebook"], "epochs": 150}}
    overlay["reasoner"] = {**OVERLAY["reasoner"], "epochs": 10, "patience": 10}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlay))
    if stage == "reasoner":
        run(workspace, "codebook", "sids")
    overlay["runtime"] = {"threads": 1, "devices": devices, "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlay))
    undisturbed = Workspace(tmp_path / "undisturbed")
    shutil.copytree(workspace.root, undisturbed.root)
    command = [sys.executable, "-m", f"s2gr.{stage}", "--params", str(tmp_path / "params.yaml"), "--workdir"]
    subprocess.run([*command, str(undisturbed.root)], check=True, capture_output=True, timeout=120)

    command.append(str(workspace.root))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    checkpoint = workspace.unfinished(stage) / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert process.poll() is None, "the stage ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not workspace.report(stage).exists()
    assert not (workspace.root / "models" / stage).exists()

    resumed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "resuming after epoch" in resumed.stderr
    ours = {name: digest for name, digest in digests(workspace).items() if stage in name}
    assert ours == {name: digest for name, digest in digests(undisturbed).items() if stage in name}
    assert not checkpoint.exists()


def test_equal_embeddings_are_refused(workspace: Workspace) -> None:
    ids = read_table(workspace.aligned)["item_id"].to_pylist()
    write_table(embedding_table(ids, np.full((ITEMS, 4), 0.5, np.float32)), workspace.aligned)
    with pytest.raises(UserError, match=f"all {ITEMS} embeddings are equal"):
        run(workspace, "codebook")


def test_training_data_parallel_gives_one_model(workspace: Workspace, tmp_path: Path) -> None:
    run(workspace, "codebook", "sids")
    overlay = {**OVERLAY, "runtime": {"threads": 1, "devices": 2, "device": "cpu"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlay))
    files = ["--params", str(tmp_path / "params.yaml"), "--workdir", str(workspace.root)]
    subprocess.run([sys.executable, "-m", "s2gr.reasoner", *files], check=True, capture_output=True, timeout=120)
    assert (workspace.reasoner / "model.safetensors").exists()
    assert not any((workspace.state / "staging").iterdir())


def test_mixed_precision_trains_and_ends_near_full_precision(workspace: Workspace, tmp_path: Path) -> None:
    run(workspace, "codebook", "sids", "reasoner")
    full = {stage: read_json(workspace.report(stage))["loss"] for stage in ("codebook", "reasoner")}
    overlay = {**OVERLAY, "runtime": {"threads": 1, "precision": "bf16-mixed"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlay))
    # The reasoner first: of another codebook, the clusters are others, and so is the loss, however precise it is.
    run(workspace, "reasoner", "codebook")
    for stage, loss in full.items():
        rounded = read_json(workspace.report(stage))["loss"]
        assert rounded != loss
        assert rounded == pytest.approx(loss, rel=0.01)
