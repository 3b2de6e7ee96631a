"""The verification of one bundle, from its bytes to what is payable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from billing.core.periods import Period
from billing.core.proof.contests import SamplesMissing
from billing.core.proof.known import Known
from billing.core.proof.records import RecordNotReadable, instant, integer
from hostmeter_verify import lines, rollups, usage
from hostmeter_verify.arithmetic import check_arithmetic
from hostmeter_verify.bundle import Bundle
from hostmeter_verify.coverage import credits_not_known, gaps_not_known
from hostmeter_verify.findings import Difference
from hostmeter_verify.invoice import checked_invoice
from hostmeter_verify.progress import Progress


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
    start, end = _period(invoice)
    contract = lines.checked_contract(terms, Period(start, end))
    currency = lines.checked_currency(invoice["currency"], terms)
    _introduce(bundle, invoice, say)

    evidence = usage.Evidence()
    assignments = usage.checked_assignments(bundle, start, end)
    evidence.assigned = assignments.assigned
    known = Known(
        assignments.assigned,
        assignments.names,
        assignments.environments,
        usage.checked_instances(bundle),
        usage.checked_profiles(bundle),
    )
    hours = usage.checked_digests(bundle, evidence)
    usage.check_batches(bundle, usage.checked_keys(bundle), evidence, progress)
    sources = rollups.read_sources(bundle, hours, known, evidence)
    checked = rollups.checked_rollups(bundle, hours, sources, evidence, progress)
    try:
        computed, read = lines.rated(contract, checked, known, invoice)
    except SamplesMissing as missing:
        return Outcome([*evidence.unverified, str(missing)])
    progress.clear()
    _say_evidence(evidence, say)

    if invoice["kind"] != "invoice":
        return Outcome([*evidence.unverified, "notes are not recomputed"])
    evidence.unverified += gaps_not_known(invoice, contract, read)
    evidence.unverified += credits_not_known(invoice, contract, read)
    unverified = evidence.unverified + lines.compare_lines(invoice, computed, say)
    check_arithmetic(invoice, currency.decimals)
    for name in ("total", "tax_total", "credit_applied", "payable"):
        say(f"{name.replace('_', ' ')}  {invoice[name]} {currency.code}  ok")
    return Outcome(unverified)


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
