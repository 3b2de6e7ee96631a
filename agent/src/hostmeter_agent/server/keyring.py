"""The keys of this host: the one it signs with, the one before, and the one to come.

Which counts stands in the spool, the private parts in files. A key is on disk before the server is
told of it, and the former one stays until the server has taken the new one for a day: a crash
anywhere, or a server that was set back, leaves a key that is good.
"""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hostmeter_agent.server.ed25519 import PrivateKey
from hostmeter_agent.store.spool import Identity, Spool
from hostmeter_agent.store.state import StateDirectory
from hostmeter_agent.wire_control import KEY_OVERLAP_SECONDS

CURRENT = "key"
NEXT = "next-key"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key of this host. label: of its file; since: when the host began to sign with it, seconds
    since the epoch."""

    label: str
    key_id: str
    since: float
    private: PrivateKey


@dataclass(slots=True)
class Keyring:
    """Reads the spool each time: `rotate-key` may have turned the ring meanwhile."""

    spool: Spool
    state: StateDirectory
    identity: Identity
    _loaded: dict[str, PrivateKey] = field(default_factory=dict)

    def current(self) -> HostKey:
        """Raises StateUnusable where its file is lost, and SpoolUnusable."""
        note = self.spool.note(CURRENT)
        if note is None:
            since = datetime.fromisoformat(self.identity.enrolled_at).astimezone(UTC).timestamp()
            return self._key(self.identity.epoch, self.identity.key_id, since)
        return self._key(note["label"], note["key_id"], note["since"])

    def former(self) -> HostKey | None:
        """The key before, as long as it is kept."""
        note = self.spool.note(CURRENT)
        former = note and note.get("former")
        if not former:
            return None
        return self._key(former["label"], former["key_id"], former["since"])

    def next_key(self) -> tuple[str, PrivateKey]:
        """(label, key) of the key to come: the one that was begun before, or a new one."""
        note = self.spool.note(NEXT)
        if note is not None:
            return note["label"], self._private(note["label"])
        label = str(uuid.uuid4())
        self._loaded[label] = self.state.create_key(label)
        self.spool.take_notes({NEXT: {"label": label}})
        return label, self._loaded[label]

    def give_up_next(self) -> None:
        """The server will not have it."""
        note = self.spool.note(NEXT)
        self.spool.take_notes({NEXT: None})
        if note is not None:
            self.state.remove_key(note["label"])

    def turn(self, label: str, key_id: str, *, now: float) -> None:
        """The server knows the next key: sign with it from now on."""
        before = self.current()
        if before.label == label:
            return
        former = {"label": before.label, "key_id": before.key_id, "since": before.since}
        current = {"label": label, "key_id": key_id, "since": now, "former": former}
        self.spool.take_notes({CURRENT: current, NEXT: None})

    def turn_back(self) -> None:
        """The server knows the former key only, as one does whose database was set back: sign
        with that, and ask again for the other."""
        note = self.spool.note(CURRENT)
        if note is not None and note.get("former"):
            self.spool.take_notes(
                {CURRENT: {**note["former"], "former": None}, NEXT: {"label": note["label"]}}
            )

    def accepted(self, key: HostKey, *, now: float) -> None:
        """The server took the current key; a day after it did so first the former one goes."""
        note = self.spool.note(CURRENT)
        if note is None or note["label"] != key.label or not note.get("former"):
            return
        if "accepted_at" not in note:
            self.spool.take_notes({CURRENT: note | {"accepted_at": now}})
        elif now - note["accepted_at"] >= KEY_OVERLAP_SECONDS:
            self.spool.take_notes({CURRENT: note | {"former": None}})
            self.state.remove_key(note["former"]["label"])

    def sweep(self) -> None:
        """Remove the files of keys that nothing names: a crash may have left some."""
        labels = [self.current().label]
        former, to_come = self.former(), self.spool.note(NEXT)
        labels += [former.label] if former else []
        labels += [to_come["label"]] if to_come else []
        self.state.remove_keys_but(*labels)

    def _key(self, label: str, key_id: str, since: float) -> HostKey:
        return HostKey(label, key_id, since, self._private(label))

    def _private(self, label: str) -> PrivateKey:
        if label not in self._loaded:
            self._loaded[label] = self.state.load_key(label)
        return self._loaded[label]
