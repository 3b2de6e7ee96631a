"""Bundles that were tampered with, at random: the verifier passes none, says why in one line, and
takes little time and memory.

The suite runs a few cases. The long form, from the repository's root:

    PYTHONPATH=agent/src:verify/src python3 -m tests.verify.fuzzing --cases 20000

Two kinds: bytes of the file are changed, which never passes; and contents are changed and signed
anew with a key of the forger's own. That never passes under the provider's key; and without one it
passes only where what is charged stays as it was, such as in a name or a reason.
"""

import argparse
import gzip
import io
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hostmeter_verify.__main__ import main as hostmeter

from billing.core.proof import archive
from billing.core.proof.records import canonical
from tests.verify.rebuilding import (
    CREDIT_NOTE,
    GOLDEN,
    OTHER_KEY,
    TAKEN_BACK,
    Contents,
    archived,
    contents_of,
    signed_anew,
)

SECONDS_MAX = 5.0
# Nobody has it who tampers.
PROVIDERS_KEY = "5484cc90" * 8
Chance = random.Random
Bundle = bytes


@dataclass(frozen=True, slots=True)
class Case:
    """A tampered bundle; `place` is where. `may_pass` if nobody asks whose key signed it."""

    bundle: Bundle
    place: str
    may_pass: bool


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    last: str
    seconds: float


def flipped(bundle: Bundle, chance: Chance) -> Bundle:
    at = chance.randrange(len(bundle))
    return bundle[:at] + bytes([bundle[at] ^ (1 << chance.randrange(8))]) + bundle[at + 1 :]


def replaced(bundle: Bundle, chance: Chance) -> Bundle:
    at, length = chance.randrange(len(bundle)), chance.randrange(1, 64)
    return bundle[:at] + chance.randbytes(length) + bundle[at + length :]


def cut_off(bundle: Bundle, chance: Chance) -> Bundle:
    return bundle[: chance.randrange(len(bundle))]


def cut_out(bundle: Bundle, chance: Chance) -> Bundle:
    at = chance.randrange(len(bundle) - 1)
    return bundle[:at] + bundle[at + chance.randrange(1, 2_000) :]


def inserted(bundle: Bundle, chance: Chance) -> Bundle:
    at = chance.randrange(len(bundle) + 1)
    return bundle[:at] + chance.randbytes(chance.randrange(1, 64)) + bundle[at:]


def doubled(bundle: Bundle, chance: Chance) -> Bundle:
    start = chance.randrange(len(bundle) - 1)
    end = chance.randrange(start + 1, len(bundle))
    return bundle[:end] + bundle[start:]


def exchanged(bundle: Bundle, chance: Chance) -> Bundle:
    """Two members change their contents."""
    contents = contents_of(bundle)
    one, other = chance.sample(sorted(contents), 2)
    contents[one], contents[other] = contents[other], contents[one]
    return archived(contents)


def reordered(bundle: Bundle, chance: Chance) -> Bundle:
    """The members stand in another order."""
    start, length = archive.directory_of(bundle[-archive.END_BYTES :])
    members = archive.members_in(bundle[start : start + length])
    shuffled = members[:]
    while shuffled == members:
        chance.shuffle(shuffled)
    out, placed = b"", []
    for each in shuffled:
        moved = archive.Member(each.name, each.size, each.crc32, len(out))
        placed.append(moved)
        out += archive.local_header(moved) + bundle[each.data_offset : each.end]
    return out + archive.ending(placed)


def with_one_twice(bundle: Bundle, chance: Chance) -> Bundle:
    """A member stands twice in the directory, the second time with other contents."""
    start, length = archive.directory_of(bundle[-archive.END_BYTES :])
    members = archive.members_in(bundle[start : start + length])
    one = chance.choice(members)
    content = chance.randbytes(8)
    more = archive.Member(one.name, len(content), chance.getrandbits(32), start)
    data = archive.local_header(more) + content
    at = chance.randrange(len(members) + 1)
    return bundle[:start] + data + archive.ending([*members[:at], more, *members[at:]])


def with_one_more(bundle: Bundle, chance: Chance) -> Bundle:
    name = chance.choice(["a", "zz", "FORMAT2", "billed.json", "../x", "usage.jsonl.gz\0"])
    contents = contents_of(bundle)
    return archived(contents | {name: contents.get(name, b"") + b"x"})


def with_one_less(bundle: Bundle, chance: Chance) -> Bundle:
    contents = contents_of(bundle)
    del contents[chance.choice(sorted(contents))]
    return archived(contents)


def compressed_anew(bundle: Bundle, chance: Chance) -> Bundle:
    """The same lines in other bytes."""
    contents = contents_of(bundle)
    name = chance.choice([each for each in sorted(contents) if each.endswith(".gz")])
    whole = gzip.decompress(contents[name])
    contents[name] = gzip.compress(whole, chance.randrange(6), mtime=chance.randrange(1, 2**31))
    return archived(contents)


BYTES: list[Callable[[Bundle, Chance], Bundle]] = [
    flipped, replaced, cut_off, cut_out, inserted, doubled, exchanged, reordered, with_one_twice,
    with_one_more, with_one_less, compressed_anew,
]  # fmt: skip

# What may stand in the place of a value.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**39, 10**40, -(10**40), 10**4_000, "", "0", "1",
    "-1", "1.0", "00", "+1", "1e5", "1E999999999", "NaN", "Infinity", "-0", " 1", "1 ", "1_000",
    "١٢٣", "１２", "12", "\u202e1", "é", "é", "A", "А", "\0", "\x1b[2J", "x" * 50_000,  # noqa: RUF001
    [], {}, [[]], [{}], {"type": "Contract"}, {"": 0}, "primary", "exact",
    "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00", 253_402_300_799_000_000,
    "00000000-0000-0000-0000-000000000000",
]  # fmt: skip
# Text that is JSON and not in the bundle's form, or no JSON at all.
TEXTS: list[tuple[bytes, bytes]] = [
    (b":", b": "), (b",", b" ,"), (b"{", b"{\n"), (b":0", b":-0"), (b":0", b":0.0"),
    (b":0", b":00"), (b":1", b":1e0"), (b":1", b":1E400"), (b":1", b":1.0"), (b":1", b":+1"),
    (b":0", b":NaN"),
    (b":0", b":Infinity"), (b':"', b':"\\u0000'), (b':"', b':"\xff'), (b':"', b':"\xed\xa0\x80'),
    (b"{", b"\xef\xbb\xbf{"), (b'"', b"'"), (b"a", b"\\u0061"), (b"true", b"True"), (b"}", b",}"),
    (b'{"', b'{"a":1,"a":1,"'), (b"null", b"undefined"), (b"[", b"[" * 100_000), (b"}", b"}}"),
    (b"o", "о".encode()), (b"-", "‐".encode()), (b"1", "１".encode()),  # noqa: RUF001
]  # fmt: skip


def _leaves(value: Any, place: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Each value's container, its key there, and its place, with numbers left out of it."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in list(pairs):
        inside = f"{place}.{key}" if isinstance(value, dict) else f"{place}[]"
        yield value, key, inside
        if isinstance(each, dict | list):
            yield from _leaves(each, inside)


def _another(value: Any, chance: Chance) -> Any:
    """A value that is like it, or something else altogether."""
    near: list[Any] = []
    if isinstance(value, int) and not isinstance(value, bool):
        near = [value + 1, value - 1, value * 10, -value, str(value), value + 300_000_000]
    elif isinstance(value, str) and value:
        at = chance.randrange(len(value))
        near = [value + "0", value[:-1], value.upper(), value[::-1], f"{value} ",
                value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]]  # fmt: skip
    elif isinstance(value, list):
        near = [value[:-1], value + value[:1], value[::-1], value + value]
    elif isinstance(value, dict):
        near = [dict(list(value.items())[1:]), value | {"more": 1}]
    return chance.choice(near if near and chance.random() < 0.7 else VALUES)


def other_value(contents: Contents, chance: Chance) -> str:
    """A value somewhere in a member is another."""
    name = chance.choice([each for each in sorted(contents) if "json" in each])
    table = name.endswith(".gz")
    text = gzip.decompress(contents[name]) if table else contents[name]
    root = [json.loads(line) for line in text.splitlines()] if table else [json.loads(text)]
    places = list(_leaves(root))
    if not places:
        return name
    holder, key, place = chance.choice(places)
    if isinstance(holder, dict) and chance.random() < 0.15:
        del holder[key]
    else:
        holder[key] = _another(holder[key], chance)
    lines = list(map(canonical, root))
    written = b"".join(line + b"\n" for line in lines)
    written = written if name != archive.MANIFEST else lines[0]
    contents[name] = gzip.compress(written, mtime=0) if table else written
    return f"{name}{place}"


def other_text(contents: Contents, chance: Chance) -> str:
    """A member is written in another way."""
    name = chance.choice([each for each in sorted(contents) if each != archive.SIGNATURE])
    table = name.endswith(".gz")
    text = gzip.decompress(contents[name]) if table else contents[name]
    before, after = chance.choice(TEXTS)
    found = [at for at in range(len(text)) if text.startswith(before, at)]
    if found:
        at = chance.choice(found)
        text = text[:at] + after + text[at + len(before) :]
    contents[name] = gzip.compress(text, mtime=0) if table else text
    return f"{name} {before!r} {after!r}"[:60]


def other_lines(contents: Contents, chance: Chance) -> str:
    """Lines of a table stand elsewhere, twice or no more."""
    name = chance.choice([each for each in sorted(contents) if each.endswith(".gz")])
    lines = gzip.decompress(contents[name]).splitlines(keepends=True)
    if lines:
        at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
        line = lines[at] if chance.random() < 0.5 else lines.pop(at)
        if chance.random() < 0.7:
            lines.insert(to, line)
    contents[name] = gzip.compress(b"".join(lines), mtime=0)
    return f"{name} lines"


CONTENTS: list[Callable[[Contents, Chance], str]] = [other_value, other_value, other_value,
                                                     other_text, other_lines]  # fmt: skip


def cases(count: int, seed: int) -> Iterator[Case]:
    """The same for the same seed."""
    chance = Chance(seed)
    bundles = [signed_anew(path.read_bytes()) for path in (GOLDEN, CREDIT_NOTE, TAKEN_BACK)]
    for number in range(count):
        bundle = chance.choice(bundles)
        if number % 3 == 0:
            tamper = chance.choice(BYTES)
            tampered = tamper(bundle, chance)
            if tampered != bundle:
                yield Case(tampered, tamper.__name__, may_pass=False)
            continue
        contents = contents_of(bundle)
        before = dict(contents)
        place = chance.choice(CONTENTS)(contents, chance)
        if any(_meaning(contents[name]) != _meaning(before[name]) for name in before):
            yield Case(_signed(contents, before), place, _charged(contents) == _charged(before))


_FIGURES = ("total", "tax_total", "credit_applied", "gross", "payable", "currency", "kind")
_LINES = (
    "kind", "label", "application", "application_name", "price", "meter", "unit", "attributes",
    "raw_quantity", "quantity", "unrounded", "amount", "steps",
)  # fmt: skip


def _charged(contents: Contents) -> Any:
    """What the invoice says is charged, and how it comes to that. What is not recomputed is left
    out: the words of steps, for how long a host was silent, and which taxes apply."""
    try:
        invoice = json.loads(contents["invoice.json"])
        lines = [[line[name] for name in _LINES] for line in invoice["lines"]]
        for *_, steps in lines:
            kept = [each for each in steps if each["kind"] != "coverage"]
            steps[:] = [(each["kind"], each["numbers"]) for each in kept]
        return repr([[invoice[name] for name in _FIGURES], lines])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _signed(contents: Contents, before: Contents) -> Bundle:
    manifest = contents[archive.MANIFEST]
    if manifest == before[archive.MANIFEST]:
        return signed_anew(archived(contents))
    signature = OTHER_KEY.sign(archive.SIGNED_PREFIX + manifest)
    return archived(contents | {archive.SIGNATURE: signature})


def _meaning(member: bytes) -> Any:
    """What a member says, whatever its compression."""
    if not member.startswith(b"\x1f\x8b"):
        return member
    try:
        return gzip.decompress(member)
    except (OSError, EOFError):
        return member


def said_of(bundle: Bundle, folder: Path, *arguments: str) -> Said:
    """What the command says in this process. Whatever it raises is raised here."""
    path = folder / "bundle.zip"
    path.write_bytes(bundle)
    out, began = io.StringIO(), time.perf_counter()
    with redirect_stdout(out), redirect_stderr(out):
        code = hostmeter(["verify", str(path), *arguments])
    last = out.getvalue().rstrip("\n").rpartition("\n")[2]
    return Said(code, last, time.perf_counter() - began)


def wrong_with(case: Case, folder: Path) -> tuple[str | None, Said]:
    """What the verifier does that it must not, and what it says."""
    said = said_of(case.bundle, folder)
    pinned = said_of(case.bundle, folder, "--key", PROVIDERS_KEY)
    wrong = None
    if max(said.seconds, pinned.seconds) > SECONDS_MAX:
        wrong = "it took too long"
    elif {said.code, pinned.code}.difference((0, 1, 2)) or len(said.last) > 1_000:
        wrong = "it said too much"
    elif "cannot be read" in said.last:
        wrong = "it was not foreseen"
    elif pinned.code == 0:
        wrong = "it passed under the provider's key"
    elif said.code == 0 and not case.may_pass:
        wrong = "it passed"
    return wrong, said


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzzing", description="Tampers with proof bundles.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found: Counter[str] = Counter()
    slowest = 0.0
    with TemporaryDirectory() as folder:
        for number, case in enumerate(cases(options.cases, options.seed), start=1):
            wrong, said = wrong_with(case, Path(folder))
            slowest = max(slowest, said.seconds)
            if wrong is not None:
                found[f"{wrong}: {case.place}: {said.last[:120]}"] += 1
            if number % 1_000 == 0:
                print(f"{number:,} cases", file=sys.stderr)
    for words, count in found.most_common():
        print(f"{count}  {words}")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"slowest {slowest:.2f} s, peak memory {peak_mb} MB, {sum(found.values())} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
