"""Lists of item ids in files: what may be recommended, and what may not."""

from __future__ import annotations

from pathlib import Path

from s2gr.errors import UserError


def read_item_list(path: Path) -> list[str]:
    """The ids in a text file, one a line; empty lines count for nothing.

    Raises: UserError: it can't be read, or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected a text file with one item id a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read as a text file with one item id a line ({error})") from None
    return [item_id for line in text.splitlines() if (item_id := line.strip())]
