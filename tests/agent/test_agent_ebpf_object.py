"""Reading the compiled eBPF object."""

import struct
import subprocess
from pathlib import Path

import pytest
from hostmeter_agent.kernel.ebpf_object import MalformedObject, parse_object
from hostmeter_agent.kernel.flows import shipped_object

from tests import needs

BUILD = Path(__file__).parents[2] / "agent/bpf/build"


def test_the_shipped_object_holds_its_programs_and_maps() -> None:
    found = parse_object(shipped_object())

    assert {p.section for p in found.programs} == {
        "cgroup_skb/ingress", "cgroup_skb/egress", "sockops",
    }  # fmt: skip
    sizes = {m.name: (m.key_bytes, m.value_bytes, m.entries_max) for m in found.maps}
    assert sizes["counted"] == (8, 72, 4096)
    assert sizes["peers"] == (8, 24, 65536)
    assert set(sizes) == {"counted", "peers", "connections", "early"}
    assert found.license == b"GPL"


def test_a_program_gets_the_descriptors_of_the_maps_that_it_names() -> None:
    found = parse_object(shipped_object())
    program = next(p for p in found.programs if p.section == "sockops")
    descriptors = {m.name: 100 + i for i, m in enumerate(found.maps)}

    code = program.linked(descriptors)

    assert {name for _, name in program.references} == {"connections", "early", "peers"}
    for offset, name in program.references:
        # A 64-bit load (0x18) whose source says that the number is a map's descriptor (1).
        assert code[offset] == 0x18
        assert code[offset + 1] >> 4 == 1
        assert struct.unpack_from("<i", code, offset + 4) == (descriptors[name],)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: b"", "unpack"),
        (lambda d: b"\x7fELF\x01\x01" + d[6:], "little-endian"),
        (lambda d: d[:18] + b"\x3e\x00" + d[20:], "little-endian"),
        (lambda d: d[: len(d) // 2], "unpack"),
        (lambda d: d.replace(b"license\0", b"licence\0"), "license"),
        (lambda d: d + bytes(1 << 20), "too large"),
    ],
)
def test_anything_else_is_refused_with_a_reason(change: object, reason: str) -> None:
    assert callable(change)
    with pytest.raises(MalformedObject, match=reason) as caught:
        parse_object(change(shipped_object()))

    assert "\n" not in str(caught.value)


def test_every_cut_is_refused_and_none_crashes() -> None:
    data = shipped_object()

    for length in range(0, len(data) - 1, 97):
        with pytest.raises(MalformedObject):
            parse_object(data[:length])


def test_the_shipped_object_is_what_the_source_compiles_to(tmp_path: Path) -> None:
    needs.bpf_compiler(14)

    subprocess.run([BUILD, tmp_path / "made.o"], check=True)

    assert (tmp_path / "made.o").read_bytes() == shipped_object(), f"run {BUILD.name} and commit"
