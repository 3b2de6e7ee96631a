"""What docs/agent.md says about configuration and meters is what the agent knows."""

import re
from pathlib import Path

from hostmeter_agent.config import _KEYS, _RULE_KEYS, parse_config
from hostmeter_agent.wire import METERS

DOCUMENT = (Path(__file__).parents[2] / "docs/agent.md").read_text()
SOURCE = Path(__file__).parents[2] / "agent/src/hostmeter_agent"


def test_the_example_states_every_key_and_is_valid() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    config = parse_config(Path("agent.toml"), example)
    assert config.stated >= _KEYS.keys()
    stated = set(re.findall(r"^(\w+) =", example.partition("[[application]]")[2], re.MULTILINE))
    assert stated == _RULE_KEYS.keys()


def table() -> str:
    return DOCUMENT.partition("| meter | source")[2].partition("\n\n")[0]


def test_every_meter_stands_in_the_table() -> None:
    listed = re.findall(r"`([a-z.]+(?:\.\*)?)`", table())
    for meter in METERS:
        name = meter.name.removesuffix(".max")
        assert name in listed or f"{name.rpartition('.')[0]}.*" in listed, name


def test_every_method_that_the_table_names_is_in_use() -> None:
    source = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    for name in set(re.findall(r"`([a-z0-9-]+)/1`", table())):
        assert f'"{name}/1"' in source or f'"{name}"' in source, name
