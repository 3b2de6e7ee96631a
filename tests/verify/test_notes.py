"""Bundles of notes: one that restates an invoice, and one that takes an invoice back."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostmeter_verify.__main__ import main

from billing.core.proof import archive
from tests.verify.rebuilding import (
    CREDIT_NOTE,
    GOLDEN,
    TAKEN_BACK,
    Contents,
    changed_json,
    changed_lines,
    signed_anew,
)

Verified = Callable[[bytes], tuple[int, str]]
_FLIPS_A_MEMBER = 25


@pytest.fixture
def verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verified:
    """The exit code and the last line of the command."""

    def verify(bundle: bytes) -> tuple[int, str]:
        path = tmp_path / "bundle.zip"
        path.write_bytes(bundle)
        code = main(["verify", str(path)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, (out + err).rstrip("\n").rpartition("\n")[2]

    return verify


class TestANote:
    @pytest.mark.parametrize("kept", [CREDIT_NOTE, TAKEN_BACK])
    def test_passes(self, kept: Path, verified: Verified) -> None:
        assert verified(kept.read_bytes()) == (0, "PASS")
        assert verified(signed_anew(kept.read_bytes())) == (0, "PASS")


class TestAChangedByte:
    @pytest.mark.parametrize("kept", [GOLDEN, CREDIT_NOTE, TAKEN_BACK])
    def test_in_any_member_makes_it_fail(self, kept: Path, verified: Verified) -> None:
        bundle, chance = kept.read_bytes(), random.Random(20261125)  # noqa: S311
        start, length = archive.directory_of(bundle[-archive.END_BYTES :])
        for member in archive.members_in(bundle[start : start + length]):
            for _ in range(_FLIPS_A_MEMBER):
                position = chance.randrange(member.offset, member.end)
                other = bytes([bundle[position] ^ (1 << chance.randrange(8))])
                code, said = verified(bundle[:position] + other + bundle[position + 1 :])
                assert code != 0, f"byte {position} of {member.name}"
                assert said.startswith("FAIL: ") or code == 2, said


def _first_line(change: Callable[[Any], None]) -> Callable[[Contents], None]:
    return changed_json("invoice.json", lambda invoice: change(invoice["lines"][0]))


def _figure(name: str) -> Callable[[Contents], None]:
    return _first_line(lambda line: line.update({name: "1000"}))


def _billed(change: Callable[[list[Any]], Any]) -> Callable[[Contents], None]:
    """Change the documents that had billed the period, the first is the invoice."""
    return changed_json("billed.json", lambda found: change(next(iter(found["restated"].values()))))


def _taken(change: Callable[[list[Any]], Any]) -> Callable[[Contents], None]:
    return changed_json("billed.json", lambda found: change(found["taken_back"]))


def _less_billed(documents: list[Any]) -> None:
    documents[0]["lines"][0]["amount"] = "0.01"


def _turned(documents: list[Any]) -> None:
    documents[1]["sign"] = -1


def _dearer(terms: Any) -> None:
    contract = terms["restated"][0]["contract"]
    contract["terms"][0]["prices"][0]["spec"]["model"]["unit_price"] = "0.0124"


def _more_usage(records: list[Any]) -> None:
    records[-1]["usage"]["cpu.time"] += 10**9


def _of_nothing(invoice: Any) -> None:
    invoice["lines"][0]["facts"]["restates"] = "0" * 8 + "-0000-0000-0000-" + "0" * 12


RESTATED: dict[str, tuple[Callable[[Contents], None], str]] = {
    "an amount": (_figure("amount"), "the amount, line 1"),
    "a raw quantity": (_figure("raw_quantity"), "the raw quantity, line 1"),
    "an unrounded amount": (_figure("unrounded"), "the unrounded, line 1"),
    "a label": (_first_line(lambda line: line.update(label="Disk")), "label, line 1"),
    "a step": (
        _first_line(lambda line: line["steps"][0]["numbers"].update(raw="1")),
        "step 1, line 1",
    ),
    "the period": (
        _first_line(lambda line: line["facts"]["period"].reverse()),
        "the period, line 1",
    ),
    "a line left out": (
        changed_json("invoice.json", lambda invoice: invoice["lines"].pop()),
        "how many lines change 1",
    ),
    "what it refers to": (
        changed_json("invoice.json", lambda invoice: invoice.update(refers_to="2")),
        "what it refers to",
    ),
    "what it restates": (changed_json("invoice.json", _of_nothing), ""),
    "a kind": (_first_line(lambda line: line.update(kind="usage")), ""),
    "what was billed": (_billed(_less_billed), "line 1"),
    "an earlier note left out": (_billed(list.pop), ""),
    "an earlier note's sign": (_billed(_turned), ""),
    "the invoice left out": (_billed(lambda documents: documents.pop(0)), "what is restated"),
    "all that was billed": (
        changed_json("billed.json", lambda found: found["restated"].clear()),
        "what is restated",
    ),
    "the terms left out": (
        changed_json("terms.json", lambda terms: terms["restated"].clear()),
        "",
    ),
    "a price": (changed_json("terms.json", _dearer), ""),
    "usage": (changed_lines("usage.jsonl.gz", _more_usage), ""),
    "the total": (
        changed_json("invoice.json", lambda invoice: invoice.update(total="1")),
        "the sum of the lines",
    ),
}
TAKEN: dict[str, tuple[Callable[[Contents], None], str]] = {
    "an amount": (_figure("amount"), "the amount, line 1"),
    "a label": (_first_line(lambda line: line.update(label="Disk")), "label, line 1"),
    "a step": (
        _first_line(lambda line: line["steps"][0]["numbers"].update(raw="1")),
        "steps, line 1",
    ),
    "what it takes back": (
        _first_line(lambda line: line["facts"].update(position=7)),
        "what it takes back, line 1",
    ),
    "a line left out": (
        changed_json("invoice.json", lambda invoice: invoice["lines"].pop()),
        "how many lines take back",
    ),
    "what it refers to": (
        changed_json("invoice.json", lambda invoice: invoice.update(refers_to="2")),
        "what it refers to",
    ),
    "a line of the invoice": (_taken(_less_billed), "the amount, line 1"),
    "an earlier note left out": (_taken(list.pop), "how many lines take back"),
    "an earlier note's sign": (
        _taken(lambda documents: documents[1].update(sign=1)),
        "the amount, line 7",
    ),
    "what is payable": (
        changed_json("invoice.json", lambda invoice: invoice.update(payable="1")),
        "the payable amount",
    ),
}


class TestContentsSignedAnew:
    @pytest.mark.parametrize("name", RESTATED)
    def test_of_a_restatement_fail_where_they_differ(self, verified: Verified, name: str) -> None:
        change, told = RESTATED[name]
        code, said = verified(signed_anew(CREDIT_NOTE.read_bytes(), change))
        assert (code, said[:6]) == (1, "FAIL: ")
        assert told in said

    @pytest.mark.parametrize("name", TAKEN)
    def test_of_what_is_taken_back_fail_where_they_differ(
        self, verified: Verified, name: str
    ) -> None:
        change, told = TAKEN[name]
        code, said = verified(signed_anew(TAKEN_BACK.read_bytes(), change))
        assert (code, said[:6]) == (1, "FAIL: ")
        assert told in said
