"""`hostmeter verify bundle.zip`: exit 0 for PASS, 1 for a difference, 2 for what is no bundle."""

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
        with open_bundle(options.bundle, pinned=pinned) as bundle:
            outcome = verify(bundle, say=_say, progress=progress)
    except NotABundle as error:
        print(f"hostmeter: {options.bundle}: {error}", file=sys.stderr)
        return 2
    except Difference as difference:
        progress.clear()
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
    for each in outcome.unverified[:20]:
        _say(f"not verified: {each}")
    _say(_verdict(len(outcome.unverified)))
    return 1 if outcome.unverified else 0


def _verdict(unverified: int) -> str:
    if not unverified:
        return "PASS"
    return f"NOT VERIFIED: {unverified} things could not be recomputed; what was looked at holds"


class _Parser(argparse.ArgumentParser):
    """Says in one line which argument is wrong; --help has all of them."""

    def print_usage(self, file: Any = None) -> None:
        pass


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hostmeter", description="Recomputes invoices.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify", help="recompute an invoice from its proof bundle, without a network"
    )
    command.add_argument("bundle", help="the bundle, a .zip file")
    command.add_argument(
        "--key",
        metavar="HEX",
        help="accept nothing but a bundle signed by this proof key, 64 hexadecimal digits",
    )
    return parser


def _key(written: str) -> bytes:
    """Raises NotABundle."""
    digits = "".join(written.split()).lower()
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise NotABundle("--key takes a proof key of 64 hexadecimal digits")
    return key


def _say(words: str) -> None:
    """Whatever stands in a bundle, a terminal is never told to do anything."""
    printable = "".join(each if each.isprintable() else "?" for each in words)
    encoding = sys.stdout.encoding or "ascii"
    print(printable.encode(encoding, "replace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
