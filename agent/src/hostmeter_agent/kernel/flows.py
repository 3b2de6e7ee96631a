"""The eBPF program on this host: loaded once, attached at the root of the control groups, pinned.

What is pinned stays in the kernel and goes on counting while no agent runs. Pins lie in a directory
named for the object file; the agent that finds another version's directory takes its maps where
they fit and puts its own programs into its links, so that no packet passes uncounted. Maps that do
not fit are read along until what they held is stored.
"""

import ctypes
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import parse_mounts
from hostmeter_agent.errors import AgentError
from hostmeter_agent.kernel import ebpf
from hostmeter_agent.kernel.ebpf import Map
from hostmeter_agent.kernel.ebpf_object import MapDefinition, ObjectFile, parse_object
from hostmeter_agent.kernel.file_identity import files_as

_COUNTED: Final = "counted"
_DIGEST_CHARACTERS: Final = 16
_BPFFS: Final = Path("/sys/fs/bpf")
_PINS_NAME: Final = "hostmeter-agent"
_CGROUP: Final = struct.Struct("=Q")
_PEER: Final = struct.Struct("=Q16s")
NOWHERE: Final = 0
"""The key under which the program counts what has no room under its own."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one control group's sockets have done since the program was attached."""

    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0
    accepted: int = 0
    transactions: int = 0
    irregular: int = 0
    unlisted: int = 0
    tickets: int = 0

    def words(self) -> tuple[int, ...]:
        return (
            self.received_bytes, self.sent_bytes, self.received_packets, self.sent_packets,
            self.accepted, self.transactions, self.irregular, self.unlisted, self.tickets,
        )  # fmt: skip


_WORDS: Final = len(Flow().words())

Flows = dict[int, Flow]
"""By control group, the inode of its directory."""


def shipped_object() -> bytes:
    return (Path(__file__).parent / "bpf" / "hostmeter.bpf.o").read_bytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]


def flow_of(value: bytes, width: int) -> Flow:
    """The sum over the processors of one per-CPU value of `width` words each. A version that counts
    more than this one knows has longer values."""
    words = struct.unpack(f"={len(value) // 8}Q", value)
    return Flow(*(sum(words[i::width]) for i in range(min(_WORDS, width))))


def _flows_of(map_: Map) -> Flows:
    width = map_.value_bytes // 8
    return {_CGROUP.unpack(key)[0]: flow_of(value, width) for key, value in map_.entries()}


class NowhereToAttach(AgentError):
    """There is no place to attach or to pin to."""

    def __init__(self) -> None:
        super().__init__("eBPF: a cgroup2 hierarchy and a bpffs (/sys/fs/bpf) have to be mounted")


class Pins:
    """The directory in which one object's maps and links are pinned; None keeps nothing."""

    def __init__(self, base: Path | None, digest: str) -> None:
        self._own = base / digest if base is not None else None
        self._others: list[Path] = []
        if base is not None and self._own is not None:
            self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._others = [path for path in sorted(base.iterdir()) if path != self._own]

    @property
    def is_kept(self) -> bool:
        return self._own is not None

    def own(self, name: str) -> int | None:
        return ebpf.open_pin(self._own / name) if self._own is not None else None

    def former(self, name: str) -> Iterator[tuple[Path, int]]:
        """What other versions have pinned under that name."""
        for directory in self._others:
            descriptor = ebpf.open_pin(directory / name)
            if descriptor is not None:
                yield directory, descriptor

    def keep(self, name: str, descriptor: int) -> None:
        if self._own is not None:
            ebpf.pin(descriptor, self._own / name)

    def drop_others(self, *, but: set[Path]) -> None:
        """Let go of what other versions have pinned, except their counts in `but`."""
        for directory in self._others:
            spared = {_COUNTED} if directory in but else set()
            _drop(directory, spared)
        self._others = [directory for directory in self._others if directory in but]


def _drop(directory: Path, spared: set[str]) -> None:
    for path in directory.iterdir():
        if path.name not in spared:
            path.unlink()
    if not spared:
        directory.rmdir()


def unpin(base: Path) -> None:
    """End the counting: remove every version's pins below `base`."""
    if base.is_dir():
        for directory in base.iterdir():
            _drop(directory, set())
        base.rmdir()


class HostFlows:
    """The attached program. Opening it loads what is not there yet."""

    def __init__(self, cgroup_root: Path, pins: Path | None, data: bytes | None = None) -> None:
        """pins: a directory of a bpffs, made where it is missing; None counts only while this
        object is open. Raises EbpfRefused, MalformedObject, OSError."""
        data = shipped_object() if data is None else data
        self._pins = Pins(pins, _digest(data))
        self._open: list[int] = []
        self._links: dict[str, int] = {}
        self._retired: list[Map] = []
        with ExitStack() as stack:
            stack.callback(self.close)
            object_file = parse_object(data)
            self._open_maps(object_file)
            self._open_links(object_file, cgroup_root)
            self._retire()
            stack.pop_all()

    def _open_maps(self, object_file: ObjectFile) -> None:
        self._maps: dict[str, Map] = {}
        for definition in object_file.maps:
            map_ = self._own_map(definition.name) or self._former_map(definition)
            if map_ is None:
                map_ = ebpf.create_map(definition)
                self._open.append(map_.descriptor)
                if definition.name == _COUNTED:
                    map_.update(_CGROUP.pack(NOWHERE), bytes(map_.slot_bytes))
                self._pins.keep(definition.name, map_.descriptor)
            self._maps[definition.name] = map_

    def _former_map(self, definition: MapDefinition) -> Map | None:
        """Another version's map, where this one's programs can use it."""
        for _, descriptor in self._pins.former(definition.name):
            map_ = self._hold(descriptor)
            if map_.fits(definition):
                self._pins.keep(definition.name, map_.descriptor)
                return map_
        return None

    def _own_map(self, name: str) -> Map | None:
        descriptor = self._pins.own(name)
        return self._hold(descriptor) if descriptor is not None else None

    def _hold(self, descriptor: int) -> Map:
        self._open.append(descriptor)
        return Map(descriptor)

    def _open_links(self, object_file: ObjectFile, cgroup_root: Path) -> None:
        """A link that is pinned beside this object's maps runs this object's program."""
        for program in object_file.programs:
            link = self._pins.own(_link_name(program.section))
            if link is not None:
                self._open.append(link)
                self._links[program.section] = link
        if len(self._links) == len(object_file.programs):
            return
        programs = ebpf.load_programs(object_file, self._maps)
        cgroup = os.open(cgroup_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for section in programs.keys() - self._links.keys():
                self._links[section] = self._link(section, programs[section], cgroup)
        finally:
            for descriptor in (cgroup, *programs.values()):
                os.close(descriptor)

    def _link(self, section: str, program: int, cgroup: int) -> int:
        link = None
        for _, former in self._pins.former(_link_name(section)):
            self._open.append(former)
            ebpf.replace(section, former, program)
            link = former
        if link is None:
            link = ebpf.attach(section, program, cgroup)
            self._open.append(link)
        self._pins.keep(_link_name(section), link)
        return link

    def costs(self) -> dict[str, tuple[int, int]]:
        """By section, the runs of its program and the nanoseconds they took; see
        ebpf.run_statistics."""
        return {section: ebpf.run_statistics(link) for section, link in self._links.items()}

    def _retire(self) -> None:
        spared = set()
        for directory, descriptor in self._pins.former(_COUNTED):
            map_ = self._hold(descriptor)
            if map_.id != self._maps[_COUNTED].id:
                self._retired.append(map_)
                spared.add(directory)
        self._pins.drop_others(but=spared)

    @property
    def is_pinned(self) -> bool:
        return self._pins.is_kept

    def read(self) -> dict[int, Flows]:
        """By map (the kernel's number, used once per boot), what it has counted so far."""
        return {map_.id: _flows_of(map_) for map_ in (self._maps[_COUNTED], *self._retired)}

    def forget_retired(self) -> None:
        """What former versions had counted is stored: let go of their maps."""
        if self._retired:
            self._retired = []
            self._pins.drop_others(but=set())

    def forget(self, cgroup: int) -> None:
        """Free the place of a control group that has gone."""
        self._maps[_COUNTED].delete(_CGROUP.pack(cgroup))

    def peers(self) -> dict[int, set[bytes]]:
        """By control group, the remote addresses (16 bytes, IPv4 mapped) with an established
        connection that it accepted."""
        found: dict[int, set[bytes]] = {}
        for _, value in self._maps["peers"].entries():
            cgroup, address = _PEER.unpack(value)
            found.setdefault(cgroup, set()).add(address)
        return found

    def close(self) -> None:
        """Counting goes on where it is pinned."""
        while self._open:
            os.close(self._open.pop())


def _link_name(section: str) -> str:
    return section.replace("/", "-")


def pin_directory(state: Path, *, bpffs: Path = _BPFFS) -> Path | None:
    """Where an agent with that state directory pins: in the host's bpffs, which is mounted where
    it should be if it is not and may be. None: nowhere."""
    own = _pins_of(state, bpffs)
    if not _is_bpffs(bpffs) and not _mount_bpffs(bpffs):
        return None
    return own if any(map(_is_usable, (own, own.parent, bpffs))) else None


def _pins_of(state: Path, bpffs: Path) -> Path:
    return bpffs / _PINS_NAME / hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:8]


def groups_counted(state: Path, *, bpffs: Path = _BPFFS) -> int | None:
    """The number of control groups that are counted now by what this version has pinned for an
    agent with that state directory; None where it has pinned nothing. Changes nothing. Raises
    EbpfRefused."""
    data = shipped_object()
    pins = _pins_of(state, bpffs) / _digest(data)
    links = (_link_name(p.section) for p in parse_object(data).programs)
    if not all(os.path.exists(pins / name) for name in (*links, _COUNTED)):
        return None
    counted = ebpf.open_pin(pins / _COUNTED)
    if counted is None:
        return None
    map_ = Map(counted)
    try:
        return sum(1 for key, _ in map_.entries() if key != _CGROUP.pack(NOWHERE))
    finally:
        map_.close()


def attach_for(state: Path) -> str:
    """Load, attach and pin as root for an agent that runs as the state directory's owner, who then
    needs no right to load programs. A line that says what was done. Raises AgentError."""
    if not state.is_dir():
        raise AgentError(f"{state}: is no directory")
    cgroup_root = parse_mounts(Path("/proc/self/mounts").read_text()).unified
    pins = pin_directory(state)
    if pins is None or cgroup_root is None:
        raise NowhereToAttach
    try:
        owner = state.stat()
        _give_directory(pins, owner.st_uid, owner.st_gid)
        with files_as(owner.st_uid, owner.st_gid):
            HostFlows(cgroup_root, pins).close()
    except OSError as error:
        raise AgentError(f"eBPF: {error.strerror}: {error.filename}") from error
    return f"attached to {cgroup_root}, pinned in {pins}"


def _give_directory(path: Path, uid: int, gid: int) -> None:
    """Make it where it is missing, and give it to its user. Raises OSError, also for a link."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def _is_bpffs(path: Path) -> bool:
    resolved = os.fsencode(path.resolve())
    for line in Path("/proc/self/mounts").read_bytes().splitlines():
        words = line.split()
        if len(words) > 2 and words[2] == b"bpf" and words[1] == resolved:
            return True
    return False


def _is_usable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK, effective_ids=True)


def _mount_bpffs(path: Path) -> bool:
    if not path.is_dir():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.mount(b"bpf", os.fsencode(path), b"bpf", 0, b"mode=0700")
    return done == 0
