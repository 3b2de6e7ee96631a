"""The verification of one bundle, from its bytes to what is payable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from billing.core.currencies import Currency
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.core.proof.contests import SamplesMissing
from billing.core.proof.known import Known
from billing.core.proof.records import RecordNotReadable, instant, integer
from billing.core.rating import RatedInvoice
from hostmeter_verify import lines, restated, rollups, usage
from hostmeter_verify.arithmetic import check_arithmetic
from hostmeter_verify.bundle import Bundle
from hostmeter_verify.coverage import check_silences, credits_not_known, gaps_not_known, heard
from hostmeter_verify.findings import Difference, require_equal
from hostmeter_verify.invoice import checked_invoice, decimal
from hostmeter_verify.progress import Progress
from hostmeter_verify.terms import RatedPeriod, checked_currency, checked_terms

# What is charged for the invoice's own period.
_OWN: Final = ("restates", None)


@dataclass(slots=True)
class Outcome:
    """Nothing in the bundle contradicts the invoice; what is in `unverified` was not looked at."""

    unverified: list[str] = field(default_factory=list)


def fingerprint(key: bytes) -> str:
    """A key as people compare it: 16 groups of four digits, of its SHA-256."""
    digest = sha256(key).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 64, 4))


def verify(bundle: Bundle, *, say: Callable[[str], None], progress: Progress) -> Outcome:
    """Recompute the invoice. Raises Difference at the first thing that is not as it has to be."""
    invoice = checked_invoice(bundle.json("invoice.json"))
    terms = bundle.json("terms.json")
    require_equal(
        "the invoice", "the manifest", invoice["reference"], bundle.manifest.get("invoice")
    )
    start, end = _period(invoice)
    periods = checked_terms(terms, invoice, Period(start, end))
    currency = checked_currency(invoice["currency"], terms)
    billed = restated.checked_billed(_billed(bundle))
    _introduce(bundle, invoice, say)

    evidence = usage.Evidence()
    assignments = usage.checked_assignments(bundle, [each.period for each in periods])
    evidence.assigned = assignments.assigned
    known = Known(
        assignments.assigned,
        assignments.names,
        assignments.environments,
        usage.checked_instances(bundle),
        usage.checked_profiles(bundle),
        silences={each.period: each.silences for each in periods if each.silences is not None},
    )
    check_silences(periods, known)
    hours = usage.checked_digests(bundle, evidence)
    usage.check_batches(bundle, usage.checked_keys(bundle), evidence, progress)
    sources = rollups.read_sources(bundle, hours, known, evidence)
    checked = rollups.checked_rollups(bundle, hours, sources, evidence, progress)
    try:
        computed = lines.rated(periods, heard(checked, periods), known)
    except SamplesMissing as missing:
        return Outcome([*evidence.unverified, str(missing)])
    progress.clear()
    _say_evidence(evidence, say)

    silent = gaps_not_known(invoice, periods) + credits_not_known(periods)
    if silent:
        return Outcome([*evidence.unverified, *silent])
    if not terms.get("kept", True):
        say("terms  not kept on its day: made out when the bundle was written")
    _compare(invoice, list(zip(periods, computed, strict=True)), billed, currency, say)
    check_arithmetic(invoice, currency.decimals, documents=1 + billed.documents)
    for name in ("total", "tax_total", "credit_applied", "payable"):
        say(f"{name.replace('_', ' ')}  {invoice[name]} {currency.code}  ok")
    return Outcome(evidence.unverified)


def _billed(bundle: Bundle) -> Any:
    if "billed.json" in bundle.members:
        return bundle.json("billed.json")
    return {"restated": {}, "taken_back": []}


def _compare(
    invoice: Mapping[str, Any],
    rated: Sequence[tuple[RatedPeriod, RatedInvoice]],
    billed: restated.BilledBefore,
    currency: Currency,
    say: Callable[[str], None],
) -> None:
    """Every line, each with what it follows from."""
    groups: dict[Any, list[tuple[int, Mapping[str, Any]]]] = {}
    for number, line in enumerate(invoice["lines"], start=1):
        groups.setdefault(_group_of(line), []).append((number, line))
    for period, computed in rated:
        own = groups.pop(("restates", period.restates), [])
        if period.restates is None:
            lines.compare_lines(own, computed, say)
            _compare_total(invoice, computed)
        else:
            restated.compare_differences(invoice, own, (period, computed), billed, say)
    restated.compare_taken_back(invoice, groups.pop("takes back", []), billed, currency, say)
    for (number, line), *_ in groups.values():
        raise Difference(f"line {number}", str(line.get("label")), "terms for it", "none")


def _compare_total(invoice: Mapping[str, Any], computed: RatedInvoice) -> None:
    """What the period comes to and what earlier ones lack, which is compared line by line."""
    late = [line for line in invoice["lines"] if _group_of(line) != _OWN]
    expected = sum_amounts([computed.total, *(decimal(line, "amount") for line in late)])
    require_equal("the total", "invoice.json", expected, decimal(invoice, "total"))


def _group_of(line: Mapping[str, Any]) -> Any:
    facts = line.get("facts")
    if line.get("kind") == "correction":
        return "takes back"
    if line.get("kind") == "late_usage":
        return "restates", str(facts.get("restates") if isinstance(facts, dict) else None)
    return _OWN


def _period(invoice: Mapping[str, Any]) -> tuple[Any, Any]:
    try:
        return instant(integer(invoice, "period_start")), instant(integer(invoice, "period_end"))
    except RecordNotReadable as error:
        raise Difference("invoice.json", "its period", "two instants", error) from error


def _introduce(bundle: Bundle, invoice: Mapping[str, Any], say: Callable[[str], None]) -> None:
    start, end = _period(invoice)
    say(
        f"{invoice['kind']} {invoice['reference']} of {invoice['seller']} to "
        f"{invoice['billed_to']}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    )
    say(f"signed by the proof key {bundle.proof_key.hex()}")
    say(f"fingerprint {fingerprint(bundle.proof_key)}")


def _say_evidence(evidence: usage.Evidence, say: Callable[[str], None]) -> None:
    held = f", {evidence.samples_read:,} of them here" if evidence.samples_read else ""
    hosts = len(evidence.hosts)
    say(f"batches  {evidence.batches:,}, signed by {hosts} host{'' if hosts == 1 else 's'}  ok")
    say(f"samples  {evidence.samples:,}{held}  ok")
    if evidence.events:
        say(f"events  {evidence.events.total():,}  ok")
    say(f"rollups  {evidence.rollups:,}  ok")
