"""What an endpoint is given, and what all endpoints have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from billing.fake_stripe.books import Books
from billing.fake_stripe.events import happen
from billing.fake_stripe.faults import Faults
from billing.fake_stripe.refusals import Fields, invalid, missing

_METADATA_KEYS_MAX: Final = 50
_METADATA_KEY_LENGTH_MAX: Final = 40
_METADATA_VALUE_LENGTH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose parameters were checked: who asks for what. `ids` are the address's."""

    books: Books
    faults: Faults
    account: str
    base_url: str
    ids: tuple[str, ...]
    fields: Mapping[str, object]

    def now(self) -> int:
        return int(self.books.now())

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        return value if isinstance(value, str) and value else None

    def number(self, name: str) -> int | None:
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def nested(self, name: str) -> Fields:
        value = self.fields.get(name)
        return dict(value) if isinstance(value, Mapping) else {}

    def one(self, kind: str, what: str, identifier: str, *, param: str = "id") -> Fields:
        """An object of the account's. Raises Refused where there is none."""
        found = self.books.get(self.account, kind, identifier)
        if found is None or found.get("deleted"):
            raise missing(what, identifier, param=param)
        return found

    def made(self, prefix: str, kind: str, **fields: object) -> Fields:
        return {
            "id": self.books.new_id(prefix),
            "object": kind,
            "created": self.now(),
            "livemode": False,
            **fields,
        }

    def keep(self, body: Fields, event: str | None = None) -> None:
        self.books.save(self.account, body)
        if event:
            self.happen(event, body)

    def happen(self, event: str, body: Fields) -> None:
        happen(self.books, self.faults, self.account, event, body)


Endpoint: TypeAlias = Callable[[Call], Fields]


def metadata(call: Call, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """What is kept with an object: given keys replace, empty values take away. Raises Refused."""
    given = call.fields.get("metadata")
    if given == "":
        return {}
    merged = dict(before or {}) | {str(k): str(v) for k, v in call.nested("metadata").items()}
    kept = {name: value for name, value in merged.items() if value}
    if len(kept) > _METADATA_KEYS_MAX:
        raise invalid(f"Metadata has at most {_METADATA_KEYS_MAX} keys", param="metadata")
    for name, value in kept.items():
        if len(name) > _METADATA_KEY_LENGTH_MAX or len(value) > _METADATA_VALUE_LENGTH_MAX:
            raise invalid(
                f"Metadata keys have at most {_METADATA_KEY_LENGTH_MAX} characters, values"
                f" {_METADATA_VALUE_LENGTH_MAX}",
                param=f"metadata[{name[:60]}]",
            )
    return kept
