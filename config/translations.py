"""Catalogs of translations, compiled where they lie: gettext reads no text files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

_ROOT: Final = Path(__file__).resolve().parent.parent
_APPLICATIONS: Final = ("portal", "billing", "metering", "tenants")


def catalogs() -> Iterator[Path]:
    """Every text catalog of ours, in a fixed order."""
    for application in _APPLICATIONS:
        yield from sorted(_ROOT.glob(f"{application}/locale/*/LC_MESSAGES/*.po"))


def compile_translations() -> int:
    """Compile what changed; how many. Two processes may do it at once: a file appears whole."""
    compiled = 0
    for source in catalogs():
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        partial = target.with_suffix(f".{os.getpid()}")
        with source.open("rb") as text, partial.open("wb") as binary:
            write_mo(binary, read_po(text, locale=source.parent.parent.name))
        partial.replace(target)
        compiled += 1
    return compiled
