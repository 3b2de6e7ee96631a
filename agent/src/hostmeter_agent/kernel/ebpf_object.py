"""Reading a compiled eBPF object: its maps, its programs and where these name the maps.

Just enough of ELF for the object that the agent ships: 64 bits, little-endian, programs that call
no others. Pure: bytes in, values out.
"""

import struct
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.errors import AgentError

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQ")
_MAP: Final = struct.Struct("<5I")
_LITTLE_ENDIAN_64: Final = b"\x7fELF\x02\x01"
_MACHINE_BPF: Final = 247
_SYMBOLS, _RELOCATIONS = 2, 9
_INSTRUCTION_BYTES: Final = 8
_LOAD_64: Final = 0x18
_FROM_MAP: Final = 1
_OBJECT_BYTES_MAX: Final = 1 << 20


class MalformedObject(AgentError):
    """The compiled object is not one that the agent can load."""


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """A map as the object asks for it; sizes in bytes."""

    name: str
    type: int
    key_bytes: int
    value_bytes: int
    entries_max: int
    flags: int


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its section says where it attaches; references are (byte offset, map name)."""

    name: str
    section: str
    code: bytes
    references: tuple[tuple[int, str], ...]

    def linked(self, descriptors: dict[str, int]) -> bytes:
        """The code with the maps' file descriptors where it names maps."""
        code = bytearray(self.code)
        for offset, name in self.references:
            code[offset + 1] = (code[offset + 1] & 0x0F) | (_FROM_MAP << 4)
            struct.pack_into("<i", code, offset + 4, descriptors[name])
        return bytes(code)


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """What one object holds."""

    license: bytes
    maps: tuple[MapDefinition, ...]
    programs: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    type: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    section: int
    value: int


def parse_object(data: bytes) -> ObjectFile:
    """Raises MalformedObject."""
    if len(data) > _OBJECT_BYTES_MAX:
        raise MalformedObject("eBPF object: too large")
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError, KeyError, StopIteration) as error:
        raise MalformedObject(f"eBPF object: {error}") from error


def _parse(data: bytes) -> ObjectFile:
    sections = _sections(data)
    symbols = _symbols(data, sections)
    by_name = {section.name: index for index, section in enumerate(sections)}
    return ObjectFile(
        license=_contents(data, sections[by_name["license"]]).rstrip(b"\0"),
        maps=tuple(_maps(data, sections, symbols, by_name["maps"])),
        programs=tuple(_programs(data, sections, symbols, by_name["maps"])),
    )


def _sections(data: bytes) -> list[_Section]:
    header = _HEADER.unpack_from(data)
    if not header[0].startswith(_LITTLE_ENDIAN_64) or header[2] != _MACHINE_BPF:
        raise ValueError("not a little-endian eBPF file")
    offset, count, names_index = header[6], header[12], header[13]
    raw = [_SECTION.unpack_from(data, offset + i * _SECTION.size) for i in range(count)]
    names = raw[names_index][4]
    return [_Section(_name(data, names + r[0]), r[1], r[4], r[5], r[6], r[7]) for r in raw]


def _symbols(data: bytes, sections: list[_Section]) -> list[_Symbol]:
    table = next(section for section in sections if section.type == _SYMBOLS)
    names = sections[table.link].offset
    return [
        _Symbol(_name(data, names + fields[0]), fields[3], fields[4])
        for fields in _SYMBOL.iter_unpack(_contents(data, table))
    ]


def _maps(
    data: bytes, sections: list[_Section], symbols: list[_Symbol], index: int
) -> list[MapDefinition]:
    return [
        MapDefinition(
            symbol.name, *_MAP.unpack_from(_contents(data, sections[index]), symbol.value)
        )
        for symbol in symbols
        if symbol.section == index and symbol.name
    ]


def _programs(
    data: bytes, sections: list[_Section], symbols: list[_Symbol], maps_index: int
) -> list[Program]:
    programs = []
    for symbol in symbols:
        if not symbol.name or symbol.section >= len(sections):
            continue
        section = sections[symbol.section]
        if section.name in ("maps", "license"):
            continue
        code = _contents(data, section)
        if symbol.value or not code or len(code) % _INSTRUCTION_BYTES:
            raise ValueError(f"{section.name} does not hold one program")
        references = _references(data, sections, symbols, symbol.section, maps_index)
        for offset, _ in references:
            if code[offset] != _LOAD_64:
                raise ValueError(f"{section.name} uses a map in a way that is not known")
        programs.append(Program(symbol.name, section.name, code, references))
    return programs


def _references(
    data: bytes, sections: list[_Section], symbols: list[_Symbol], target: int, maps_index: int
) -> tuple[tuple[int, str], ...]:
    found = []
    for section in sections:
        if section.type == _RELOCATIONS and section.info == target:
            for offset, info in _RELOCATION.iter_unpack(_contents(data, section)):
                symbol = symbols[info >> 32]
                if symbol.section != maps_index:
                    raise ValueError(f"{symbol.name} is not a map")
                found.append((offset, symbol.name))
    return tuple(found)


def _contents(data: bytes, section: _Section) -> bytes:
    end = section.offset + section.size
    if end > len(data):
        raise ValueError(f"section {section.name} is cut short")
    return data[section.offset : end]


def _name(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
