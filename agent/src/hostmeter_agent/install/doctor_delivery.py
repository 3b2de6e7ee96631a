"""Checks of the way to the server: the spool's disk, the server, the key, both clocks."""

import os
import time
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from hostmeter_agent import __version__
from hostmeter_agent.errors import AgentError
from hostmeter_agent.install.findings import Finding, Place
from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.control_state import last_good
from hostmeter_agent.server.grace import overdue
from hostmeter_agent.server.keyring import Keyring
from hostmeter_agent.server.transport import parse_server
from hostmeter_agent.store.spool import Identity, Spool
from hostmeter_agent.store.state import SPOOL_FILE, StateDirectory
from hostmeter_agent.wire import BATCHES_PATH, SIGNATURE_SKEW_SECONDS_MAX
from hostmeter_agent.wire_control import version_of

_FREE_BYTES_MIN: Final = 500_000_000
_FSYNC_MS_MAX: Final = 500
_NO_BATCH: Final = b"{}"
"""Signed like a batch and out of contract: the server judges the key first, and stores nothing."""
_UPGRADE: Final = "install the newer hostmeter-agent and start the service again"
_ENROL: Final = "hostmeter-agent install --server URL --token TOKEN"


def spool(place: Place) -> Finding:
    """Whether usage can be kept here: room, durability, rights."""
    path = place.state
    if not path.is_dir():
        return Finding("spool", "ok", f"{path} is not there yet", _ENROL)
    try:
        took_ms = _fsync_ms(path)
    except OSError as error:
        return Finding(
            "spool", "unavailable", f"{path}: {error.strerror}", "make room, or make it writable"
        )
    room = os.statvfs(path)
    free = room.f_bavail * room.f_frsize
    if free < _FREE_BYTES_MIN:
        return Finding(
            "spool", "ok", f"only {free // 1_000_000} MB are free on {path}", "make room there"
        )
    if took_ms > _FSYNC_MS_MAX:
        return Finding(
            "spool", "ok", f"{path} takes {took_ms} ms to store durably", "use a faster disk"
        )
    return Finding("spool", "ok", f"{free // 1_000_000} MB free, stored durably in {took_ms} ms")


def _fsync_ms(folder: Path) -> int:
    path = folder / f".doctor-{os.getpid()}"
    began = time.monotonic_ns()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"\0" * 4096)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()
    return (time.monotonic_ns() - began) // 1_000_000


def _identity(place: Place) -> Identity | None:
    """Raises AgentError."""
    path = place.state / SPOOL_FILE
    try:
        path.stat()
    except FileNotFoundError:
        return None
    with closing(Spool(path)) as opened:
        return opened.identity()


def server(place: Place) -> Finding:
    """Whether the server can be reached and takes the key."""
    try:
        identity = _identity(place)
        if identity is None:
            return Finding("server", "unavailable", "this host is not enrolled", _ENROL)
        status, _ = _ask(place, identity)
    except AgentError as error:
        return Finding("server", "unavailable", str(error), "see whether the address is right")
    if status == HTTPStatus.UNAUTHORIZED:
        return Finding(
            "server", "unavailable", f"{identity.server} does not take the key {identity.key_id}",
            "see whether the clocks agree; else the host was retired: enrol it anew",
        )  # fmt: skip
    if status != HTTPStatus.UNPROCESSABLE_ENTITY:
        return Finding("server", "unavailable", f"{identity.server} answered {status}")
    return Finding("server", "ok", f"{identity.server} takes the key of {identity.name}")


def server_clock(place: Place) -> Finding:
    """How far the wall clock is from the server's."""
    name = "server clock"
    try:
        identity = _identity(place)
        if identity is None:
            return Finding(name, "unavailable", "this host is not enrolled")
        _, theirs = _ask(place, identity)
    except AgentError as error:
        return Finding(name, "unavailable", f"not compared: {error}")
    if theirs is None:
        return Finding(name, "unavailable", "the server does not tell its time")
    apart = int(abs(time.time() - theirs.timestamp()))
    reason = f"{apart} s from the server's"
    if apart > SIGNATURE_SKEW_SECONDS_MAX:
        return Finding(name, "unavailable", f"{reason}: it refuses signatures", "set the clock")
    return Finding(name, "ok", reason, "set the clock" if apart > 1 else "")


def policy(place: Place) -> Finding:
    """Whether this agent is as new as its operators ask for, and their policy fresh enough."""
    name = "policy"
    try:
        if _identity(place) is None:
            return Finding(name, "unavailable", "this host is not enrolled")
        with closing(Spool(place.state / SPOOL_FILE)) as opened:
            desired, late = last_good(opened), overdue(opened, time.time())
    except AgentError as error:
        return Finding(name, "unavailable", str(error))
    if desired is None:
        return Finding(name, "ok", "the server has not said anything yet")
    if version_of(__version__) < version_of(desired.minimum_version or "0"):
        by = f", wanted by {desired.minimum_by}" if desired.minimum_by else ""
        reason = f"this agent, {__version__}, is older than {desired.minimum_version}{by}"
        return Finding(name, "unavailable", f"{reason}; what it delivers is still taken", _UPGRADE)
    if late:
        return Finding(name, "unavailable", late, "see why the server cannot be reached")
    return Finding(name, "ok", desired.policy or "no version of a policy holds for this host")


def _ask(place: Place, identity: Identity) -> tuple[int, datetime | None]:
    """The server's status for a signed body that is no batch, and its clock. Raises AgentError."""
    with closing(Spool(place.state / SPOOL_FILE)) as opened:
        keyring = Keyring(opened, StateDirectory(place.state), identity)
        channel = Channel(parse_server(identity.server), keyring)
        headers = {"Content-Type": "application/json"}
        answer = channel.send("POST", BATCHES_PATH, _NO_BATCH, headers, now=time.time())
    try:
        return answer.status, parsedate_to_datetime(answer.date) if answer.date else None
    except ValueError:
        return answer.status, None
