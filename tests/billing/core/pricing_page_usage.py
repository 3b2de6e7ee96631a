"""The examples of docs/pricing.md on which usage a price counts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.core.exact import plain
from billing.core.intervals import Raw, nearest_rank, peak, percentile
from billing.core.readings import Reading, RoleFactors
from billing.core.weighing import factor_of, weighed, weighed_together
from metering.core.aggregation import Aggregate, RollupKey
from metering.core.allocation import HostAllocation, Rule, Share, allocated
from metering.core.buckets import BUCKET
from metering.core.corrections import Correction, corrected
from metering.core.filling import BucketUsage, filled
from metering.core.hours import HOUR
from metering.core.posting import Place, Posted, postings
from metering.core.primaries import PrimaryWindow, left_out

Row = list[str]

DAY = datetime(2026, 10, 3, tzinfo=UTC)
SHOP, STAND_IN = UUID(int=1), UUID(int=9)
WHOLE_US = 300_000_000


def written(raw: Raw) -> str:
    return plain(Decimal(raw))


def clock(text: str) -> datetime:
    time = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M")  # noqa: DTZ007
    return DAY + timedelta(hours=time.hour, minutes=time.minute, seconds=time.second)


def role_rows(rows: list[Row]) -> list[Row]:
    factors = RoleFactors(replica=Decimal("0.5"), standby=Decimal(0))
    used = {role: int(quantity) for role, quantity, *_ in rows[:-1]}
    computed = [
        [
            role,
            str(quantity),
            plain(factor_of(factors, role)),
            written(weighed(quantity, factor_of(factors, role))),
        ]
        for role, quantity in used.items()
    ]
    total = weighed_together(Reading("cpu.time", "sum", factors=factors), used)
    return [*computed, ["together", str(sum(used.values())), "", written(total)]]


def primary_rows(rows: list[Row]) -> list[Row]:
    windows = [
        PrimaryWindow(SHOP, UUID(int=number), DAY + timedelta(number), clock(start), clock(end), {})
        for number, start, end in ((int(row[0]), row[1], row[2]) for row in rows)
    ]
    out = {id(window) for window in left_out(windows)}
    return [
        [*row[:3], "no" if id(window) in out else "yes"]
        for row, window in zip(rows, windows, strict=True)
    ]


def gap_rows(rows: list[Row]) -> list[Row]:
    series = [
        BucketUsage(
            SHOP, SHOP, "primary", clock(start), WHOLE_US, WHOLE_US if measured else 0,
            int(measured) if measured else None,
        )
        for start, measured, *_ in rows
    ]  # fmt: skip
    policies = [
        series,
        filled(series, "cpu.time", "held"),
        filled(series, "cpu.time", "interpolated"),
    ]
    return [
        [*row[:2], *(str(buckets[number].quantity or 0) for buckets in policies)]
        for number, row in enumerate(rows)
    ]


def rank_row(row: Row) -> Row:
    return [*row[:2], str(nearest_rank(Decimal(row[0]), int(row[1])))]


def interval_row(row: Row) -> Row:
    used: dict[datetime, Raw] = {
        DAY + number * BUCKET: int(quantity) for number, quantity in enumerate(row[0].split(", "))
    }
    chosen = [percentile(used, 20, Decimal(90)), percentile(used, 20, Decimal(95)), peak(used, 20)]
    return [row[0], *(written(each.quantity) for each in chosen)]


def correction_rows(rows: list[Row]) -> list[Row]:
    starts = [clock(start) for start, *_ in rows]
    replacement = Correction(
        SHOP, None, starts[0], starts[-1] + BUCKET, None, {"cpu.time": 70}, STAND_IN
    )
    measured = {
        RollupKey(SHOP, clock(start), SHOP, "primary"): Aggregate(1, 1, 1, {"cpu.time": int(used)})
        for start, used, _ in rows
    }
    result = corrected(measured, [replacement], [(SHOP, start) for start in starts])
    counts = dict.fromkeys(starts, 0)
    for key, rollup in result.items():
        counts[key.bucket_start] += rollup.usage.get("cpu.time", 0)
    return [[*row[:2], str(counts[start])] for row, start in zip(rows, starts, strict=True)]


def _spread(used: list[int], rule: Rule) -> HostAllocation:
    shares = [Share(UUID(int=number), None, own) for number, own in enumerate(used)]
    return allocated(shares, 10, 100, rule)


def allocation_rows(rows: list[Row]) -> list[Row]:
    used = [int(row[1]) for row in rows]
    by_share, evenly = (_spread(used, rule).shares for rule in ("by_share", "evenly"))
    return [
        [*row[:2], *map(str, (a.idle, a.unattributed, b.idle, b.unattributed))]
        for row, a, b in zip(rows, by_share, evenly, strict=True)
    ]


def late_allocation_rows(rows: list[Row]) -> list[Row]:
    """The shop's usage of 20 comes late; the mail used 10."""
    posted: dict[Place, Posted] = {}
    written_rows = []
    for name, used in (("first", [0, 10]), ("difference", [20, 10])):
        found = _spread(used, "by_share")
        made = dict.fromkeys((UUID(int=0), UUID(int=1)), 0)
        for each in postings(found, {}, posted, DAY, DAY + HOUR):
            made[each.application_id] = each.quantity
            posted[each.application_id, each.bucket_start] = Posted(
                each.before + each.quantity, each.revision
            )
        written_rows.append([name, *map(str, made.values())])
    together = [sum(int(row[column]) for row in written_rows) for column in (1, 2)]
    return [*written_rows, ["together", *map(str, together)]]
