"""What an agent attaches to the kernel goes on without it, so these tests have to end it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent import mounts


@pytest.fixture
def state_directory(tmp_path: Path) -> Iterator[Path]:
    """What is attached for it ends with the test, however that goes."""
    yield tmp_path
    mounts.detach(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A bpffs keeps what is pinned in it attached, until the machine is started again."""
    yield
    base = tmp_path_factory.getbasetemp().resolve()
    places = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [place for place in places if place.is_relative_to(base)] == []
