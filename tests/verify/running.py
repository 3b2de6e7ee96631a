"""The verifier as an auditor runs it: one file, an isolated interpreter and no other package."""

import subprocess
import sys
from pathlib import Path

from billing.proof.verifier import FILE_NAME, build_verifier


def verifier_in(folder: Path) -> Path:
    """The single-file verifier, written into the folder."""
    path = folder / FILE_NAME
    path.write_bytes(build_verifier())
    return path


def run(verifier: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-S", verifier, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
