"""What is held about every landed file before its rows may join the log: the verdict of the stage ``events``.

The stage counts what a file holds in DuckDB, one row of facts a file, and Great Expectations holds the rows. A file
that breaks a critical expectation is refused whole, as if it had not come. Nothing is compared with the clock: the
same files must get the same verdict tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_checks.result import Check
from data_checks.suite import Rule, between, failing_rows, none_of

# The share of rejected rows at which an admitted file deserves a look.
_FEW_REJECTED = 0.01


def _rules(max_rejected: float) -> tuple[Rule, ...]:
    return (
        none_of(
            "batch_readable",
            "critical",
            "A file that can't be read to its end is truncated, damaged or still being written: half a log looks like "
            "a whole one.",
            "unreadable",
        ),
        none_of(
            "batch_columns_fit",
            "critical",
            "Without the mapped columns a file is neither interactions nor items: its producer has changed its form.",
            "misfit",
        ),
        between("batch_not_empty", "critical", "A file without rows is an export that failed.", "rows", low=1),
        between(
            "batch_rows_sound",
            "critical",
            "More bad rows than `events.max_rejected` mean that the file is wrong, not its rows.",
            "rejected_share",
            high=max_rejected,
        ),
        between(
            "batch_times_plausible",
            "critical",
            "More times before 1990 or after 2099 than `events.max_rejected` mean that all times are misread: in a "
            "wrong unit, or dates as numbers.",
            "implausible_share",
            high=max_rejected,
        ),
        between(
            "batch_few_rejected",
            "warning",
            "A hundredth of bad rows is more than chance: something upstream writes them.",
            "rejected_share",
            high=_FEW_REJECTED,
        ),
        none_of(
            "batch_last_line_ended",
            "warning",
            "Text whose last line has no line feed may have been cut within it, and its last value be half of one.",
            "unended",
        ),
        none_of(
            "batch_no_ancient_events",
            "warning",
            "A time before 1990 is mostly a wrong unit, or a missing value read as 0.",
            "ancient",
        ),
        none_of(
            "batch_updated_read",
            "warning",
            "A row whose `updated` can't be read counts as older than all others: the catalogue keeps what it had.",
            "unread_updates",
        ),
    )


# The facts of a file, as columns of a batch's row; one that can't be known is None and is not held.
FACTS = ("unreadable", "misfit", "rows", "rejected_share", "implausible_share", "unended", "ancient", "unread_updates")


def judge(facts: Sequence[Mapping[str, Any]], max_rejected: float) -> list[list[Check]]:
    """Hold the suite against files.

    Args:
        facts: of each file, its :data:`FACTS`.
        max_rejected: ``events.max_rejected``.
    Returns: of each file, the checks that it fails; a critical one among them refuses it.
    """
    return failing_rows(_rules(max_rejected), [{name: row.get(name) for name in FACTS} for row in facts])
