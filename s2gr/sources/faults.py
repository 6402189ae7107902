"""DuckDB's and Python's complaints about a user's file, as one line that names the file and, where known, the line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from s2gr.errors import UserError

_CSV_FAULT = re.compile(
    r"CSV Error on Line: (\d+)\s+Original Line: (.*?)\s+"
    r"(Expected Number [^\n]*|Invalid unicode|Value with [^\n]*|Maximum line size)",
    re.DOTALL,
)
# Characters of what a library says: it may quote megabytes of the file.
_LONGEST_QUOTE = 500


_NO_FAULT_OF_THE_FILE = (
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.ParserException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.FatalException,
)


@contextmanager
def readable(path: Path | str) -> Iterator[None]:
    """Turn a file that can't be parsed into a :class:`UserError`; exhausted memory or disk passes through."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x} in line 1") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file ({error}); copy it again") from error
    except _NO_FAULT_OF_THE_FILE:
        raise
    except duckdb.Error as error:
        # Of whatever class: a damaged Parquet file ends in a dozen of them.
        if "No space left" in str(error):
            raise
        raise UserError(_one_line(path, str(error))) from error


def long_line(path: Path | str, number: int) -> str:
    return (
        f"{path}, line {number}: expected less than 2 MB, found a longer line; "
        "is the file whole, and of the kind that its name says?"
    )


def _one_line(path: Path | str, message: str) -> str:
    told = message.split(" Error: ", 1)[-1]
    if line := _CSV_FAULT.search(told):
        number, original, fault = line.group(1), " ".join(line.group(2).split())[:200], line.group(3).rstrip(".")
        if fault.startswith("Invalid unicode"):
            return f"{path}, line {number}: expected UTF-8 text, found {original!r}; save the file as UTF-8"
        if fault == "Maximum line size":
            return long_line(path, int(number))
        return f"{path}, line {number}: {fault[0].lower()}{fault[1:]} in {original!r}; correct the line"
    if "maximum_object_size" in told:
        return f"{path}: expected a record of less than 16 MiB on each line, found a longer line; is it JSON Lines?"
    # What follows the first paragraph are hints about options of DuckDB's that our users can't set.
    first = re.split(r"\n\s*\n|\nPossible|\nLINE ", told)[0]
    first = re.sub(rf"""([Ff]ile )?["']?{re.escape(str(path))}["']?""", "the file", first)
    # DuckDB counts a JSON record as the line after it.
    first = re.sub(r"in line (\d+)", lambda found: f"in row {int(found.group(1)) - 1}", first)
    first = " ".join(first.split()).rstrip(".")[:_LONGEST_QUOTE]
    advice = (
        "save the file as UTF-8" if "UTF-8" in message else "is the file whole, and of the kind that its name says?"
    )
    return f"{path} is not readable: {first}; {advice}"
