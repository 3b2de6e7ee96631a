"""Resources opened by application and kind, counted by a small eBPF program at the end of each
system call.

Counted are descriptors that system calls of 64-bit programs opened: a pipe and a pair of sockets
are two. Not counted: duplicates (dup, fork), descriptors received from another process, and what
io_uring opens. A path that begins with /dev/ (but /dev/shm/ and /dev/mqueue/) is a device, any
other a file, whatever it leads to.
"""

import errno
import logging
import os
import platform
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hostmeter_agent.kernel import ebpf
from hostmeter_agent.kernel.ebpf_object import MalformedObject, parse_object
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.proc import RESOURCE_KINDS
from hostmeter_agent.measure.readings import UNATTRIBUTED, Reading
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

TOTAL: Final = "resources.opened"
METERS: Final = (TOTAL, *(f"{TOTAL}.{kind}" for kind in RESOURCE_KINDS))
_METHOD: Final = "sys-exit/1"
_TRACEPOINT: Final = "sys_exit"
_MACHINE: Final = "x86_64"
_OBJECT: Final = Path(__file__).parent / "bpf" / "opens.bpf.o"
_COUNTS: Final = struct.Struct(f"={len(RESOURCE_KINDS)}Q")
_NOTHING: Final = (0,) * len(RESOURCE_KINDS)

Counts = tuple[int, ...]
"""Descriptors opened, by RESOURCE_KINDS."""


class OpensUnavailable(Exception):
    """What is opened can't be counted here; the text says why."""


class OpenCounter:
    """The program in the kernel; it counts for as long as this object is open."""

    def __init__(self, path: Path = _OBJECT) -> None:
        """Load and attach. Raises OpensUnavailable."""
        if platform.machine() != _MACHINE:
            raise OpensUnavailable(f"the program is built for {_MACHINE}")
        self._descriptors: list[int] = []
        self._maps: dict[str, ebpf.Map] = {}
        try:
            self._load(path)
        except ebpf.EbpfRefused as error:
            self.close()
            if error.code == errno.EPERM:
                raise OpensUnavailable("CAP_BPF and CAP_PERFMON are needed") from error
            raise OpensUnavailable(str(error)) from error
        except (MalformedObject, OSError) as error:
            self.close()
            raise OpensUnavailable(str(error)) from error

    def _load(self, path: Path) -> None:
        content = parse_object(path.read_bytes())
        for definition in content.maps:
            self._maps[definition.name] = ebpf.create_map(definition)
        programs = ebpf.load_programs(content, self._maps)
        self._descriptors += programs.values()
        for program in programs.values():
            self._descriptors.append(ebpf.attach_tracepoint(_TRACEPOINT, program))

    def counts(self) -> dict[int, Counts]:
        """By process, since it began or the program did."""
        entries = self._maps["processes"].entries()
        return {int.from_bytes(key, "little"): _COUNTS.unpack(value) for key, value in entries}

    def unlisted(self) -> int:
        """What processes opened for which there was no room."""
        value = self._maps["unlisted"].lookup(bytes(4))
        return int.from_bytes(value or b"", "little")

    def forget(self, process: int) -> None:
        """Make room: the process has ended."""
        self._maps["processes"].delete(process.to_bytes(4, "little"))

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        for map_ in self._maps.values():
            map_.close()
        self._descriptors, self._maps = [], {}


def _is_there(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


class OpensProbe(Probe):
    """Counts what is opened."""

    name = "opens"

    def __init__(
        self, counter: OpenCounter, application_of: Callable[[int], str | None],
        is_there: Callable[[int], bool] = _is_there,
    ) -> None:  # fmt: skip
        """application_of: of a process that no scan has seen, as far as anyone knows."""
        self._counter = counter
        self._application_of = application_of
        self._is_there = is_there
        self._booked: dict[int, Counts] = {}
        self._read: dict[int, Counts] = {}
        self._scanned: dict[int, Reading] = {}
        self._gone: set[int] = set()
        self._applications: dict[int, str] = {}
        self._unlisted = self._unlisted_read = 0
        self._whole = False

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        processes = scan.table.processes
        # Those that have ended before their counts are read have nothing to add.
        self._gone = {p for p in self._booked if p not in processes and not self._is_there(p)}
        self._read, self._unlisted_read = self._counter.counts(), self._counter.unlisted()
        totals = dict.fromkeys(scan.gauges, _NOTHING)
        for pid, counts in self._read.items():
            before = self._booked.get(pid, _NOTHING)
            if counts == before and pid in processes:
                continue  # most processes open nothing from one scan to the next
            name = self._application(pid, processes)
            so_far = totals.get(name, _NOTHING)
            totals[name] = tuple(
                t + max(c - b, 0) for t, c, b in zip(so_far, counts, before, strict=True)
            )
        self._scanned = processes
        missed = not self._whole or self._unlisted_read != self._unlisted
        how = Measured("lower_bound" if missed else "exact", _METHOD)
        return Readings(
            counters={name: _meters(counts) for name, counts in totals.items()},
            default=dict.fromkeys(METERS, how),
        )

    def stored(self) -> None:
        self._booked = self._read
        self._unlisted, self._whole = self._unlisted_read, True
        for pid in self._gone:
            self._counter.forget(pid)
            self._booked.pop(pid, None)
            self._applications.pop(pid, None)

    def close(self) -> None:
        self._counter.close()

    def _application(self, pid: int, processes: dict[int, Reading]) -> str:
        reading = processes.get(pid)
        name = reading.application if reading is not None else self._application_of(pid)
        if name is None:
            last = self._scanned.get(pid)
            name = last.application if last is not None else None
        if name is None:
            return self._applications.get(pid, UNATTRIBUTED)
        self._applications[pid] = name
        return name


def _meters(counts: Counts) -> dict[str, int]:
    return dict(zip(METERS, (sum(counts), *counts), strict=True))


class NoOpens(Probe):
    """Stands where what is opened can't be counted."""

    name = OpensProbe.name

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        return Readings(default=dict.fromkeys(METERS, Measured("unavailable", _METHOD)))


def open_opens(application_of: Callable[[int], str | None]) -> Probe:
    """The probe for this host; where it can't be had, the log says why."""
    try:
        return OpensProbe(OpenCounter(), application_of)
    except OpensUnavailable as error:
        log.warning("opened resources are not counted: %s", error)
        return NoOpens()
