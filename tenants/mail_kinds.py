"""Which e-mails there are. Each application registers its own when it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tenants.core.mail import Letter

Context = Mapping[str, Any]
DEFAULT_COLOUR: Final = "#1f6feb"


class UnknownMailKind(ValueError):
    """No e-mail of this kind is registered."""


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    content: bytes
    content_type: str


def _nothing_attached(context: Context) -> Sequence[Attachment]:
    return ()


def _nothing_noted(context: Context, as_of: datetime) -> None:
    return None


@dataclass(frozen=True, slots=True)
class MailKind:
    """One kind of e-mail.

    `write` makes the letter of a context, in the language and time zone that are active. `sample`
    is a context to preview it with. `attach` makes its files, inside the tenant's scope; where they
    are too large, `write` finds `attached` false in its context. `sent` is called in the
    transaction that notes the sending. A kind that `is_secret` has its context sealed, and thrown
    away once it is sent.
    """

    name: str
    title: str
    write: Callable[[Context], Letter]
    sample: Context
    attach: Callable[[Context], Sequence[Attachment]] = _nothing_attached
    sent: Callable[[Context, datetime], None] = _nothing_noted
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What a tenant's e-mails look like: `colour` as #rrggbb, where answers go, and the language
    for readers of whom none is known."""

    colour: str = DEFAULT_COLOUR
    reply_to: str = ""
    language: str = "en"


_kinds: dict[str, MailKind] = {}
_looks: list[Callable[[], Look]] = []


def register(*kinds: MailKind) -> None:
    _kinds.update({each.name: each for each in kinds})


def look_by(source: Callable[[], Look]) -> None:
    """Have `source` say, inside a tenant's scope, what its e-mails look like."""
    _looks[:] = [source]


def look() -> Look:
    return _looks[0]() if _looks else Look()


def kind_of(name: str) -> MailKind:
    """Raises UnknownMailKind."""
    if name not in _kinds:
        raise UnknownMailKind(f"there is no e-mail of kind {name!r}")
    return _kinds[name]


def all_kinds() -> list[MailKind]:
    """In the order of their titles."""
    return sorted(_kinds.values(), key=lambda each: each.title)
