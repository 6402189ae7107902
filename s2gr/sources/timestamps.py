"""Reading time: whole numbers since 1970 in seconds, milli-, micro- or nanoseconds, ISO-8601 text, or native types."""

from __future__ import annotations

import re

import duckdb

from s2gr.errors import UserError

# What makes microseconds of a number.
_MICROSECONDS = {"s": "* 1e6", "ms": "* 1e3", "us": "* 1", "ns": "/ 1e3"}
# Years 1 to 9999: what Python and Arrow can both show.
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
_NUMBER_TYPE = r"U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL.*"
_NUMBER_TEXT = r"^\s*[+-]?\d+(\.\d*)?\s*$"
# Four digits of a year in front: DuckDB takes `15/01/24` for the year 15.
_DATE_TEXT = r"^\s*\d{4}[-/]\d\d?[-/]\d"


def timestamp_sql(
    connection: duckdb.DuckDBPyConnection, relation: str, expression: str, kind: str, unit: str, where: str
) -> str:
    """SQL that turns ``expression`` of ``relation`` (of DuckDB type ``kind``) into a UTC TIMESTAMP, or NULL.

    Unit ``auto`` takes the median's magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
    else nanoseconds. Text of digits only is a number; other text is ISO 8601, and UTC where it names no zone.

    Raises: UserError: if the column's type can't be a time; ``where`` names file and column.
    """
    check_time_type(kind, where)
    # By way of TIMESTAMPTZ: a zone in the type or in the text must not be dropped.
    instant = f"TRY_CAST({expression} AS TIMESTAMPTZ)"
    bounds = f"make_timestamptz({_EARLIEST}) AND make_timestamptz({_LATEST})"
    moment = f"CASE WHEN {instant} BETWEEN {bounds} THEN CAST({instant} AS TIMESTAMP) END"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return moment
    if kind == "VARCHAR":
        is_number = f"regexp_matches({expression}, '{_NUMBER_TEXT}')"
        number = f"CASE WHEN {is_number} THEN TRY_CAST({expression} AS DOUBLE) END"
        from_number = _from_number(connection, relation, number, unit)
        is_date = f"regexp_matches({expression}, '{_DATE_TEXT}')"
        return f"CASE WHEN {is_number} THEN {from_number} WHEN {is_date} THEN {moment} END"
    return _from_number(connection, relation, f"CAST({expression} AS DOUBLE)", unit)


def check_time_type(kind: str, where: str) -> None:
    """Raises: UserError: if a column of DuckDB type ``kind`` can't be a time; ``where`` names file and column."""
    if not kind.startswith(("TIMESTAMP", "DATE")) and kind != "VARCHAR" and not re.fullmatch(_NUMBER_TYPE, kind):
        raise UserError(f"{where} has type {kind}: expected whole numbers, ISO-8601 text or a timestamp type")


def _from_number(connection: duckdb.DuckDBPyConnection, relation: str, number: str, unit: str) -> str:
    if unit == "auto":
        # The median, not the largest: one broken row must not change how the others are read.
        ((median,),) = connection.execute(f"SELECT median(abs({number})) FROM {relation}").fetchall()
        middle = median or 0.0
        unit = "s" if middle < 1e11 else "ms" if middle < 1e14 else "us" if middle < 1e17 else "ns"
    microseconds = f"round({number} {_MICROSECONDS[unit]})"
    return (
        f"CASE WHEN {microseconds} BETWEEN {_EARLIEST} AND {_LATEST} "
        f"THEN make_timestamp(CAST({microseconds} AS BIGINT)) END"
    )
