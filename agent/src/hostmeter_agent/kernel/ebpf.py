"""The bpf(2) system call through ctypes: maps, programs, links and their pins. No library, no
compiler and no type information of the kernel's is needed."""

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.kernel.ebpf_object import MapDefinition, ObjectFile, Program

_SYSCALL_OF: Final = {"x86_64": 321, "aarch64": 280}

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE = 0, 1, 2, 3
_PROG_LOAD, _OBJ_PIN, _OBJ_GET = 5, 6, 7
_PROG_BY_ID, _OBJ_INFO, _RAW_TRACEPOINT_OPEN, _BTF_LOAD, _MAP_LOOKUP_BATCH = 13, 15, 17, 18, 24
_LINK_CREATE, _LINK_UPDATE = 28, 29

_SK_STORAGE: Final = 24
_PER_CPU: Final = frozenset({5, 6, 10})
ATTACH_OF: Final = {
    "cgroup_skb/ingress": (8, 0),
    "cgroup_skb/egress": (8, 1),
    "sockops": (13, 3),
    "raw_tracepoint/sys_exit": (17, 0),
}
"""By section: program type and attach type."""

_ATTRIBUTE_BYTES: Final = 144
_LOG_BYTES: Final = 1 << 20
_NAME_BYTES_MAX: Final = 15
_ENTRIES_PER_CALL: Final = 256

_CAP_SYS_ADMIN: Final = 1 << 21
_CAP_PERFMON: Final = 1 << 38
_NEEDED: Final = "CAP_PERFMON is needed; `hostmeter-agent attach` as root loads and pins it"

_REASONS: Final = {
    errno.EPERM: "not permitted: CAP_BPF and CAP_NET_ADMIN are needed",
    errno.EACCES: "the kernel's verifier refuses the program",
    errno.ENOSYS: "the kernel has no bpf(2)",
    errno.EINVAL: "the kernel does not know what is asked for: Linux 5.10 or newer is needed",
}


class EbpfRefused(AgentError):
    """The kernel does not let the agent do this; the text says what and why."""

    def __init__(self, doing: str, code: int, detail: str = "") -> None:
        reason = detail or _REASONS.get(code) or os.strerror(code)
        super().__init__(f"eBPF: {doing}: {reason}")
        self.code = code


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(command: int, attribute: bytearray) -> int:
    """Raises OSError. The attribute is changed where the kernel answers in it."""
    number = _SYSCALL_OF.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no eBPF on {platform.machine()}")
    buffer = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    result: int = _libc().syscall(
        ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(len(attribute))
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _attribute(layout: str, *values: int | bytes) -> bytearray:
    packed = struct.pack("=" + layout, *values)
    return bytearray(packed.ljust(_ATTRIBUTE_BYTES, b"\0"))


def _call(doing: str, command: int, attribute: bytearray) -> int:
    try:
        return _system_call(command, attribute)
    except OSError as error:
        raise EbpfRefused(doing, error.errno or 0) from error


def possible_cpus(path: Path = Path("/sys/devices/system/cpu/possible")) -> int:
    """The number of values that a per-CPU map has for a key."""
    return int(path.read_text().strip().replace(",", "-").rpartition("-")[2]) + 1


class Map:
    """An open map. Per-CPU values come one after another, as the kernel returns them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        info = bytearray(96)
        view = (ctypes.c_char * len(info)).from_buffer(info)
        asked = _attribute("IIQ", descriptor, len(info), ctypes.addressof(view))
        _call("asking for a map", _OBJ_INFO, asked)
        self.type, self.id, self.key_bytes, self.value_bytes, self.entries_max, self.flags = (
            struct.unpack_from("=6I", info)
        )
        self.slot_bytes = self.value_bytes
        if self.type in _PER_CPU:
            self.slot_bytes = -(-self.value_bytes // 8) * 8 * possible_cpus()

    def fits(self, definition: MapDefinition) -> bool:
        """Whether a program that asks for `definition` can use this map."""
        return (self.type, self.key_bytes, self.value_bytes, self.entries_max) == (
            definition.type,
            definition.key_bytes,
            definition.value_bytes,
            definition.entries_max,
        )

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value; changes meanwhile may or may not be seen. Raises EbpfRefused."""
        keys = ctypes.create_string_buffer(self.key_bytes * _ENTRIES_PER_CALL)
        values = ctypes.create_string_buffer(self.slot_bytes * _ENTRIES_PER_CALL)
        # The place in the table is four bytes or a key, whichever is longer.
        place = ctypes.create_string_buffer(max(self.key_bytes, 4))
        place_at, next_at = 0, ctypes.addressof(place)
        while True:
            attribute = _attribute(
                "QQQQIIQQ", place_at, next_at, ctypes.addressof(keys), ctypes.addressof(values),
                _ENTRIES_PER_CALL, self.descriptor, 0, 0,
            )  # fmt: skip
            last = False
            try:
                _system_call(_MAP_LOOKUP_BATCH, attribute)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise EbpfRefused("reading a map", error.errno or 0) from error
                last = True
            (count,) = struct.unpack_from("=I", attribute, 32)
            yield from self._split(keys, values, count)
            if last:
                return
            place_at = next_at

    def _split(
        self, keys: "ctypes.Array[ctypes.c_char]", values: "ctypes.Array[ctypes.c_char]", count: int
    ) -> Iterator[tuple[bytes, bytes]]:
        key_data = memoryview(keys)[: count * self.key_bytes]
        value_data = memoryview(values)[: count * self.slot_bytes]
        found = struct.iter_unpack(f"{self.key_bytes}s", key_data)
        held = struct.iter_unpack(f"{self.slot_bytes}s", value_data)
        for (key,), (value,) in zip(found, held, strict=True):
            yield key, value

    def lookup(self, key: bytes) -> bytes | None:
        asked = ctypes.create_string_buffer(key, len(key))
        value = ctypes.create_string_buffer(self.slot_bytes)
        try:
            _system_call(_MAP_LOOKUP, self._element(asked, ctypes.addressof(value)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise EbpfRefused("reading a map", error.errno or 0) from error
        return bytes(value)

    def update(self, key: bytes, value: bytes) -> None:
        """Raises EbpfRefused."""
        asked = ctypes.create_string_buffer(key, len(key))
        held = ctypes.create_string_buffer(value, len(value))
        _call("writing a map", _MAP_UPDATE, self._element(asked, ctypes.addressof(held)))

    def delete(self, key: bytes) -> None:
        """Not there is as good as deleted. Raises EbpfRefused."""
        asked = ctypes.create_string_buffer(key, len(key))
        try:
            _system_call(_MAP_DELETE, self._element(asked, 0))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise EbpfRefused("freeing a map's entry", error.errno or 0) from error

    def _element(self, key: "ctypes.Array[ctypes.c_char]", value_at: int) -> bytearray:
        return _attribute("IIQQQ", self.descriptor, 0, ctypes.addressof(key), value_at, 0)

    def close(self) -> None:
        os.close(self.descriptor)


def storage_types(value_bytes: int) -> bytes:
    """BTF: type 1 is a 32-bit int, type 2 one byte, type 3 `value_bytes` of type 2."""
    integer = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)
    byte = struct.pack("=IIII", 5, 1 << 24, 1, 8)
    array = struct.pack("=IIIIII", 0, 3 << 24, 0, 2, 1, value_bytes)
    strings = b"\0int\0byte\0"
    body = integer + byte + array
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings))
    return header + body + strings


def create_map(definition: MapDefinition) -> Map:
    """Raises EbpfRefused."""
    types = (0, 0, 0)
    if definition.type == _SK_STORAGE:
        data = storage_types(definition.value_bytes)
        held = ctypes.create_string_buffer(data, len(data))
        attribute = _attribute("QQIIII", ctypes.addressof(held), 0, len(data), 0, 0, 0)
        types = (_call("describing a map", _BTF_LOAD, attribute), 1, 3)
    attribute = _attribute(
        "IIIIIII16sIIII", definition.type, definition.key_bytes, definition.value_bytes,
        definition.entries_max, definition.flags, 0, 0, _short(definition.name), 0, *types,
    )  # fmt: skip
    try:
        return Map(_call(f"making the map {definition.name}", _MAP_CREATE, attribute))
    finally:
        if types[0]:
            os.close(types[0])


def _short(name: str) -> bytes:
    return name[:_NAME_BYTES_MAX].encode()


def load_program(program: Program, license_: bytes, descriptors: dict[str, int]) -> int:
    """A descriptor of the loaded program. Raises EbpfRefused."""
    type_, attach = ATTACH_OF[program.section]
    code = program.linked(descriptors)
    held = ctypes.create_string_buffer(code, len(code))
    terms = ctypes.create_string_buffer(license_)

    def attribute(level: int, log: "ctypes.Array[ctypes.c_char] | None") -> bytearray:
        return _attribute(
            "IIQQIIQII16sII", type_, len(code) // 8, ctypes.addressof(held),
            ctypes.addressof(terms), level, len(log) if log is not None else 0,
            ctypes.addressof(log) if log is not None else 0, 0, 0, _short(program.name), 0, attach,
        )  # fmt: skip

    doing = f"loading {program.section}"
    try:
        return _system_call(_PROG_LOAD, attribute(0, None))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EFAULT, errno.E2BIG) and not _may_load():
            raise EbpfRefused(doing, error.errno, _NEEDED) from error
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.E2BIG, errno.EFAULT):
            raise EbpfRefused(doing, error.errno or 0) from error
    log = ctypes.create_string_buffer(_LOG_BYTES)
    try:
        return _system_call(_PROG_LOAD, attribute(1, log))
    except OSError as error:
        raise EbpfRefused(doing, error.errno or 0, _verdict(log.value)) from error


def _may_load(status: Path = Path("/proc/self/status")) -> bool:
    """Without CAP_PERFMON the verifier follows what a processor might do by mistake, too, and
    gives up on a program as long as ours."""
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & (_CAP_PERFMON | _CAP_SYS_ADMIN))
    return False


def _verdict(log: bytes) -> str:
    """The verifier's reason: what stands before its closing statistics."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("processed ")]
    return said[-1][:200] if said else ""


def load_programs(object_file: ObjectFile, maps: dict[str, Map]) -> dict[str, int]:
    """By section, a descriptor of each program. Raises EbpfRefused."""
    descriptors = {name: map_.descriptor for name, map_ in maps.items()}
    return {
        program.section: load_program(program, object_file.license, descriptors)
        for program in object_file.programs
    }


def attach(section: str, program: int, cgroup: int) -> int:
    """A link that holds until its last descriptor and pin are gone. Raises EbpfRefused."""
    attribute = _attribute("IIII", program, cgroup, ATTACH_OF[section][1], 0)
    return _call(f"attaching {section}", _LINK_CREATE, attribute)


def attach_tracepoint(name: str, program: int) -> int:
    """Run the program at a tracepoint until the returned descriptor is closed. Raises
    EbpfRefused."""
    held = ctypes.create_string_buffer(name.encode())
    attribute = _attribute("QI", ctypes.addressof(held), program)
    return _call(f"attaching {name}", _RAW_TRACEPOINT_OPEN, attribute)


def replace(section: str, link: int, program: int) -> None:
    """Put another program in a link's place; no packet passes between them."""
    _call(f"replacing {section}", _LINK_UPDATE, _attribute("IIII", link, program, 0, 0))


def run_statistics(link: int) -> tuple[int, int]:
    """(runs, nanoseconds) of a link's program since the kernel keeps such statistics: only while
    kernel.bpf_stats_enabled is set. Raises EbpfRefused."""
    program = _call("asking for a program", _PROG_BY_ID, _attribute("I", _told(link, "prog_id")))
    try:
        return _told(program, "run_cnt"), _told(program, "run_time_ns")
    finally:
        os.close(program)


def _told(descriptor: int, name: str) -> int:
    """What the kernel tells of a descriptor in /proc; 0 where it says nothing of it."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value)
    return 0


def pin(descriptor: int, path: Path) -> None:
    """Raises EbpfRefused."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    attribute = _attribute("QII", ctypes.addressof(name), descriptor, 0)
    _call(f"pinning {path.name}", _OBJ_PIN, attribute)


def open_pin(path: Path) -> int | None:
    """A descriptor of what is pinned there; None where nothing is. Raises EbpfRefused."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    try:
        return _system_call(_OBJ_GET, _attribute("QII", ctypes.addressof(name), 0, 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise EbpfRefused(f"opening {path.name}", error.errno or 0) from error
