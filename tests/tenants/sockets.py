"""Servers that speak at the socket: what is not HTTP, what drips, what holds a certificate."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@contextmanager
def answering(answer: bytes, *, tls: Path | None = None) -> Iterator[int]:
    """The port of a server that answers one connection so, whatever it is asked."""

    def serve(server: socket.socket) -> None:
        # A client that refuses the certificate goes in the middle of the handshake.
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                spoken_to = _with_tls(connection, tls) if tls else connection
                spoken_to.recv(65_536)
                spoken_to.sendall(answer)
                # Closed over what it has not read, a connection is reset, and the answer lost.
                while spoken_to.recv(65_536):
                    pass
                spoken_to.close()

    with _listening(serve) as port:
        yield port


@contextmanager
def dripping() -> Iterator[int]:
    """The port of a server that begins an answer and adds a byte now and then."""
    over = Event()

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not over.wait(0.05):
                    connection.sendall(b"x")

    with _listening(serve) as port:
        try:
            yield port
        finally:
            over.set()


@contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        thread = Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def _with_tls(connection: socket.socket, certificate: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(connection, server_side=True)


def certificate_for(name: str, folder: Path) -> Path:
    """A file with a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return path
