"""What people are told by alerts, and with which figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2gr.alerts import Alert, post
from s2gr.errors import UserError
from s2gr.params import Alerts, load_params
from s2gr.workspace import Workspace, read_table

if TYPE_CHECKING:
    # Not when Dagster loads its definitions: it takes torch along.
    from s2gr.publish.publishing import Verdict

Figures = Mapping[str, Any]

# Of a reason in an alert.
_LONGEST = 500


def run_link(workspace: Workspace, run_id: str) -> str:
    """Where Dagster shows a run."""
    try:
        alerts = load_params([workspace.root / "params.yaml"]).alerts
    except UserError:
        # That may be just what the alert is about: it goes out with the address of `make ui`.
        alerts = Alerts()
    return f"{alerts.dagster.rstrip('/')}/runs/{run_id}"


def drift_alarm(workspace: Workspace, version: str, figures: Mapping[str, Any], signals: Sequence[str]) -> bool:
    """Told once for each published version and set of signals."""
    link = run_link(workspace, str(figures["run"]))
    text = f"What has landed since model {version} was made is not what it was trained on: {', '.join(signals)}."
    shown = {name: value for name, value in figures.items() if name != "run"}
    return post(
        workspace,
        Alert(f"drift-{version}-{'-'.join(signals)}", "drift", "S²GR: drift", text, shown, f"{link}, or `s2gr drift`"),
    )


def refused_batches(workspace: Workspace) -> int:
    """Tell of each refused file, once for each content and the checks that it failed; how many are news.

    Not for each wording of the reason: its counts change whenever the catalogue grows.

    Raises: UserError: the ledger is damaged.
    """
    if not workspace.batches.exists():
        return 0
    rows = read_table(workspace.batches).to_pylist()
    return sum(
        post(
            workspace,
            Alert(
                "-".join(["refused", row["batch"], *(row["failed_checks"] or ())]),
                "refused",
                f"S²GR: {row['file']} was refused",
                str(row["reason"])[:_LONGEST],
                {"rows": row["rows"], "rejected": row["rejected"], "failed checks": row["failed_checks"] or []},
                "data/quarantine.parquet, and docs/operations.md on what became of a file",
            ),
        )
        for row in rows
        if row["status"] == "refused"
    )


def failed_run(workspace: Workspace, run_id: str, job: str, reason: str) -> bool:
    return post(
        workspace,
        Alert(
            f"failed-{run_id}",
            "failed",
            f"S²GR: the run of `{job}` failed",
            reason[:_LONGEST],
            look=run_link(workspace, run_id),
        ),
    )


def waiting_stage(workspace: Workspace, stage: str, attempt: str, folder: Path, said: str) -> bool:
    """Told once for each ``attempt`` at the stage, which is unique."""
    return post(
        workspace,
        Alert(
            f"waiting-{stage}-{attempt}",
            "waiting",
            f"S²GR: `{stage}` waits for another DVC",
            f"It may not begin in {folder}, as DVC says: {said[-_LONGEST:]}",
            look="docs/operations.md, Faults",
        ),
    )


def retraining_started(workspace: Workspace, identity: str, run_id: str, facts: Mapping[str, Any]) -> bool:
    asked = ", ".join(facts["signals"])
    return post(
        workspace,
        Alert(
            f"retraining-{identity}",
            "retraining",
            "S²GR: a retraining has started",
            f"Because of {asked}." if asked else "Somebody asked for it.",
            {"champion": facts["champion"] or "none", "warm start": facts["warm_start"]},
            run_link(workspace, run_id),
        ),
    )


def published(workspace: Workspace, identity: str, run_id: str, version: str, told: str, figures: Figures) -> bool:
    return post(
        workspace,
        Alert(
            f"published-{identity}",
            "published",
            f"S²GR: {version} is published and served",
            f"The challenger: {told}.",
            figures,
            f"{run_link(workspace, run_id)}; to go back: `s2gr rollback`",
        ),
    )


def rejected(workspace: Workspace, identity: str, run_id: str, champion: str, told: str, figures: Figures) -> bool:
    return post(
        workspace,
        Alert(
            f"rejected-{identity}",
            "rejected",
            "S²GR: the challenger was rejected",
            f"{told}. {champion or 'Nothing'} goes on being served.",
            figures,
            run_link(workspace, run_id),
        ),
    )


def flat(verdict: Verdict | None, churn: Mapping[str, Any] | None) -> dict[str, Any]:
    """A verdict's figures, a line each, and how many of the items in both models have another semantic ID."""
    found: dict[str, Any] = {}
    for name, value in (verdict.figures if verdict else {}).items():
        if isinstance(value, Mapping):
            span = f"[{value['low']:+.4f}, {value['high']:+.4f}]"
            pair = f"{value['champion']:.4f} → {value['challenger']:.4f}"
            found[name] = f"{pair}, {value['difference']:+.4f} {span}, {value['verdict']}"
        else:
            found[name] = value
    if churn:
        found["items with another semantic ID"] = f"{churn['sid']['raw']:.1%} of {churn['common']:,}"
    return found


def differences(verdict: Verdict | None) -> dict[str, float]:
    """Challenger less champion, for each figure that both were measured by."""
    figures = verdict.figures.items() if verdict else ()
    return {name: float(value["difference"]) for name, value in figures if isinstance(value, Mapping)}
