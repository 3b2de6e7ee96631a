"""What `hostmeter verify` says of a bundle, of a bundle that was changed, and of other files."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hostmeter_verify.__main__ import main

from tests.verify.rebuilding import (
    GOLDEN,
    OTHER_KEY,
    Contents,
    changed_json,
    changed_lines,
    contents_of,
    signed_anew,
)
from tests.verify.running import run, verifier_in


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return GOLDEN.read_bytes()


@pytest.fixture
def verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit code and the last line of the command, in this process."""

    def verify(bundle: bytes, *arguments: str) -> tuple[int, str]:
        path = tmp_path / "bundle.zip"
        path.write_bytes(bundle)
        code = main(["verify", str(path), *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, (out + err).rstrip("\n").rpartition("\n")[2]

    return verify


Verified = Callable[..., tuple[int, str]]


class TestTheCommand:
    def test_passes_a_kept_bundle_in_an_interpreter_without_packages(self, tmp_path: Path) -> None:
        done = run(verifier_in(tmp_path), "verify", GOLDEN)
        assert (done.returncode, done.stderr) == (0, "")
        first, *_, last = done.stdout.splitlines()
        assert first.startswith("invoice 1 of First-Host to Kite Ltd, ")
        assert "CPU time  mail  72.00261 CPU-second  0.83 EUR  ok" in done.stdout
        assert "samples  210, 70 of them here  ok" in done.stdout
        assert last == "PASS"

    def test_accepts_the_key_that_signed(self, bundle: bytes, verified: Verified) -> None:
        key = _key_of(bundle)
        assert verified(bundle, "--key", key) == (0, "PASS")

    def test_refuses_a_bundle_of_another_key(self, bundle: bytes, verified: Verified) -> None:
        anew = signed_anew(bundle)
        assert verified(anew) == (0, "PASS")
        code, said = verified(anew, "--key", _key_of(bundle))
        assert code == 1
        found = OTHER_KEY.public_key().public_bytes_raw().hex()
        assert said.startswith("FAIL: the key that signed it, the manifest")
        assert said.endswith(f"found {found}")

    @pytest.mark.parametrize("key", ["", "12", "g" * 64, "0" * 66])
    def test_says_what_a_key_looks_like(self, bundle: bytes, verified: Verified, key: str) -> None:
        code, said = verified(bundle, "--key", key)
        assert (code, "--key takes a proof key of 64 hexadecimal digits" in said) == (2, True)


def _key_of(bundle: bytes) -> str:
    import json

    key: str = json.loads(contents_of(bundle)["manifest.json"])["proof_key"]
    return key


class TestAChangedByte:
    def test_anywhere_at_random_makes_it_fail(self, bundle: bytes, verified: Verified) -> None:
        chance = random.Random(20260901)  # noqa: S311
        for _ in range(1_000):
            self._flipped_fails(bundle, chance.randrange(len(bundle)), chance, verified)

    def test_of_the_zip_files_own_structure_makes_it_fail(
        self, bundle: bytes, verified: Verified
    ) -> None:
        chance = random.Random(7)  # noqa: S311
        for position in range(len(bundle) - 1_000, len(bundle)):
            self._flipped_fails(bundle, position, chance, verified)
        start = 0
        while (start := bundle.find(b"PK\x03\x04", start)) >= 0:
            for position in range(start, start + 46):
                self._flipped_fails(bundle, position, chance, verified)
            start += 1

    def _flipped_fails(
        self, bundle: bytes, position: int, chance: random.Random, verified: Verified
    ) -> None:
        other = bytes([bundle[position] ^ (1 << chance.randrange(8))])
        code, said = verified(bundle[:position] + other + bundle[position + 1 :])
        assert code != 0, f"byte {position}"
        assert said.startswith("FAIL: ") or code == 2, said

    @pytest.mark.parametrize("more", [b"\0", b"PK\x05\x06" + bytes(18), b"text"])
    def test_more_at_the_end_makes_it_fail(
        self, bundle: bytes, verified: Verified, more: bytes
    ) -> None:
        assert verified(bundle + more)[0] == 1

    def test_less_at_the_end_makes_it_fail(self, bundle: bytes, verified: Verified) -> None:
        for length in range(60, len(bundle), 501):
            assert verified(bundle[:length])[0] == 1


def _set(at: int, name: str, value: Any) -> Callable[[list[Any]], None]:
    def change(records: list[Any]) -> None:
        records[at][name] = value

    return change


def _more_usage(records: list[Any]) -> None:
    records[-1]["usage"]["cpu.time"] += 1


def _less_used(records: list[Any]) -> None:
    records[0]["used"] -= 1


def _dearer(terms: Any) -> None:
    terms["contract"]["terms"][0]["prices"][0]["spec"]["model"]["unit_price"] = "0.0124"


def _line(name: str, value: Any) -> Callable[[Any], None]:
    def change(invoice: Any) -> None:
        invoice["lines"][0][name] = value

    return change


def _swap(records: list[Any]) -> None:
    records[0], records[1] = records[1], records[0]


def _sample_value(records: list[Any]) -> None:
    records[3] = records[3].replace("cpu.time=1", "cpu.time=2")


def _step(invoice: Any) -> None:
    invoice["lines"][1]["steps"][0]["numbers"]["raw"] = "1"


def _total(invoice: Any) -> None:
    invoice["total"] = invoice["gross"] = invoice["payable"] = "31.91"


def _resigned(records: list[Any]) -> None:
    records[2]["signature"] = records[1]["signature"]


def _other_body(records: list[Any]) -> None:
    records[1]["content_digest"] = records[0]["content_digest"]


def _revoked(keys: list[Any]) -> None:
    for key in keys:
        key["revoked_at"] = key["created_at"] - 3_600_000_000


def _late(keys: list[Any]) -> None:
    for key in keys:
        key["created_at"] += 3_600_000_000


def _other_key(keys: list[Any]) -> None:
    keys[0]["public_key"] = OTHER_KEY.public_key().public_bytes_raw().hex()


def _accepted(records: list[Any]) -> None:
    for record in records:
        for meter in record["body"]["meters"].values():
            meter[0] = "exact"


DIFFERENCES: dict[str, tuple[Callable[[Contents], None], str]] = {
    "usage": (changed_lines("usage.jsonl.gz", _more_usage), "the raw quantity"),
    "a rollup twice": (
        changed_lines("usage.jsonl.gz", lambda rows: rows.insert(0, rows[0])),
        "usage.jsonl.gz, the order",
    ),
    "a rollup left out": (
        changed_lines("usage.jsonl.gz", lambda rows: rows.pop()),
        "what is behind the rollups",
    ),
    "a rollup out of order": (changed_lines("usage.jsonl.gz", _swap), "usage.jsonl.gz, the order"),
    "a rollup of samples here": (
        changed_lines("usage.jsonl.gz", _set(0, "covered_us", 1)),
        "a rollup of its sources",
    ),
    "a price": (changed_json("terms.json", _dearer), "the unrounded, line 1"),
    "an amount": (changed_json("invoice.json", _line("amount", "1000")), "the amount, line 1"),
    "a quantity": (changed_json("invoice.json", _line("raw_quantity", "1")), "the raw quantity"),
    "a label": (changed_json("invoice.json", _line("label", "Disk")), "label, line 1"),
    "a step": (changed_json("invoice.json", _step), "step 1, line 2"),
    "a line left out": (
        changed_json("invoice.json", lambda invoice: invoice["lines"].pop()),
        "how many lines",
    ),
    "the total": (changed_json("invoice.json", _total), "the total"),
    "the tax": (
        changed_json("invoice.json", lambda invoice: invoice.update(tax_total="1")),
        "the sum of the taxes",
    ),
    "what is payable": (
        changed_json("invoice.json", lambda invoice: invoice.update(payable="1")),
        "the payable amount",
    ),
    "a batch left out": (
        changed_lines("batches.jsonl.gz", lambda rows: rows.pop()),
        "the samples of all batches",
    ),
    "a batch's samples": (
        changed_lines("batches.jsonl.gz", _less_used),
        "the samples of all batches",
    ),
    "a batch's signature": (changed_lines("batches.jsonl.gz", _resigned), "its signature"),
    "a batch's digest": (changed_lines("batches.jsonl.gz", _other_body), "its Content-Digest"),
    "a batch's arrival": (
        changed_lines("batches.jsonl.gz", _set(0, "received_at", 0)),
        "when it was signed",
    ),
    "a revoked key": (changed_json("keys.json", _revoked), "expected a valid one at"),
    "a key of later": (changed_json("keys.json", _late), "expected a valid one at"),
    "another public key": (changed_json("keys.json", _other_key), "its signature"),
    "a key left out": (changed_json("keys.json", lambda keys: keys.clear()), "its key"),
    "a profile": (changed_lines("profiles.jsonl.gz", _accepted), "its digest"),
    "a sample": (changed_lines("samples.jsonl.gz", _sample_value), "the samples of"),
    "a digest": (changed_lines("digests.jsonl.gz", _set(0, "sha256", "0" * 64)), "the samples of"),
    "an assignment": (
        changed_json("assignments.json", lambda rows: rows.pop()),
        "one that is billed",
    ),
    "the currency": (
        changed_json("terms.json", lambda terms: terms["currency"].update(decimals=3)),
        "the currency",
    ),
}


class TestContentsSignedAnew:
    """Whoever runs the server holds the proof key: its signature is no proof of the sums."""

    @pytest.mark.parametrize("name", DIFFERENCES)
    def test_fail_where_they_differ(self, bundle: bytes, verified: Verified, name: str) -> None:
        change, said_of = DIFFERENCES[name]
        code, said = verified(signed_anew(bundle, change))
        assert code == 1
        assert said.startswith("FAIL: ")
        assert said_of in said

    def test_that_cannot_be_recomputed_never_pass(self, bundle: bytes, verified: Verified) -> None:
        unsigned = signed_anew(bundle, changed_lines("batches.jsonl.gz", _set(0, "signature", "")))
        assert verified(unsigned) == (
            1,
            "NOT VERIFIED: 1 thing could not be recomputed; what was looked at holds",
        )


class TestAnotherFile:
    @pytest.mark.parametrize(
        "content", [b"", b"x", b"PK", b"PK\x03\x04" + bytes(100), b"%PDF-1.7\n" * 50, bytes(5_000)]
    )
    def test_is_no_bundle(self, verified: Verified, content: bytes) -> None:
        code, said = verified(content)
        assert code == 2
        assert said.startswith("hostmeter: ")

    def test_that_is_not_there_is_no_bundle(self, tmp_path: Path) -> None:
        done = run(verifier_in(tmp_path), "verify", tmp_path / "none.zip")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("none.zip: No such file or directory\n")

    def test_that_is_another_zip_file_is_no_bundle(
        self, verified: Verified, tmp_path: Path
    ) -> None:
        with ZipFile(tmp_path / "other.zip", "w") as other:
            other.writestr("../../etc/passwd", "x")
        assert verified((tmp_path / "other.zip").read_bytes())[0] == 2

    def test_of_the_same_members_in_a_usual_zip_fails(
        self, bundle: bytes, verified: Verified, tmp_path: Path
    ) -> None:
        with ZipFile(tmp_path / "usual.zip", "w", ZIP_DEFLATED) as usual:
            for name, content in contents_of(bundle).items():
                usual.writestr(name, content)
        assert verified((tmp_path / "usual.zip").read_bytes())[0] != 0
