"""A bundle that somebody made to break its reader, and signed: it is refused in one line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hostmeter_verify import bundle as reading
from hostmeter_verify.__main__ import main

from billing.core.proof import archive
from billing.core.proof.archive import Member
from tests.verify.rebuilding import (
    CREDIT_NOTE,
    GOLDEN,
    TAKEN_BACK,
    Contents,
    archived,
    contents_of,
    signed_anew,
)

_KIND = "jsonl.gz"


def _replaced(name: str, content: bytes) -> Callable[[Contents], None]:
    def change(contents: Contents) -> None:
        contents[name] = content

    return change


DEEP = b"[" * 200_000 + b"]" * 200_000
TABLES = [name for name in archive.MEMBERS if name.endswith(_KIND)]
DOCUMENTS = ["invoice.json", "terms.json", "assignments.json", "keys.json"]
TEXTS = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "deep": DEEP,
    "a huge number": b'{"total": ' + b"9" * 10_000 + b"}",
    "a float": b'{"total": 1.5}',
    "not a number": b'{"total": NaN}',
    "a member twice": b'{"a": 1, "a": 2}',
    "null": b"null",
    "a list of lists": b"[[1], [2]]",
    "an empty object": b"{}",
    "an object of objects": b'{"lines": {}, "prices": {}, "taxes": {}}',
}
_ID = "00000000-0000-0000-0000-000000000001"
_DOCUMENT = {"id": _ID, "kind": "invoice", "reference": "1", "sign": 1, "lines": []}
MALFORMED = {
    "a list of documents": {"restated": [], "taken_back": []},
    "no documents": {"restated": {}, "taken_back": []},
    "documents of no kind": {"restated": {"1": 1}, "taken_back": {}},
    "a document that is none": {"restated": {}, "taken_back": [1]},
    "a sign of nothing": {"restated": {}, "taken_back": [_DOCUMENT | {"sign": 0}]},
    "a line that is none": {"restated": {}, "taken_back": [_DOCUMENT | {"lines": [[]]}]},
    "a line without figures": {
        "restated": {},
        "taken_back": [_DOCUMENT | {"lines": [{"label": "x", "attributes": {}}]}],
    },
}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[bytes], str]:
    """The one line with which the command says no."""

    def refuse(bundle: bytes) -> str:
        path = tmp_path / "bundle.zip"
        path.write_bytes(bundle)
        assert main(["verify", str(path)]) == 1
        out, err = capsys.readouterr()
        assert err == ""
        last = out.rstrip("\n").rpartition("\n")[2]
        assert last.startswith("FAIL: ")
        assert len(last) < 1_000
        assert last.isascii()
        return last

    return refuse


Refused = Callable[[bytes], str]


class TestAHostileMember:
    @pytest.mark.parametrize("text", TEXTS)
    @pytest.mark.parametrize("name", DOCUMENTS)
    def test_of_one_document_is_refused(self, refused: Refused, name: str, text: str) -> None:
        refused(signed_anew(GOLDEN.read_bytes(), _replaced(name, TEXTS[text])))

    @pytest.mark.parametrize("text", TEXTS)
    @pytest.mark.parametrize("name", ["billed.json", "invoice.json", "terms.json"])
    def test_of_a_note_is_refused(self, refused: Refused, name: str, text: str) -> None:
        refused(signed_anew(CREDIT_NOTE.read_bytes(), _replaced(name, TEXTS[text])))

    @pytest.mark.parametrize("name", MALFORMED)
    def test_of_what_was_billed_is_refused(self, refused: Refused, name: str) -> None:
        content = json.dumps(MALFORMED[name]).encode()
        refused(signed_anew(CREDIT_NOTE.read_bytes(), _replaced("billed.json", content)))
        refused(signed_anew(TAKEN_BACK.read_bytes(), _replaced("billed.json", content)))

    @pytest.mark.parametrize("text", TEXTS)
    @pytest.mark.parametrize("name", TABLES)
    def test_of_many_records_is_refused(self, refused: Refused, name: str, text: str) -> None:
        table = gzip.compress(TEXTS[text] + b"\n")
        refused(signed_anew(GOLDEN.read_bytes(), _replaced(name, table)))

    @pytest.mark.parametrize("name", TABLES)
    def test_that_is_no_gzip_file_is_refused(self, refused: Refused, name: str) -> None:
        bundle = GOLDEN.read_bytes()
        whole = contents_of(bundle)[name]
        for content in (b"", b"text", whole[:-1], whole + b"x", whole + whole, whole[:9]):
            refused(signed_anew(bundle, _replaced(name, content)))

    def test_that_inflates_without_end_is_refused(
        self, refused: Refused, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "_INFLATED_BYTES_MAX", 10_000_000)
        bomb = gzip.compress(b"{}\n" * 10_000_000)
        said = refused(signed_anew(GOLDEN.read_bytes(), _replaced("usage.jsonl.gz", bomb)))
        assert "usage.jsonl.gz" in said

    def test_of_one_endless_line_is_refused(self, refused: Refused) -> None:
        line = gzip.compress(b" " * 50_000_000)
        said = refused(signed_anew(GOLDEN.read_bytes(), _replaced("profiles.jsonl.gz", line)))
        assert "a line's length" in said

    def test_that_writes_to_the_terminal_is_refused_without_doing_so(
        self, refused: Refused
    ) -> None:
        def change(contents: Contents) -> None:
            invoice = json.loads(contents["invoice.json"])
            invoice["seller"] = "\x1b[2J\x1b]0;PASS\x07\nPASS"
            invoice["total"] = "\x1b[2J"
            contents["invoice.json"] = json.dumps(invoice).encode()

        refused(signed_anew(GOLDEN.read_bytes(), change))


class TestAHostileArchive:
    @pytest.mark.parametrize(
        "name", ["a/../../etc/passwd", "a/etc/passwd", "a" * 300, "usage.jsonl.g"]
    )
    def test_with_a_member_of_another_name_is_refused(self, refused: Refused, name: str) -> None:
        contents = contents_of(GOLDEN.read_bytes())
        assert "its members" in refused(archived(contents | {name: b"x"}))

    def test_without_a_member_is_refused(self, refused: Refused) -> None:
        contents = contents_of(GOLDEN.read_bytes())
        del contents["usage.jsonl.gz"]
        assert "its members" in refused(archived(contents))

    def test_whose_members_overlap_is_refused(self, refused: Refused) -> None:
        bundle = GOLDEN.read_bytes()
        start, length = archive.directory_of(bundle[-archive.END_BYTES :])
        members = archive.members_in(bundle[start : start + length])
        members[3] = Member(members[3].name, members[3].size, members[3].crc32, members[2].offset)
        refused(bundle[:start] + archive.ending(members))

    def test_with_a_size_beyond_its_end_is_refused(self, refused: Refused) -> None:
        bundle = GOLDEN.read_bytes()
        start, length = archive.directory_of(bundle[-archive.END_BYTES :])
        members = archive.members_in(bundle[start : start + length])
        members[-1] = Member(members[-1].name, 2**31, 0, members[-1].offset)
        refused(bundle[:start] + archive.ending(members[:-1]))
        refused(bundle[:start] + archive.ending(members))
