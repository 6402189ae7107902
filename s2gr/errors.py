"""The one exception that means "the user can fix this": it is shown as one line, never as a traceback."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input, configuration or environment.

    The message says what was expected, what was found and where (file, row, column), and what to do.
    """


_OUT_OF_MEMORY_MARKS = ("not enough memory", "can't allocate memory", "out of memory", "cannot allocate memory")
_TOO_LARGE = "file too large"


@contextmanager
def explained() -> Iterator[None]:
    """Turn exhausted memory or disk, from whichever library, into a :class:`UserError`."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(_memory_message(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
            raise UserError(f"the disk is full: {error}; free some space or use --workdir on another disk") from error
        if error.errno == errno.EFBIG or _TOO_LARGE in str(error).lower():
            raise UserError(_limit_message(error)) from error
        if isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
            raise UserError(f"{error.filename}: {error.strerror}; change its permissions or the path") from error
        raise
    except Exception as error:
        # DuckDB and torch have exception types of their own; both are recognised by what they say.
        message = str(error).lower()
        if "no space left on device" in message:
            raise UserError(f"the disk is full: {_first_line(error)}; free some space and run again") from error
        if _TOO_LARGE in message:
            raise UserError(_limit_message(error)) from error
        if any(mark in message for mark in _OUT_OF_MEMORY_MARKS):
            raise UserError(_memory_message(error)) from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _limit_message(error: Exception) -> str:
    return f"a file is larger than may be written here: {_first_line(error)}; raise the limit (ulimit -f) and run again"


def _memory_message(error: Exception) -> str:
    return (
        f"not enough memory: {_first_line(error)}; raise runtime.memory_gb if the machine has more, "
        "or lower the batch size of the stage (reasoner.batch_size, codebook.batch_size)"
    )
