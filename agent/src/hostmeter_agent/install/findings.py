"""What a check of the doctor says, and what it is given."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    quality: what will be delivered, one of wire.QUALITIES; for what is no meter, "ok" or
    "unavailable". reason: why, in one line. remedy: what to do, "" where nothing is to do.
    """

    name: str
    quality: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. config: the file that the service reads; None without one."""

    state: Path
    config: Path | None = None
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


def effective_capabilities(place: Place) -> int:
    """The bits of this process's effective capabilities."""
    for line in (place.proc / "self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def mounts(place: Place, kind: str) -> list[tuple[Path, list[str]]]:
    """Where file systems of a kind are mounted, with their options."""
    found = []
    for line in (place.proc / "self/mounts").read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] == kind:
            found.append((Path(words[1]), words[3].split(",")))
    return found
