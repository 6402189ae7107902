"""Pages that need nothing else, and the pieces that they are made of: no script, no font, no picture is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from s2gr.evaluation.style import CSS


def page(title: str, body: str, style: str = "") -> str:
    """A whole page in the project's style, and in ``style`` besides."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}{style}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def note(text: str) -> str:
    """A paragraph of explanation; ``text`` is HTML."""
    return f'<p class="soft">{text}</p>'


def with_code(text: str) -> str:
    """Escaped, and what stands between backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def cell(text: str, best: bool = False) -> str:
    """Of a table; ``text`` is HTML, printed boldly if it is the best."""
    return f'<td class="best">{text}</td>' if best else f"<td>{text}</td>"


def row(label: str, cells: Sequence[str], kind: str = "") -> str:
    """Of a table: its label, escaped, and the cells; ``kind`` is a class of the style sheet."""
    return f"<tr{f' class={kind}' if kind else ''}><td>{escape(label)}</td>{''.join(cells)}</tr>"


def table(header: Sequence[str], rows: Sequence[str]) -> str:
    """Rows below a header, which is escaped."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
