"""Replacing this host's key: the new one is asked for under the old one's signature."""

import base64
import json
import logging
from contextlib import closing

from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory
from hostmeter_agent.wire_control import KEY_ID, KEYS_PATH, proof_message

log = logging.getLogger("hostmeter_agent")

_DAY_SECONDS = 86_400


class RotationRefused(AgentError):
    """The server did not take the new key; the old one stays in use."""


def is_due(channel: Channel, *, days: int, now: float) -> bool:
    """Whether the key is as old as it may get."""
    return now - channel.keyring.current().since >= days * _DAY_SECONDS


def rotate(channel: Channel, *, now: float) -> str:
    """Make a new key, have the server take it, sign with it; its id. What a crash left half done
    is gone on with. Raises RotationRefused, and what the channel raises."""
    keyring = channel.keyring
    label, private = keyring.next_key()
    public = base64.b64encode(private.public_bytes()).decode()
    asking = keyring.current()
    proof = private.sign(proof_message(keyring.identity.host, asking.key_id, public))
    body = {"public_key": public, "proof": base64.b64encode(proof).decode()}
    answer = channel.send(
        "POST", KEYS_PATH, json.dumps(body).encode(), {"Content-Type": "application/json"}, now=now
    )
    key_id = answer.fields().get("key_id")
    if answer.status in (200, 201) and isinstance(key_id, str) and KEY_ID.match(key_id):
        keyring.turn(label, key_id, now=now)
        log.info("this host signs with a new key, %s", key_id)
        return key_id
    if answer.fields().get("type") == "key-already-enrolled":
        keyring.give_up_next()
    raise RotationRefused(f"{channel.server.url} took no new key: {channel.reason(answer)}")


def rotate_now(state: StateDirectory, *, server_url: str | None, now: float) -> str:
    """Replace the key of an enrolled host, also while its agent runs, which then signs with the
    new one; its id. Raises AgentError."""
    if not state.spool.exists():
        raise RotationRefused(f"{state.path} is not enrolled; run: hostmeter-agent enrol")
    with closing(Spool(state.spool)) as spool:
        identity = spool.identity()
        if identity is None:
            raise RotationRefused(f"{state.path} is not enrolled; run: hostmeter-agent enrol")
        server = parse_server(server_url or identity.server)
        return rotate(Channel(server, Keyring(spool, state, identity)), now=now)
