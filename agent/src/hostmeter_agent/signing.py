"""RFC 9421 message signatures over one request, with RFC 9530 Content-Digest."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hostmeter_agent.wire import SIGNATURE_COMPONENTS, SIGNATURE_LABEL


def content_digest(body: bytes) -> str:
    """The Content-Digest of a body as it is transferred."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signed_headers(
    key: Ed25519PrivateKey, key_id: str, *, method: str, path: str, body: bytes, created: int
) -> dict[str, str]:
    """The headers that sign one attempt.

    path: as it stands in the request line, without a query; created: seconds since the epoch.
    """
    digest = content_digest(body)
    values = {"@method": method, "@path": path, "content-digest": digest}
    covered = " ".join(f'"{name}"' for name in SIGNATURE_COMPONENTS)
    parameters = f'({covered});created={created};keyid="{key_id}";alg="ed25519"'
    lines = [f'"{name}": {values[name]}' for name in SIGNATURE_COMPONENTS]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    signature = base64.b64encode(key.sign(base.encode())).decode()
    return {
        "Content-Digest": digest,
        "Signature-Input": f"{SIGNATURE_LABEL}={parameters}",
        "Signature": f"{SIGNATURE_LABEL}=:{signature}:",
    }
