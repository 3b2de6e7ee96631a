"""Every example in docs/ledger.md is what the code computes."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from billing.core.credit import Charge, Grant, apply_grants, gross_of
from billing.core.currencies import currency_of
from billing.core.entries import Event, issued, moved
from billing.core.ledger import Account, EntryKind, JournalEntry

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text("utf-8")
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
EVENT = Event("shop", "EUR", NOVEMBER, "an example")

Row = list[str]


def example(name: str) -> list[Row]:
    (table,) = re.findall(rf"<!-- example: {name} -->\n((?:\|.*\n)+)", PAGE)
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def posted(kind: str, happened: str) -> str:
    entry = entry_of(
        EntryKind(kind), happened, [Decimal(n) for n in re.findall(r"\d+\.\d\d", happened)]
    )
    return ", ".join(f"{posting.account} {posting.amount:.2f}" for posting in entry.postings)


def entry_of(kind: EntryKind, happened: str, amounts: list[Decimal]) -> JournalEntry:
    if kind is EntryKind.ISSUED:
        net, tax = (-each if "credit note" in happened else each for each in amounts)
        entry = issued(EVENT, gross=net + tax, tax=tax)
    else:
        entry = moved(kind, EVENT, amounts[0], promotional="promotional" in happened)
    assert entry is not None
    return entry


def grant_of(row: Row) -> Grant:
    name, kind, priority, expires, pays, amount, _ = row
    return Grant(
        id=name,
        left=Decimal(amount),
        priority=int(priority),
        promotional=kind == "promotional",
        expires_at=None if expires == "never" else datetime.fromisoformat(f"{expires}T00:00:00Z"),
        granted_at=NOVEMBER,
        scope=frozenset() if pays == "everything" else frozenset({pays}),
    )


class TestLedgerPage:
    @pytest.mark.parametrize(("kind", "happened", "postings"), example("entries"))
    def test_example_is_what_is_posted(self, kind: str, happened: str, postings: str) -> None:
        assert posted(kind, happened) == postings

    def test_has_an_example_of_every_kind_and_account(self) -> None:
        assert {kind for kind, _, _ in example("entries")} == {kind.value for kind in EntryKind}
        named = {account.value.replace("_", " ") for account in Account}
        assert named <= {line.split("|")[1].strip() for line in PAGE.splitlines() if "|" in line}

    def test_example_of_credit_is_what_is_paid(self) -> None:
        rows = example("credit")
        charges = [
            Charge(code, gross_of(Decimal(amount), Decimal(19), tax_inclusive=False))
            for code, amount in (("cpu-time", "60"), ("disk-writes", "10"))
        ]
        paid = apply_grants(
            [grant_of(row) for row in reversed(rows)],
            charges,
            payable=Decimal("83.30"),
            currency=currency_of("EUR"),
            as_of=NOVEMBER,
        )
        assert [(each.grant, f"{each.amount:.2f}") for each in paid] == [
            (row[0], row[-1]) for row in rows
        ]
