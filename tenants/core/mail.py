"""When an e-mail is tried again, what its letter holds, and its name in the world."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

# After the first attempt, the second …; together two days, as mail servers do it.
WAITS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
    timedelta(hours=26),
)
ATTEMPTS_MAX: Final = len(WAITS) + 1


@dataclass(frozen=True, slots=True)
class Letter:
    """What an e-mail says, in the reader's language, before it is laid out as HTML and as text.

    `facts` are pairs of a name and a value. `link` is a label and an address. `share` draws a bar
    of so many percent, which `facts` say in figures too. `unsubscribe_url` is for what is not
    part of a contract.
    """

    subject: str
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    link: tuple[str, str] | None = None
    share: int | None = None
    closing: tuple[str, ...] = ()
    unsubscribe_url: str = ""


def next_attempt_at(attempted_at: datetime, attempts: int) -> datetime | None:
    """When a message is tried again whose attempt number `attempts` failed at `attempted_at`; None
    after the last."""
    return None if attempts >= ATTEMPTS_MAX else attempted_at + WAITS[attempts - 1]


def message_id(of: UUID, sender: str) -> str:
    """The same at each attempt: a receiver that has the message already knows it again."""
    return f"<{of.hex}@{sender.rpartition('@')[2] or 'localhost'}>"


def one_line(text: str) -> str:
    """A header holds no line break, whatever a name is made of."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def ink_on(colour: str) -> str:
    """Black or white, whichever stands out more from `#rrggbb` (WCAG 2.2: at least 4.5 to 1)."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    # Luminance in millionths, by integers: sRGB's curve is near enough a square.
    weights = (212_600, 715_200, 72_200)
    luminance = sum(w * part * part for w, part in zip(weights, parts, strict=True)) // 255**2
    return "#000000" if luminance > 179_000 else "#ffffff"
