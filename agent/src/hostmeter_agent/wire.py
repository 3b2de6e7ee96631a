"""The wire contract, version 1: what agent and server agree on, and nothing else.

Standard library only, so that both sides can import it at no cost.
"""

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA: Final = 1

SAMPLES_PER_BATCH_MAX: Final = 5_000
METERS_PER_SAMPLE_MAX: Final = 64
NAME_LENGTH_MAX: Final = 200
METER_NAME_PATTERN: Final = r"^[a-z0-9._]{1,64}$"
VALUE_MAX: Final = 2**63 - 1
BUCKET_SECONDS: Final = 300
WINDOW_AGE_DAYS_MAX: Final = 400
WINDOW_AHEAD_SECONDS_MAX: Final = 600
SIGNATURE_SKEW_SECONDS_MAX: Final = 300
SIGNATURE_LABEL: Final = "hostmeter"
SIGNATURE_COMPONENTS: Final = ("@method", "@path", "content-digest")
TRANSFERRED_BYTES_MAX: Final = 8 * 1024 * 1024
INFLATED_BYTES_MAX: Final = 64 * 1024 * 1024

ENROL_PATH: Final = "/api/v1/hosts/enrol"
BATCHES_PATH: Final = "/api/v1/batches"

ROLES: Final = ("primary", "replica", "standby")

QUALITIES: Final = ("exact", "sampled", "lower_bound", "estimated", "unavailable")
METHOD_PATTERN: Final = r"^[a-z0-9._/-]{1,64}$"
MARK_PATTERN: Final = r"^[a-z0-9-]{1,64}$"
"""What a gap's cause and a mark look like."""
MEASUREMENT_KEY_PATTERN: Final = r"^[a-z0-9]{1,16}$"
MEASUREMENTS_PER_BATCH_MAX: Final = 1_000
MARKS_PER_MEASUREMENT_MAX: Final = 16

Kind = Literal["counter", "gauge", "maximum"]


@dataclass(frozen=True, slots=True)
class Meter:
    """One built-in meter.

    A counter is the window's delta in `unit`; a gauge is its integral over the window
    (unit x seconds); a maximum is the largest value of its gauge, in `unit`.
    """

    name: str
    kind: Kind
    unit: str

    @property
    def column(self) -> str:
        """Its column's name in the server's sample and rollup tables."""
        return self.name.replace(".", "_")


def _gauge(name: str, unit: str) -> tuple[Meter, Meter]:
    return Meter(name, "gauge", f"{unit}·s"), Meter(f"{name}.max", "maximum", unit)


_KINDS_OF_RESOURCE = ("file", "socket", "pipe", "device", "other")

METERS: Final[tuple[Meter, ...]] = (
    Meter("cpu.time", "counter", "µs"),
    *_gauge("memory.used", "byte"),
    *_gauge("processes", "count"),
    *_gauge("threads", "count"),
    *_gauge("files.open", "count"),
    *_gauge("resources.open", "count"),
    *(Meter(f"resources.open.{kind}", "gauge", "count·s") for kind in _KINDS_OF_RESOURCE),
    Meter("resources.opened", "counter", "count"),
    *(Meter(f"resources.opened.{kind}", "counter", "count") for kind in _KINDS_OF_RESOURCE),
    Meter("launches", "counter", "count"),
    Meter("file.read", "counter", "byte"),
    Meter("file.written", "counter", "byte"),
    Meter("disk.read", "counter", "byte"),
    Meter("disk.written", "counter", "byte"),
    Meter("network.received", "counter", "byte"),
    Meter("network.sent", "counter", "byte"),
    Meter("transactions", "counter", "count"),
    *_gauge("users.concurrent", "count"),
)

METERS_BY_NAME: Final = {meter.name: meter for meter in METERS}


def kind_of(name: str) -> Kind:
    """How values of the meter `name` combine; a meter nobody knows is a counter or, by its
    suffix, a maximum."""
    known = METERS_BY_NAME.get(name)
    if known is not None:
        return known.kind
    return "maximum" if name.endswith(".max") else "counter"
