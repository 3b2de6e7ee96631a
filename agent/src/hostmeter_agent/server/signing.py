"""RFC 9421 message signatures over one request, with RFC 9530 Content-Digest."""

import base64
import hashlib

from hostmeter_agent.server.ed25519 import PrivateKey
from hostmeter_agent.wire import SIGNATURE_LABEL
from hostmeter_agent.wire_control import TIME_HEADER


def content_digest(body: bytes) -> str:
    """The Content-Digest of a body as it is transferred."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signed_headers(
    key: PrivateKey, key_id: str, *, method: str, path: str, body: bytes, created: float
) -> dict[str, str]:
    """The headers that sign one attempt.

    path: as it stands in the request line, without a query; created: seconds since the epoch. The
    signature has whole seconds; a signed header says it by the millisecond.
    """
    digest = content_digest(body)
    clock_ms = str(int(created * 1_000))
    values = {"@method": method, "@path": path, "content-digest": digest, TIME_HEADER: clock_ms}
    covered = " ".join(f'"{name}"' for name in values)
    parameters = f'({covered});created={int(created)};keyid="{key_id}";alg="ed25519"'
    lines = [f'"{name}": {value}' for name, value in values.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(base.encode())).decode()
    return {
        "Content-Digest": digest,
        "Hostmeter-Time": clock_ms,
        "Signature-Input": f"{SIGNATURE_LABEL}={parameters}",
        "Signature": f"{SIGNATURE_LABEL}=:{signature}:",
    }
