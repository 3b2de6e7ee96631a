"""Which status of an invoice may follow which. A trigger of the database holds the same table; a
test compares the two, pair by pair.

A draft is rated anew whenever somebody asks. In review it is as well, and is finalized when its
time is over. From then on only what happens to it changes: it is sent, paid, found overdue, taken
back in full by a note (void) or given up (uncollectible).
"""

from collections.abc import Mapping
from typing import Final

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "draft": frozenset({"in_review", "finalized"}),
    "in_review": frozenset({"finalized"}),
    "finalized": frozenset({"sent", "partly_paid", "paid", "overdue", "void", "uncollectible"}),
    "sent": frozenset({"partly_paid", "paid", "overdue", "void", "uncollectible"}),
    "partly_paid": frozenset({"paid", "overdue", "void", "uncollectible"}),
    # What is overdue stays so until all of it is paid.
    "overdue": frozenset({"paid", "void", "uncollectible"}),
    "paid": frozenset({"void"}),
    "void": frozenset(),
    # Money may come in after all.
    "uncollectible": frozenset({"paid"}),
}

DRAFTS: Final = frozenset({"draft", "in_review"})
PAYABLE: Final = frozenset({"finalized", "sent", "partly_paid", "overdue"})


def may_follow(before: str, after: str) -> bool:
    """Whether an invoice may go from the status `before` to `after`."""
    return after in TRANSITIONS[before]


def written_before(after: str) -> str:
    """The statuses from which an invoice may go to `after`, in words."""
    before = [status for status in TRANSITIONS if may_follow(status, after)]
    return ", ".join(before).replace("_", " ")
