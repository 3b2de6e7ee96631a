"""The small members of a bundle: the invoice and the terms that it was rated by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from billing.core.currencies import currency_of
from billing.core.exact import plain
from billing.core.proof.records import microseconds
from billing.core.proof.terms import to_json
from billing.models import Invoice, InvoiceLine
from billing.queries.ground import Records
from metering.corrections import core_corrections
from metering.models import HostKey, Instance
from metering.stated_models import Correction

RULES: Final = 1


def invoice_document(invoice: Invoice) -> dict[str, Any]:
    """The invoice as it was issued: what changes afterwards, like payments, is not in it."""
    own = {
        name: _written(getattr(invoice, name))
        for name in (
            "kind", "series", "number", "reference", "reason", "seller", "billed_to",
            "customer_reference", "time_zone", "plan_label", "currency", "period_start",
            "period_end", "finalized_at", "total", "tax_inclusive", "tax_total", "credit_applied",
            "gross", "payable", "seller_details", "buyer_details",
        )
    }  # fmt: skip
    lines = invoice.lines.order_by("position")
    taxes = invoice.taxes.order_by("category", "-percent")
    return own | {
        "id": str(invoice.pk),
        "tenant": str(invoice.tenant_id),
        "refers_to": None if invoice.refers_to is None else invoice.refers_to.reference,
        "lines": [_line(line) for line in lines],
        "taxes": [
            {
                name: _written(getattr(tax, name))
                for name in ("category", "percent", "taxable", "tax", "reason")
            }
            for tax in taxes
        ],
    }


def _line(line: InvoiceLine) -> dict[str, Any]:
    own = {
        name: _written(getattr(line, name))
        for name in (
            "kind", "position", "application_name", "environment_name", "label", "meter", "unit",
            "attributes", "facts", "tax_category", "tax_percent", "raw_quantity", "quantity",
            "unrounded", "amount", "steps", "refused_quantity", "refused_for", "measured",
        )
    }  # fmt: skip
    return own | {
        "price": None if line.price_id is None else str(line.price_id),
        "application": None if line.application_id is None else str(line.application_id),
    }


def _written(value: object) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return microseconds(value)
    return value


def terms_document(invoice: Invoice, terms: Mapping[str, Any], *, kept: bool) -> dict[str, Any]:
    """The version of the plan, and by what the document was rated: `kept` on its day, or made out
    now."""
    currency = currency_of(invoice.currency)
    return {
        "rules": RULES,
        "plan": terms["plan"],
        "currency": {"code": currency.code, "decimals": currency.decimals},
        "kept": kept,
        "contract": terms["contract"],
        "silences": terms["silences"],
        "restated": [
            {
                "invoice": each["invoice"],
                # Unknown of documents that were issued before it was kept, when there was none.
                "taken_back": each.get("taken_back"),
                "contract": each["contract"],
                "silences": each["silences"],
            }
            for each in terms["restated"]
        ],
    }


def billed_document(invoice: Invoice, terms: Mapping[str, Any]) -> dict[str, Any] | None:
    """The lines of other documents that this one's lines follow from: of each period that is
    restated all that had billed it, in order, and what is taken back. None where there are none."""
    restated = {
        each["invoice"]: [_billed(UUID(pk), sign, each["invoice"]) for pk, sign in each["billed"]]
        for each in terms["restated"]
    }
    lines = invoice.lines.filter(kind=InvoiceLine.Kind.CORRECTION).order_by("position")
    taken = dict.fromkeys(lines.values_list("facts__takes_back", flat=True))
    # The first is what is taken back, the others are credit notes on it.
    back = [_billed(UUID(pk), -1 if at else 1, None) for at, pk in enumerate(taken)]
    return {"restated": restated, "taken_back": back} if restated or back else None


def _billed(pk: UUID, sign: int, restates: str | None) -> dict[str, Any]:
    """An issued document, as far as it bills the period of the invoice `restates`; all of it for
    None."""
    document = Invoice.objects.get(pk=pk)
    lines = document.lines.order_by("position")
    if restates == str(pk):
        lines = lines.exclude(facts__has_key="restates")
    elif restates is not None and document.kind == Invoice.Kind.INVOICE:
        lines = lines.filter(kind=InvoiceLine.Kind.LATE_USAGE, facts__restates=restates)
    return {
        "id": str(pk),
        "kind": document.kind,
        "reference": document.reference,
        "sign": sign,
        "lines": [_line(line) for line in lines],
    }


def keys_document(keys: Sequence[HostKey], as_of: datetime) -> list[dict[str, Any]]:
    """As they were known: that a key ended later is of no account for what was signed before."""
    return [
        {
            "key_id": key.key_id,
            "host": str(key.host_id),
            "public_key": bytes(key.public_key).hex(),
            "created_at": microseconds(key.created_at),
            "expires_at": _known(key.expires_at, as_of),
            "revoked_at": _known(key.revoked_at, as_of),
        }
        for key in keys
    ]


def _known(moment: datetime | None, as_of: datetime) -> int | None:
    return microseconds(moment) if moment is not None and moment <= as_of else None


def corrections_document(corrections: Sequence[Correction]) -> list[dict[str, Any]]:
    """In the order in which they were made; "correction" is what the core takes."""
    return [
        {
            "id": str(row.pk),
            "reason": row.reason,
            "author": row.author,
            "created_at": microseconds(row.created_at),
            "correction": to_json(each),
        }
        for row, each in zip(corrections, core_corrections(corrections), strict=True)
    ]


def instances_document(instances: Sequence[Instance], hosts: Records) -> list[dict[str, Any]]:
    """Which instance runs where; without a host it stands for what events and corrections state."""
    known = {each["id"]: each for each in hosts}
    none = {"name": "", "region": "", "host_class": ""}
    found = []
    for each in instances:
        host = none if each.host_id is None else known[str(each.host_id)]
        found.append(
            {
                "id": str(each.pk),
                "application": str(each.application_id),
                "name": each.name,
                "first_seen_at": microseconds(each.first_seen_at),
                "host": None if each.host_id is None else str(each.host_id),
                "host_name": host["name"],
                "region": host["region"],
                "host_class": host["host_class"],
            }
        )
    return found
