"""The one line that puts an agent on a host."""

from typing import Final

AGENT_DIRECTORY: Final = "/opt/hostmeter-agent"


def install_command(server: str, token: str) -> str:
    """One line for a shell of root's. The environment of its own is where every user may read it,
    as the agent's user has to."""
    program = f"{AGENT_DIRECTORY}/bin"
    return (
        f"python3 -m venv {AGENT_DIRECTORY} && {program}/pip install hostmeter-agent && "
        f"{program}/hostmeter-agent install --server {server} --token {token}"
    )
