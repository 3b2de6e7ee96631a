"""The verifier as one file that any Python runs: `python3 hostmeter.pyz verify bundle.zip`."""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.conf import settings

FILE_NAME: Final = "hostmeter.pyz"
_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_START: Final = b"import sys\n\nfrom hostmeter_verify.__main__ import main\n\nsys.exit(main())\n"
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)


@cache
def build_verifier() -> bytes:
    """The zip application. The same sources give the same bytes."""
    archive = BytesIO(_SHEBANG)
    archive.seek(0, 2)
    with ZipFile(archive, "a", ZIP_DEFLATED) as application:
        application.writestr(ZipInfo("__main__.py", _EARLIEST), _START, ZIP_DEFLATED)
        for name, path in sorted(_sources()):
            application.writestr(ZipInfo(name, _EARLIEST), path.read_bytes(), ZIP_DEFLATED)
    return archive.getvalue()


def _sources() -> Iterator[tuple[str, Path]]:
    """Each source by its name in the archive: the verifier, and what of the server and the agent it
    recomputes with. verify/pyproject.toml lists the same for its wheel."""
    root = Path(settings.BASE_DIR)
    agent, verifier = root / "agent" / "src", root / "verify" / "src"
    yield from _python(verifier, verifier / "hostmeter_verify")
    yield from _python(root, root / "billing" / "core")
    yield from _python(root, root / "metering" / "core")
    for name in ("billing/__init__.py", "metering/__init__.py"):
        yield name, root / name
    for name in ("hostmeter_agent/__init__.py", "hostmeter_agent/wire.py"):
        yield name, agent / name


def _python(base: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*.py"):
        yield path.relative_to(base).as_posix(), path
