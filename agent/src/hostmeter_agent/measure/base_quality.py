"""How well the meters that a scan itself reads were measured, for each application.

cpu.time is exact where all of it is a cgroup's count. By processes it is sampled: what one used
after it was last read comes from its exit record and its parent. Without records a process that
ended is known by its parent alone, which may have ignored its end: then it is a lower bound.
Gauges are values of moments, so never better than sampled.
"""

import functools
from collections.abc import Mapping
from typing import Final

from hostmeter_agent.cgroup.cgroup_usage import Settled
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.proc import RESOURCE_KINDS
from hostmeter_agent.measure.readings import Table, Usage, is_in
from hostmeter_agent.measure.scan import Gauges, Scan

How = Mapping[str, Measured]

_CGROUP_CPU: Final = {1: Measured("exact", "cgroup-v1/1"), 2: Measured("exact", "cgroup-v2/1")}
_RECORDED: Final = Measured("sampled", "proc-taskstats/1")
_LIVING: Final = Measured("sampled", "proc/1")
_BY_PARENTS: Final = Measured("lower_bound", "proc/1")
_CUT: Final = Measured("lower_bound", "cgroup-v2/1")
_COUNTED: Final = Measured("sampled", "proc/1")
_CGROUP_MEMORY: Final = Measured("sampled", "cgroup-memory/1")
_PROPORTIONAL: Final = Measured("sampled", "pss/1")
_RESIDENT: Final = Measured("estimated", "rss/1")
_NO_MEMORY: Final = Measured("unavailable", "pss/1")
_DESCRIPTORS: Final = Measured("sampled", "proc-fd/1")
_NO_DESCRIPTORS: Final = Measured("unavailable", "proc-fd/1")
_PROCESS_IO: Final = Measured("sampled", "proc-io/1")
_NO_IO: Final = Measured("unavailable", "proc-io/1")
_CGROUP_IO: Final = Measured("exact", "cgroup-io/1")
_KINDS: Final = ("files.open", *(f"resources.open.{kind}" for kind in RESOURCE_KINDS))


def base_quality(
    scan: Scan, usage: Usage, settled: Settled, before: Table, *, recorded: bool
) -> dict[str, How]:
    """By application and meter.

    before: the processes at the window's start; recorded: the kernel told of every end since.
    """
    ended: set[str] = set()
    if not recorded:
        ended = {r.application for r in before.processes.values() if not is_in(r, scan.table)}
    names = dict.fromkeys([*scan.gauges, *usage.cpu_us])
    return {
        name: _how(
            _cpu(name, settled, ended, recorded=recorded),
            *_gauges(scan.gauges.get(name)),
            _PROCESS_IO if usage.io.get(name) is not None else _NO_IO,
            name in settled.disk_bytes,
        )
        for name in names
    }


def _cpu(name: str, settled: Settled, ended: set[str], *, recorded: bool) -> Measured:
    version = settled.exact.get(name)
    if version is not None:
        return _CGROUP_CPU[version]
    if name in settled.cut:
        return _CUT
    if recorded:
        return _RECORDED
    return _BY_PARENTS if name in ended else _LIVING


def _gauges(gauges: Gauges | None) -> tuple[Measured, Measured, Measured]:
    """(memory, the number of descriptors, that by kind); one that ended holds nothing."""
    if gauges is None:
        return _PROPORTIONAL, _DESCRIPTORS, _DESCRIPTORS
    if gauges.cgroup_bytes is not None:
        memory = _CGROUP_MEMORY
    elif gauges.private_bytes is None:
        memory = _NO_MEMORY
    else:
        memory = _RESIDENT if gauges.shared_bytes else _PROPORTIONAL
    return (
        memory,
        _DESCRIPTORS if gauges.descriptors is not None else _NO_DESCRIPTORS,
        _DESCRIPTORS if gauges.kinds is not None else _NO_DESCRIPTORS,
    )


@functools.lru_cache(maxsize=256)
def _how(
    cpu: Measured, memory: Measured, descriptors: Measured, kinds: Measured, io: Measured,
    disk_by_cgroup: bool,
) -> How:  # fmt: skip
    disk = _CGROUP_IO if disk_by_cgroup else io
    return {
        "cpu.time": cpu,
        "memory.used": memory,
        "processes": _COUNTED,
        "threads": _COUNTED,
        "resources.open": descriptors,
        **dict.fromkeys(_KINDS, kinds),
        "file.read": io,
        "file.written": io,
        "disk.read": disk,
        "disk.written": disk,
    }
