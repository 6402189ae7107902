"""What the drift check found, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_checks.result import CheckResult

_STYLES = {"alarm": "bold red", "moved": "yellow", "settled": "yellow", "as before": "green", "not measured": "dim"}
_NAMES = {
    "without_sid": "share of events without SID",
    "new_items_error": "P(new item fits worse)",
    "thinking_entropy_move": "thinking entropy moved by",
    "recall_lost": "share of Recall@10 lost",
}
_MEANING = {
    "moved": "moved: beyond chance, and less than is worth an alarm",
    "settled": "settled: so were the newest events that the model has learned from already",
}


def print_drift(results: list[CheckResult], console: Console) -> None:
    """A row per signal: what was observed, what chance gives, what would be an alarm, and the verdict."""
    told = results[0].metadata
    if "current_events" not in told:
        console.print(Text(str(told["observed"])), soft_wrap=True)
        return
    since = (
        "the training events before" if told["published"] == "unpublished" else f"the log of model {told['published']}"
    )
    table = Table(title=f"Drift since {since}", title_justify="left")
    for column in ("signal", "observed", "by chance", "alarm above", "verdict"):
        table.add_column(column, justify="left" if column in ("signal", "verdict") else "right")
    verdicts = []
    for result in results:
        names = [key.removesuffix("_verdict") for key in result.metadata if key.endswith("_verdict")]
        for name in names:
            verdict = str(result.metadata[f"{name}_verdict"])
            figures = [result.metadata[key] for key in (name, f"{name}_chance", f"{name}_threshold")]
            table.add_row(
                _NAMES.get(name, name.replace("_", " ")),
                *(f"{float(str(figure)):.4f}" for figure in figures),
                _styled(verdict),
            )
            verdicts.append(verdict)
        if not names:
            table.add_row(result.name.replace("_", " "), "", "", "", _styled("not measured"))
    windows = (
        f"{side}: {told[f'{side}_events']:,} events from {_day(told[f'{side}_from'])} to {_day(told[f'{side}_to'])}"
        for side in ("reference", "current")
    )
    console.print("; ".join(windows), soft_wrap=True)
    if "cut" in told:
        console.print(Text(f"left out: {told['cut']}"), soft_wrap=True)
    if told["ahead"] != "none":
        console.print(f"left out: times ahead of this machine's clock, the last {told['ahead']}", soft_wrap=True)
    console.print(table)
    for verdict in dict.fromkeys(verdicts):
        if verdict in _MEANING:
            console.print(_MEANING[verdict], soft_wrap=True)
    for reason in dict.fromkeys(
        str(r.metadata["observed"]) for r in results if r.metadata["verdict"] == "not measured"
    ):
        console.print(Text(reason), soft_wrap=True)
    for result in results:
        if result.metadata["verdict"] == "alarm":
            console.print(Text.assemble((result.name, "bold red"), f": {result.description}"), soft_wrap=True)
            moved = next((value for key, value in result.metadata.items() if key.endswith("_moved")), None)
            if isinstance(moved, list) and moved:
                console.print(Text(f"  moved most: {', '.join(map(str, moved))}"), soft_wrap=True)
    if "report" in told:
        console.print(Text(f"report: {told['report']}"), soft_wrap=True)


def _styled(verdict: str) -> str:
    # Not colour alone: the word must tell it in a log file too.
    return f"[{_STYLES[verdict]}]{verdict.upper() if verdict == 'alarm' else verdict}[/]"


def _day(instant: object) -> str:
    return str(instant)[:10]
