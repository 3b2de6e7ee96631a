"""What a test mounts or attaches to the kernel outlives it, so it has to be taken away."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In a bpffs there may be programs, which stay attached until the machine is started again."""
    yield
    base = tmp_path_factory.getbasetemp().resolve()
    places = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [place for place in places if place.is_relative_to(base)] == []
