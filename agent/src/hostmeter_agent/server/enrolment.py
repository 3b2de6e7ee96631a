"""Making this host known to its server."""

import base64
import json
import uuid
from contextlib import closing
from datetime import UTC, datetime

from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.ed25519 import PrivateKey
from hostmeter_agent.server.transport import Server, parse_server
from hostmeter_agent.store.spool import Identity, Spool
from hostmeter_agent.store.state import StateDirectory
from hostmeter_agent.wire import ENROL_PATH
from hostmeter_agent.wire_control import KEY_ID


class EnrolmentRefused(AgentError):
    """The server did not take this host, or the state already belongs to one."""


def enrol(
    state: StateDirectory, *, server_url: str, token: str, name: str, force: bool, now: datetime
) -> Identity:
    """Register a key made here and keep the identity that the server gives.

    Raises EnrolmentRefused, and what the server's address, the state and the spool raise.
    """
    server = parse_server(server_url)
    state.prepare()
    with state.held(), closing(Spool(state.spool)) as spool:
        known = spool.identity()
        if known is not None and not force:
            raise EnrolmentRefused(
                f"{state.path} is enrolled as host {known.host} at {known.server}; "
                "--force replaces that identity"
            )
        epoch = str(uuid.uuid4())
        try:
            identity = _register(server, state.create_key(epoch), token, name, epoch, now)
            spool.enrol(identity, now=identity.enrolled_at)
        except AgentError:
            state.remove_key(epoch)
            raise
        state.remove_keys_but(epoch)
    return identity


def _register(
    server: Server, key: PrivateKey, token: str, name: str, epoch: str, now: datetime
) -> Identity:
    public = base64.b64encode(key.public_bytes()).decode()
    body = json.dumps({"token": token, "name": name, "public_key": public}).encode()
    answer = server.post(server.path(ENROL_PATH), body, {"Content-Type": "application/json"})
    if answer.status != 201:
        raise EnrolmentRefused(f"{server.url} refused to enrol this host: {answer.detail()}")
    host, key_id = answer.fields().get("host"), answer.fields().get("key_id")
    if not all(isinstance(name, str) and KEY_ID.match(name) for name in (host, key_id)):
        raise EnrolmentRefused(f"{server.url} answered without a host and a key_id")
    stamp = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Identity(server.url, str(host), str(key_id), name, epoch, stamp)
