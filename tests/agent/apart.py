"""Programs that are no children of this process: those would be the agent's own."""

import sys
from typing import Final

# As setsid --fork does, with --wait or without, which is not on every machine.
_FORK: Final = """
import os, sys
child = os.fork()
if not child:
    os.setsid()
    os.execvp(sys.argv[2], sys.argv[2:])
if sys.argv[1] == "wait":
    os.wait()
os._exit(0)
"""


def apart(*words: str, wait: bool = True) -> list[str]:
    """The command for it; wait: its first process ends with the program instead of at once."""
    return [sys.executable, "-I", "-S", "-c", _FORK, "wait" if wait else "", *words]
