"""Writing the configuration file: values set from the command line, all else left as it stands."""

import json
import re
from pathlib import Path
from typing import Final

from hostmeter_agent.config import FILE_BYTES_MAX, ConfigInvalid, load_config, parse_config

FIRST_TEXT: Final = """\
# What each key means: `hostmeter-agent` in Hostmeter's documentation. Every key has a default.
"""
_KEY: Final = re.compile(r"[a-z_]{1,64}")
_HEADER: Final = re.compile(r"^\s*\[", re.MULTILINE)


def planned_text(path: Path, given: Path | None, values: list[str]) -> str:
    """The content that `path` is to have: that of `given`, else its own, else the first one; with
    KEY=VALUE set on top. Raises ConfigInvalid where the agent could not use it."""
    text = _text(given) if given is not None else _text(path) if path.exists() else FIRST_TEXT
    parse_config(given or path, text)
    for value in values:
        text = _with_value(text, value)
    parse_config(path, text)
    return text


def _text(path: Path) -> str:
    load_config(path)  # says what is wrong with the file, in the file's own words
    return path.read_text(encoding="utf-8")


def _with_value(text: str, assignment: str) -> str:
    key, equals, value = assignment.partition("=")
    key = key.strip()
    if not equals or not _KEY.fullmatch(key) or len(assignment) > 1_000:
        raise ConfigInvalid(
            f"--set {assignment[:60]!r}: must be KEY=VALUE, such as births_seconds=0"
        )
    value = value.strip()
    shown = value if value.isdigit() else json.dumps(value, ensure_ascii=False)
    line = f"{key} = {shown}\n"
    first = _HEADER.search(text)
    end = first.start() if first else len(text)
    top, tables = text[:end], text[end:]
    former = re.compile(rf"^\s*{key}\s*=.*\n?", re.MULTILINE)
    if former.search(top):
        top = former.sub(lambda _: line, top, count=1)
    else:
        top = (top if not top or top.endswith("\n") else top + "\n") + line
    if len(top) + len(tables) > FILE_BYTES_MAX:
        raise ConfigInvalid(f"--set {key}: the file would be larger than {FILE_BYTES_MAX} bytes")
    return top + tables
