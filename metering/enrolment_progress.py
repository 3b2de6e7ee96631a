"""How far a host has come that was to enrol: from its token to its first accepted batch."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from metering.models import Host, HostEpoch, SampleBatch
from tenants.models import EnrolmentToken


class Stage(StrEnum):
    """In the order in which they come; a token ends as EXPIRED or REVOKED where no host came."""

    WAITING = "waiting"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ENROLLED = "enrolled"
    DELIVERING = "delivering"


@dataclass(frozen=True, slots=True)
class Progress:
    """`first_batch_after` is the time from the host's enrolment to its first accepted batch."""

    stage: Stage
    host: Host | None = None
    first_batch_after: timedelta | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be waited for."""
        return self.stage not in (Stage.WAITING, Stage.ENROLLED)


def first_batch_after(host: Host) -> timedelta | None:
    """From the enrolment to the first batch; None before it. A batch's number starts at 1 in an
    enrolment's epoch, so this reads one row by its key."""
    epochs = HostEpoch.objects.filter(host=host).values_list("epoch", flat=True)
    first = SampleBatch.objects.filter(host=host, epoch__in=list(epochs), sequence=1)
    received = first.order_by("received_at").values_list("received_at", flat=True).first()
    return None if received is None else max(received - host.enrolled_at, timedelta(0))


def enrolment_progress(token: EnrolmentToken, *, as_of: datetime) -> Progress:
    """What became of a token."""
    host = Host.objects.filter(enrolled_with=token).first()
    if host is not None:
        after = first_batch_after(host)
        return Progress(Stage.ENROLLED if after is None else Stage.DELIVERING, host, after)
    if token.revoked_at is not None:
        return Progress(Stage.REVOKED)
    return Progress(Stage.WAITING if token.is_usable(as_of) else Stage.EXPIRED)
