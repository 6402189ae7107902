"""Expectations as data, and the Great Expectations run that holds them against batches.

A batch is either a file's rows (row-level expectations: nulls, value sets) or the one row of *facts* that a DuckDB
aggregate made of a whole log (invariants that no single row shows). Great Expectations sees both as data frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_checks.result import Check, CheckResult, Metadata, Severity, outcome

if TYPE_CHECKING:
    import pandas as pd

FACTS = "facts"
# Of a fact that counts offenders, some of them.
EXAMPLES = "_examples"

Facts = dict[str, Any]

# The column that numbers rows of facts.
_ROW = "s2gr_row"

# So many offending values are shown.
_EXAMPLES = 5


@dataclass(frozen=True)
class Rule:
    """An expectation by its Great Expectations class, with the batch that it is held against."""

    check: Check
    batch: str
    expectation: str
    arguments: Mapping[str, Any]


def rule(name: str, severity: Severity, why: str, batch: str, expectation: str, **arguments: Any) -> Rule:
    return Rule(Check(name, severity, why), batch, expectation, arguments)


def between(
    name: str, severity: Severity, why: str, fact: str, low: float | None = None, high: float | None = None
) -> Rule:
    """The fact lies in ``[low, high]``."""
    limits = {"min_value": low, "max_value": high}
    return rule(name, severity, why, FACTS, "ExpectColumnValuesToBeBetween", column=fact, **limits)


def none_of(name: str, severity: Severity, why: str, fact: str) -> Rule:
    """The fact, a count of offenders, is 0."""
    return between(name, severity, why, fact, low=0, high=0)


def one_of(name: str, severity: Severity, why: str, batch: str, column: str, values: Iterable[str]) -> Rule:
    """Every value of the column is among ``values``."""
    return rule(name, severity, why, batch, "ExpectColumnValuesToBeInSet", column=column, value_set=list(values))


def type_rules(name: str, why: str, types: Mapping[str, str]) -> tuple[Rule, ...]:
    """The columns are there and have these ``types``; ``why`` may name the ``{column}`` and its ``{kind}``."""
    return tuple(
        one_of(
            f"{name}_{column}_type",
            "critical",
            why.format(column=column, kind=kind),
            FACTS,
            f"{column}_type",
            [kind],
        )
        for column, kind in types.items()
    )


def not_null(name: str, severity: Severity, why: str, batch: str, column: str) -> Rule:
    return rule(name, severity, why, batch, "ExpectColumnValuesToNotBeNull", column=column)


def validate(rules: Sequence[Rule], batches: Mapping[str, pd.DataFrame]) -> list[CheckResult]:
    """Hold ``rules`` against their batches, in their order."""
    results: dict[str, CheckResult] = {}
    for name, frame in batches.items():
        for entry, found in _held([entry for entry in rules if entry.batch == name], frame):
            metadata: Metadata = {
                "observed": _observed(found, entry, frame),
                "expected": _expected(entry),
                "expectation": found.expectation_config.type,
            }
            examples = _offenders(found, entry, frame)
            if examples:
                metadata["examples"] = examples
            # Great Expectations passes over nulls; a fact that could not be computed is not a fact that holds.
            known = entry.batch != FACTS or bool(frame[entry.arguments["column"]].notna().all())
            results[entry.check.name] = outcome(entry.check, bool(found.success) and known, **metadata)
    return [results[entry.check.name] for entry in rules]


def failing_rows(rules: Sequence[Rule], rows: Sequence[Mapping[str, Any]]) -> list[list[Check]]:
    """Hold ``rules`` against many things of one kind at once, one row of facts a thing.

    A fact that is None is not held.

    Returns: of each row the checks that it fails, in the order of the rules.
    """
    import pandas as pd

    failing: list[list[Check]] = [[] for _ in rows]
    if rows:
        frame = pd.DataFrame([dict(row) for row in rows]).assign(**{_ROW: range(len(rows))})
        for entry, found in _held(rules, frame):
            for unexpected in found.result["unexpected_index_list"] or ():
                failing[unexpected[_ROW]].append(entry.check)
    return failing


def _held(rules: Sequence[Rule], frame: pd.DataFrame) -> Iterator[tuple[Rule, Any]]:
    """Each rule with what Great Expectations found of it in ``frame``, in an ephemeral context."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("workspace")
    suite = gx.ExpectationSuite(name="suite", expectations=[_expectation(gx, entry) for entry in rules])
    whole = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
    wanted: dict[str, Any] = {"result_format": "SUMMARY"}
    if _ROW in frame.columns:
        wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": [_ROW]}
    validated: Any = whole.get_batch({"dataframe": frame}).validate(suite, result_format=wanted)
    by_name = {found.expectation_config.meta["check"]: found for found in validated.results}
    yield from ((entry, by_name[entry.check.name]) for entry in rules)


def validate_schema_first(rules: Sequence[Rule], types: Facts, facts: Callable[[], Facts]) -> list[CheckResult]:
    """Hold the rules about ``types`` against them, and, if all hold, the others against what ``facts`` counts.

    SQL over columns that are missing or of another type would only fail in less readable ways.

    Returns: one result a rule, in their order; unmeasured ones count as failed.
    """
    schema = [entry for entry in rules if entry.arguments["column"] in types]
    rest = [entry for entry in rules if entry not in schema]
    results = validate(schema, {FACTS: frame_of(types)})
    wrong = [result.name for result in results if not result.passed]
    if wrong:
        results += unmeasured(rest, f"the schema is broken ({', '.join(wrong)})")
    else:
        results += validate(rest, {FACTS: frame_of(facts())})
    by_name = {result.name: result for result in results}
    return [by_name[entry.check.name] for entry in rules]


def unmeasured(rules: Sequence[Rule], reason: str) -> list[CheckResult]:
    """Results of rules that could not be held: what is not known to be right counts as failed."""
    return [
        outcome(entry.check, False, observed=f"not measured: {reason}", expected=_expected(entry)) for entry in rules
    ]


def frame_of(facts: Mapping[str, Any]) -> pd.DataFrame:
    """The facts as a batch of one row."""
    import pandas as pd

    return pd.DataFrame([dict(facts)])


def _expectation(gx: Any, entry: Rule) -> Any:
    return getattr(gx.expectations, entry.expectation)(
        **entry.arguments,
        severity=entry.check.severity,
        notes=entry.check.description,
        meta={"check": entry.check.name},
    )


def _observed(found: Any, entry: Rule, frame: pd.DataFrame) -> str | int | float:
    if entry.batch == FACTS:
        value = frame[entry.arguments["column"]].iloc[0]
        if value is None:
            return "not measured"
        observed: str | int | float = value.item() if _is_number(frame, entry) else str(value)
        return observed
    unexpected = found.result.get("unexpected_count")
    if unexpected is None:
        faults = [fault["exception_message"] for fault in _exceptions(found.exception_info)]
        return faults[0] if faults else str(found.result.get("observed_value"))
    return f"{unexpected:,} of {found.result['element_count']:,} rows"


def _offenders(found: Any, entry: Rule, frame: pd.DataFrame) -> list[str]:
    if entry.batch == FACTS:
        column = entry.arguments["column"] + EXAMPLES
        values = frame[column].iloc[0] if column in frame.columns else None
    else:
        values = found.result.get("partial_unexpected_list")
    return [str(value) for value in values[:_EXAMPLES]] if values is not None else []


def _is_number(frame: pd.DataFrame, entry: Rule) -> bool:
    return frame[entry.arguments["column"]].dtype.kind in "iufb"


def _exceptions(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [info] if "raised_exception" in info else list(info.values())
    return [fault for fault in found if fault["raised_exception"]]


def _expected(entry: Rule) -> str:
    arguments = entry.arguments
    if "min_value" in arguments:
        low, high = arguments["min_value"], arguments["max_value"]
        if low == high:
            return str(low)
        return f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"
    if "value_set" in arguments:
        return " or ".join(arguments["value_set"])
    return {"ExpectColumnValuesToNotBeNull": "no nulls"}[entry.expectation]
