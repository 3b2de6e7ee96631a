"""The state directory: its modes, its lock and the host's private key."""

import base64
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.ed25519 import PrivateKey

# struct flock: kind, whence, start, length, pid.
_LOCK_LAYOUT = "hhqqi4x"
SPOOL_FILE = "spool.sqlite3"


class StateUnusable(AgentError):
    """The state directory cannot be used: permissions, another agent, a broken key."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A directory that belongs to one agent (mode 0700)."""

    path: Path

    @property
    def spool(self) -> Path:
        return self.path / SPOOL_FILE

    def key_path(self, label: str) -> Path:
        """Each enrolment has a key of its own, labelled by its epoch, and so has each rotation;
        the spool says which one counts."""
        return self.path / f"key-{label}"

    def prepare(self) -> None:
        """Create it, or close it to others. Raises StateUnusable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise StateUnusable(f"{self.path}: {error.strerror}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the directory to this process. Raises StateUnusable when another one has it.

        The kernel lets go of the lock with the process, so a killed agent leaves none behind.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.path / "lock", flags, 0o600)
        except OSError as error:
            raise StateUnusable(f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The second lock is one that can be looked at without being taken.
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file_lock())
        except OSError as error:
            os.close(descriptor)
            raise StateUnusable(f"another agent is running on {self.path}") from error
        try:
            yield
        finally:
            os.close(descriptor)

    def is_held(self) -> bool:
        """Whether a process has the directory to itself, without getting in the way of one that
        wants it just now. Raises StateUnusable."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateUnusable(f"{self.path}: {error.strerror}") from error
        try:
            found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file_lock())
        finally:
            os.close(descriptor)
        return int(struct.unpack(_LOCK_LAYOUT, found)[0]) != fcntl.F_UNLCK

    def create_key(self, label: str) -> PrivateKey:
        """Make a new key and keep it (mode 0600), durably, before anyone is told of it.

        Raises StateUnusable.
        """
        key = PrivateKey.generate()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        path = self.key_path(label)
        try:
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(base64.b64encode(key.private_bytes()) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._sync()
        except OSError as error:
            raise StateUnusable(f"{path}: {error.strerror}") from error
        return key

    def _sync(self) -> None:
        """A file's name is as durable as its directory."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove_key(self, label: str) -> None:
        self.key_path(label).unlink(missing_ok=True)

    def remove_keys_but(self, *labels: str) -> None:
        """Remove every key but those with these labels."""
        kept = {self.key_path(label) for label in labels}
        for path in self.path.glob("key-*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def load_key(self, label: str) -> PrivateKey:
        """The key with this label. Raises StateUnusable."""
        path = self.key_path(label)
        try:
            raw = base64.b64decode(path.read_bytes().strip(), validate=True)
            return PrivateKey(raw)
        except OSError as error:
            raise StateUnusable(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise StateUnusable(f"{path}: not an Ed25519 key") from error


def _whole_file_lock() -> bytes:
    return struct.pack(_LOCK_LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
