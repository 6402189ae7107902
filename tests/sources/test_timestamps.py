"""Timestamps: units by magnitude, ISO 8601, native types, and what can't be read."""

from datetime import UTC, date, datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pytest

from s2gr.errors import UserError
from s2gr.sources.timestamps import timestamp_sql

MOMENT = datetime(2014, 7, 23, 12, 30, 15)
SECONDS = 1406118615


def read(values: pa.Array, unit: str = "auto") -> list[datetime | None]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("landed", pa.table({"t": values}))
    ((kind,),) = connection.execute("SELECT typeof(t) FROM landed LIMIT 1").fetchall()
    sql = timestamp_sql(connection, "landed", "t", kind, unit, "file.csv: column 't'")
    return [value for (value,) in connection.execute(f"SELECT {sql} FROM landed").fetchall()]


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
def test_whole_numbers_are_read_by_magnitude(factor: int, kind: pa.DataType) -> None:
    assert read(pa.array([SECONDS * factor]).cast(kind, safe=False)) == [MOMENT]


def test_one_broken_value_does_not_change_the_unit_of_the_others() -> None:
    assert read(pa.array([SECONDS, SECONDS, 10**18]))[:2] == [MOMENT, MOMENT]


def test_a_given_unit_wins_over_the_magnitude() -> None:
    assert read(pa.array([1_500]), unit="ms") == [datetime(1970, 1, 1, 0, 0, 1, 500_000)]


@pytest.mark.parametrize(
    "text",
    ["2014-07-23T12:30:15", "2014-07-23 12:30:15Z", "2014-07-23T14:30:15+02:00", "2014-07-23T18:00:15+0530"],
)
def test_text_is_iso_8601_and_utc_unless_it_names_a_zone(text: str) -> None:
    assert read(pa.array([text])) == [MOMENT]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (MOMENT, pa.timestamp("ms")),
        (MOMENT, pa.timestamp("ns")),
        (MOMENT.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=2))), pa.timestamp("us", "+02:00")),
    ],
)
def test_native_timestamps_keep_their_moment(value: datetime, kind: pa.DataType) -> None:
    assert read(pa.array([value], kind)) == [MOMENT]


def test_a_date_is_its_midnight() -> None:
    assert read(pa.array([date(2014, 7, 23)])) == [datetime(2014, 7, 23)]


@pytest.mark.parametrize("text", ["2014/07/23", "2014-7-23"])
def test_a_date_with_the_year_first_is_read(text: str) -> None:
    assert read(pa.array([text])) == [datetime(2014, 7, 23)]


def test_nanoseconds_are_rounded_to_microseconds() -> None:
    assert read(pa.array([SECONDS * 10**9 + 123_456_789]), unit="ns") == [MOMENT.replace(microsecond=123_457)]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "infinity", "9" * 30, "2014-13-01", "-", "15/01/24", "1/2/2024", "24-01-15", "epoch"]
)
def test_what_is_no_time_is_null(text: str) -> None:
    assert read(pa.array([text])) == [None]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_a_number_without_a_moment_is_null(number: float) -> None:
    assert read(pa.array([number])) == [None]


def test_a_column_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"column 't' has type BOOLEAN: expected whole numbers, ISO-8601 text"):
        read(pa.array([True]))


@pytest.mark.parametrize(
    "text", ["20140-01-01", "0044-03-15 (BC)", "0001-01-01 (BC)", "-infinity", "10000-01-01T00:00:00"]
)
def test_text_outside_the_years_1_to_9999_is_null(text: str) -> None:
    assert read(pa.array([text, "2014-07-23T12:30:15"])) == [None, MOMENT]


def test_native_times_outside_the_years_1_to_9999_are_null() -> None:
    microseconds = pa.array([570_303_676_800_000_000, -63_000_000_000_000_000, SECONDS * 1_000_000])
    assert read(microseconds.cast(pa.timestamp("us"))) == [None, None, MOMENT]
    assert read(pa.array([6_600_000, -800_000, 16_274], pa.int32()).cast(pa.date32())) == [
        None,
        None,
        datetime(2014, 7, 23),
    ]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
def test_the_first_and_the_last_moment_are_times(text: str) -> None:
    assert read(pa.array([text])) == [datetime.fromisoformat(text)]
