"""Whether the web of this machine or container is healthy: `python -m config.runtime.health`."""

import http.client
import sys

HEALTH_TIMEOUT_S = 2


def is_healthy(host: str, port: int, timeout_s: int = HEALTH_TIMEOUT_S) -> bool:
    """True when /health/ answers 200, which it does while the database answers too."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    # Where the product is served over TLS only, this is how the proxy in front of it asks.
    headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    try:
        connection.request("GET", "/health/", headers=headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
    sys.exit(0 if is_healthy("127.0.0.1", int(address.rpartition(":")[2]), timeout_s=5) else 1)
