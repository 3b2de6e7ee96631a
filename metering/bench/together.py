"""Child processes that prepare, wait for one another and then work at the same moment."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

_READY = "ready"


class BenchFailed(Exception):
    """The benchmark measured nothing; the message says why."""


def run_together(module: str, inputs: Sequence[Any]) -> list[Any]:
    """Run `python -m module` once an input, all at once after all have prepared; their results.

    Inputs and results are JSON. Raises BenchFailed when a child ends early.
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-m", module],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in inputs
    ]
    try:
        for child, each in zip(children, inputs, strict=True):
            _tell(child, json.dumps(each))
        for child in children:
            if _line(child) != _READY:
                raise BenchFailed(f"{module} did not get ready")
        for child in children:
            _tell(child, "go")
        return [json.loads(_line(child)) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _tell(child: "subprocess.Popen[str]", line: str) -> None:
    if child.stdin is not None:
        child.stdin.write(f"{line}\n")
        child.stdin.flush()


def _line(child: "subprocess.Popen[str]") -> str:
    line = child.stdout.readline() if child.stdout is not None else ""
    if not line:
        raise BenchFailed("a child process ended early")
    return line.rstrip("\n")


def serve(prepare: Callable[[Any], Callable[[], Any]]) -> None:
    """The child's side: prepare from the input, say so, and do the work when told."""
    work = prepare(json.loads(sys.stdin.readline()))
    print(_READY, flush=True)
    sys.stdin.readline()
    print(json.dumps(work()), flush=True)
