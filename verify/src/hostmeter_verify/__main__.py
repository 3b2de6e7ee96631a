"""`hostmeter verify bundle.zip`: exit 0 for PASS, 1 for a difference or what could not be verified,
2 for what is no bundle."""

import argparse
import sys
from pathlib import Path
from typing import Any

# The pure core that the server rates with. In a wheel it stands in a folder of this package, so
# that it is never mistaken for a server's that is installed beside it.
_CORE = Path(__file__).resolve().parent / "core"
if _CORE.is_dir():
    sys.path.insert(0, str(_CORE))

from hostmeter_verify.bundle import open_bundle  # noqa: E402
from hostmeter_verify.findings import Difference, NotABundle  # noqa: E402
from hostmeter_verify.progress import Progress  # noqa: E402
from hostmeter_verify.verifying import verify  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    progress = Progress()
    try:
        pinned = None if options.key is None else _key(options.key)
    except NotAKey as error:
        print(f"hostmeter: {error}", file=sys.stderr)
        return 2
    try:
        with open_bundle(options.bundle, pinned=pinned) as bundle:
            outcome = verify(bundle, say=_say, progress=progress)
    except NotABundle as error:
        print(f"hostmeter: {options.bundle}: {error}", file=sys.stderr)
        return 2
    except Difference as difference:
        progress.clear()
        _say(_ADVICE_ON_FAIL)
        _say(f"FAIL: {difference}")
        return 1
    except (MemoryError, RecursionError):
        _say("FAIL: the bundle asks for more memory than there is")
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  what this program fails on has not passed
        progress.clear()
        _say(f"FAIL: the bundle cannot be read: {type(error).__name__}: {error}"[:400])
        return 1
    for each in outcome.unverified[:_SHOWN_MAX]:
        _say(f"not verified: {each}")
    if len(outcome.unverified) > _SHOWN_MAX:
        _say(f"not verified: {len(outcome.unverified) - _SHOWN_MAX} more")
    if options.key is None:
        _say(_ADVICE_ON_KEY)
    _say(_verdict(len(outcome.unverified)))
    return 1 if outcome.unverified else 0


_SHOWN_MAX = 20
_ADVICE_ON_KEY = (
    "note: anybody can sign a bundle; give the key that your provider has told you with --key"
)
_ADVICE_ON_FAIL = (
    "note: download the bundle again; if it fails again, send the next line to your provider"
)
_RESULTS = """\
The last line is the result:
  PASS              every line, total and tax, and what is payable, follow from
                    the usage in the bundle (exit code 0)
  NOT VERIFIED: ... nothing contradicts the invoice, but some of it could not be
                    recomputed: the lines before say what; ask the provider for
                    a newer bundle, or for that usage (exit code 1)
  FAIL: ...         what differs, where, what follows from the rest of the bundle
                    ("expected") and what stands there ("found") (exit code 1)
A file that cannot be read or is no bundle is told in one line on stderr (exit
code 2).
"""


def _verdict(unverified: int) -> str:
    if not unverified:
        return "PASS"
    things = "1 thing" if unverified == 1 else f"{unverified} things"
    return f"NOT VERIFIED: {things} could not be recomputed; what was looked at holds"


class _Parser(argparse.ArgumentParser):
    """Says in one line which argument is wrong; --help has all of them."""

    def print_usage(self, file: Any = None) -> None:
        pass


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hostmeter",
        description="Recomputes an invoice from its proof bundle.",
        epilog="hostmeter verify --help says more.",
    )
    commands = parser.add_subparsers(dest="command", metavar="verify", required=True)
    words = "recompute an invoice from its proof bundle, without a network"
    command = commands.add_parser(
        "verify",
        help=words,
        description=f"{words[0].upper()}{words[1:]}, and print each line.",
        epilog=_RESULTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("bundle", help="the bundle, a .zip file")
    command.add_argument(
        "--key",
        metavar="HEX",
        help="accept nothing but a bundle signed by this proof key, 64 hexadecimal digits; "
        "without it a bundle that anybody made passes",
    )
    return parser


class NotAKey(Exception):
    """What was given with --key is no proof key."""


def _key(written: str) -> bytes:
    """Raises NotAKey."""
    digits = "".join(written.split()).lower()
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise NotAKey("--key takes a proof key of 64 hexadecimal digits")
    return key


def _say(words: str) -> None:
    """Whatever stands in a bundle, a terminal is never told to do anything."""
    printable = "".join(each if each.isprintable() else "?" for each in words)
    encoding = sys.stdout.encoding or "ascii"
    print(printable.encode(encoding, "replace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
