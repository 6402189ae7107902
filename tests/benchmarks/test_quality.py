"""The quality benchmark on a small log: every system runs, is compared over the same users, and is not run again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml

from benchmarks import quality, quality_records, quality_tables
from s2gr.metrics import NOT_RANKED
from s2gr.params import Params

USERS, ITEMS = 30, 40
RECIPE = {
    "source": {"kind": "files", "item_columns": {"text": ["title"]}},
    "content": {"dim": 4},
    "codebook": {"levels": 3, "codes": 6, "latent_dim": 4, "hidden": [8], "epochs": 2},
    "reasoner": {"clusters": 2, "epochs": 2, "validation_users": 20},
    "evaluation": {"control_users": 10, "bootstrap": 100},
}
SMALL = [f"reasoner.{key}={value}" for key, value in (("dim", 16), ("heads", 2), ("feed_forward", 16))] + [
    f"reasoner.{stack}_layers=2" for stack in ("encoder", "decoder")
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality")
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS), 12)
    items = np.concatenate([generator.permutation(ITEMS)[:12] for _ in range(USERS)])
    log = {"user_id": [f"u{user:02}" for user in users], "item_id": [f"i{item:02}" for item in items]}
    (folder / "data").mkdir()
    pq.write_table(pa.table(log | {"timestamp": np.arange(len(users)) + 10**9}), folder / "data/interactions.parquet")
    words = [
        f"{kind} {colour} {number}"
        for kind in ("soap", "brush")
        for colour in ("red", "blue")
        for number in "abcdefghij"
    ]
    catalogue = {"item_id": [f"i{item:02}" for item in range(ITEMS)], "title": words}
    pq.write_table(pa.table(catalogue), folder / "data/items.parquet")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder


RANKS = {"full": [0, 9, 10, NOT_RANKED], "walk": [3, 2, 1, 0]}


def run(data: Path, systems: str, folder: str = "data", seeds: int = 1, recorded: bool = False) -> str:
    results = data / "results.md"
    quality.main(
        data=data / folder,
        recipe=data / "recipe.yaml",
        seeds=seeds,
        recorded=recorded,
        workdir=data / "runs",
        systems=systems,
        variants="",
        settings=SMALL,
        jobs=2,
        name="small",
        records=data / "records",
        results=results,
        plot=data / "rankings.png",
        json=data / "rows.json",
    )
    return results.read_text(encoding="utf-8")


def test_systems_are_compared_and_finished_runs_are_kept(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "results.md").write_text("# Results\n\nBy hand.\n")
    text = run(data, "full,sasrec")
    assert text.startswith("# Results\n\nBy hand.\n\n<!-- quality:small -->")
    for title in ("S²GR, full (the default)", "… its SID beam alone", "SASRec + walk, mixed", "popularity"):
        assert f"| {title} |" in text or f"| **{title}**" in text
    assert "S²GR, full (the default) against SASRec, full cross-entropy" in text
    rows = json.loads((data / "rows.json").read_text())
    assert {row["users"] for row in rows} == {USERS}
    assert (data / "rankings.png").read_bytes().startswith(b"\x89PNG")
    shutil.rmtree(data / "runs")
    # As on another machine, which has the records and the data elsewhere.
    shutil.move(data / "data", data / "elsewhere")
    again = run(data, "full,sasrec", "elsewhere")
    assert not (data / "runs").exists()
    assert again.count("<!-- quality:small -->") == 1
    assert again == text
    # Asked for more than there is, what is there can be had without running anything.
    assert run(data, "full,sasrec,tiger", "elsewhere", seeds=2, recorded=True) == text
    with pytest.raises(typer.BadParameter, match="nothing that was asked for is recorded"):
        run(data, "tiger", "elsewhere", recorded=True)


def record(system: str, seed: int, ranks: list[int], variant: str = "") -> quality_records.Record:
    found = {system: {suffix: np.array(ranks) for suffix in ("", "_seen_filtered")}}
    told = (variant, quality_records.comparable(Params()), "abc", "a machine", "2026-11-25")
    return quality_records.Record(system, seed, *told, {"parameters": 1, "minutes": 1.0}, {}, None, found)


def test_a_variant_says_how_many_users_and_seeds_are_behind_it() -> None:
    found = [record("full", 0, [1, 2]), record("full", 1, [1, 3]), record("full", 0, [1, 2, 3], "temporal split")]
    text = quality_tables.markdown("small", quality_tables.Table(quality.titles(), found), quality.trials(), found)
    assert text.startswith("2 users, 2 seeds (mean ± sd), commit abc")
    assert "**With temporal split**, without items already seen: 3 users, 1 seed" in text


def test_rows_with_fewer_seeds_say_so_and_are_compared_over_those_that_both_have() -> None:
    # Seed 1 of TIGER, which the other has not, would turn the verdict.
    found = [record("tiger", 0, [4, 4]), record("tiger", 1, [0, 0]), record("paper", 0, [1, 1])]
    table = quality_tables.Table(quality.titles(), found)
    text = quality_tables.markdown("small", table, quality.trials(), found)
    assert "| S²GR, the paper's form (1 of 2 seeds) |" in text
    assert "| TIGER, same layers and width |" in text
    ours, others = table.paired("paper", "tiger", "")
    assert ours.shape == others.shape == (1, 2, 4)
    assert "*better*, 1 of 1 seeds" in text


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    ranks = {row: {suffix: np.array(found) for suffix in ("", "_seen_filtered")} for row, found in RANKS.items()}
    params = quality_records.comparable(Params())
    made = ("abc", "a machine", "2026-11-25")
    record = quality_records.Record("full", 1, "", params, *made, {"minutes": 1.5}, {}, None, ranks)
    quality_records.write(record, tmp_path / "full-1.parquet")
    found = quality_records.read(tmp_path / "full-1.parquet")
    assert {**vars(found), "ranks": None} == {**vars(record), "ranks": None}
    assert found.ranks["full"][""].tolist() == [0, 9, NOT_RANKED, NOT_RANKED]
    assert [path.name for path in tmp_path.iterdir()] == ["full-1.parquet"]


def test_systems_differ_where_their_names_say_so() -> None:
    params = {name: system.params(None, []) for name, system in quality.SYSTEMS.items()}
    assert params["tiger"].reasoner.thinking == params["paper_no_thinking"].reasoner.thinking == "none"
    assert params["tiger"].codebook.kind == "rqvae"
    assert params["full"].reasoner.ranking == "fused"
    paper = params["paper"].reasoner
    for name, thinking in (("paper_pause", "pause"), ("paper_before", "before"), ("paper_no_thinking", "none")):
        assert params[name].reasoner == paper.model_copy(update={"thinking": thinking})
        assert params[name].codebook == params["paper"].codebook
    # Equal size: the same widths and depths.
    assert {getattr(paper, key) for key in ("dim", "feed_forward")} == {128, 512}
    for key in ("dim", "heads", "feed_forward", "encoder_layers", "decoder_layers"):
        assert getattr(params["tiger"].reasoner, key) == getattr(paper, key)


def test_a_block_is_replaced_and_what_stands_around_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("above\n\n<!-- quality:a -->\nold\n<!-- end of quality:a -->\n\nbelow\n")
    quality_tables.replace_block(path, "a", "new")
    quality_tables.replace_block(path, "b", "other")
    assert path.read_text() == (
        "above\n\n<!-- quality:a -->\nnew\n<!-- end of quality:a -->\n\nbelow\n\n"
        "<!-- quality:b -->\nother\n<!-- end of quality:b -->\n"
    )
