"""What is said to a reader who has gone is dropped."""

import subprocess
import sys

from config.runtime.home import REPOSITORY

_SAY_TWICE = """
import sys
from config.runtime.progress import say
sys.stdin.read()
say("one")
say("two")
sys.exit(3)
"""


def test_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SAY_TWICE],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.close()
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(30) == 3
