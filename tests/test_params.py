"""Parameters: overlays, one-line errors, and defaults that equal params.yaml."""

import json
from pathlib import Path

import pytest
import yaml

from s2gr.errors import UserError
from s2gr.params import Params, load_params

ROOT = Path(__file__).parents[1]


def test_params_yaml_equals_the_defaults() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == json.loads(Params().model_dump_json())


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_a_valid_overlay(recipe: Path) -> None:
    assert load_params([ROOT / "params.yaml", recipe]) != Params()


def test_later_files_and_settings_win_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("reasoner: {dim: 64, heads: 2}\nevents: {k_core: 3}\n")
    (tmp_path / "b.yaml").write_text("reasoner: {heads: 8}\n")
    params = load_params([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["events.k_core=2", "source.path=x/y"])
    assert (params.reasoner.dim, params.reasoner.heads, params.events.k_core) == (64, 8, 2)
    assert params.source.path == Path("x/y")
    assert params.reasoner.epochs == Params().reasoner.epochs


def test_overlays_do_not_change_one_another(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("reasoner: {dim: 64}\n")
    load_params([tmp_path / "a.yaml"], ["reasoner.heads=2"])
    assert load_params([tmp_path / "a.yaml"]).reasoner.heads == Params().reasoner.heads


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nonsense.key=1", "there is no parameter `nonsense`; known here: runtime, source, events"),
        ("events.kcore=1", "there is no parameter `events.kcore`; known here: k_core, ties"),
        ("events.k_core=0", "events.k_core: input should be greater than or equal to 1, found 0"),
        ("events.k_core=many", "events.k_core: input should be a valid integer.* found 'many'"),
        ("reasoner.dim=98", r"`dim` \(98\) must be a multiple of `heads` \(4\)"),
        ("reasoner.dropout=0.999", "reasoner.dropout: input should be less than or equal to 0.95, found 0.999"),
        ("reasoner.clusters=300", r"reasoner.clusters \(300\) must not exceed codebook.codes \(256\)"),
        ("content.kind=precomputed", "needs `content.embeddings`"),
        (
            "content={kind: precomputed, embeddings: e.parquet, frozen: models/content}",
            "content: `content.frozen` is for kind `tfidf`; with kind `precomputed` set it to null",
        ),
        ("sids.balanced=true", "`sids.balanced` is for codebook.kind `coba`.* with `rqkmeans` set it to false"),
        ("evaluation.beams=[5]", "every beam must be at least"),
        ("no-value", "--set: expected section.key=value, found 'no-value'"),
        ("events.k_core=2020-13-45", "--set 'events.k_core=2020-13-45': the value is not valid YAML"),
        ("events.k_core=" + "[" * 2000, "the value is not valid YAML"),
        ("retraining.cooldown_hours=99999999", "retraining.cooldown_hours: .* less than or equal to 876000"),
        ("cooccurrence.window_hours=1.0e+300", "cooccurrence.window_hours: .* less than or equal to 876000"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_params([], [setting])
    assert "\n" not in str(caught.value)


def test_balanced_semantic_ids_go_with_a_balanced_codebook() -> None:
    assert load_params([], ["codebook.kind=coba", "sids.balanced=true"]).sids.balanced


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reasoner: [1", "is not readable YAML"),
        ("events: {k_core: 2020-13-45}", "is not readable YAML: month must be in"),
        ("events: " + "[" * 2000, "is not readable YAML"),
        ("- a\n- b\n", "expected sections such as `events:`, found list"),
        ("reasoner: 3\n", "reasoner: .* found 3"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_params([tmp_path / "p.yaml"])
    assert "p.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.yaml does not exist; give --params FILE"):
        load_params([tmp_path / "gone.yaml"])
