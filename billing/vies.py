"""Asking the EU's VIES whether it knows a VAT id. What it says is shown, and blocks nothing:
VIES is often away, and a country's register lags behind."""

import http.client
import json
import logging
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import F, Q

from billing.models import BillingDetails

logger = logging.getLogger(__name__)

ASKED_MAX: Final = 50
_SECONDS: Final = 10
_ANSWER_BYTES_MAX: Final = 64 * 1024
# What is known is asked again after this, and what could not be asked after the second.
_KNOWN_FOR: Final = timedelta(days=90)
_TRY_AGAIN: Final = timedelta(hours=6)


class NotAsked(Exception):
    """VIES gave no answer about the id; says why."""


class NotReached(NotAsked):
    """It answers for no id just now."""


def due_for_check(*, as_of: datetime) -> list[BillingDetails]:
    """The tenant's details whose VAT id is to be asked for, those waiting longest first."""
    due = (
        Q(vat_checked_at__isnull=True)
        | ~Q(vat_checked_id=F("vat_id"))
        | Q(vat_confirmed__isnull=True, vat_checked_at__lt=as_of - _TRY_AGAIN)
        | Q(vat_checked_at__lt=as_of - _KNOWN_FOR)
    )
    found = BillingDetails.objects.exclude(vat_id="").filter(due)
    return list(found.order_by(F("vat_checked_at").asc(nulls_first=True), "pk")[:ASKED_MAX])


def note_check(details: BillingDetails, confirmed: bool | None, *, as_of: datetime) -> None:
    """Keep what VIES said of the id that it was asked for. Where the id has changed meanwhile
    nothing is kept; where nothing was said, what was known of the same id stays."""
    row = BillingDetails.objects.filter(pk=details.pk, vat_id=details.vat_id)
    if confirmed is None:
        known = row.filter(vat_checked_id=details.vat_id, vat_confirmed__isnull=False)
        if known.exists():
            return
    row.update(vat_checked_id=details.vat_id, vat_checked_at=as_of, vat_confirmed=confirmed)


def is_known(vat_id: str) -> bool:
    """Whether VIES knows the id. Asks over the network. Raises NotAsked."""
    compact = "".join(each for each in vat_id.upper() if each.isascii() and each.isalnum())
    url = f"{settings.VIES_URL.rstrip('/')}/ms/{compact[:2]}/vat/{compact[2:]}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:  # noqa: S310 our setting
            answer = json.loads(response.read(_ANSWER_BYTES_MAX))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotReached(f"VIES was not reached: {error}") from error
    said = answer.get("isValid") if isinstance(answer, dict) else None
    fault = str(answer.get("userError", "")) if isinstance(answer, dict) else ""
    if not isinstance(said, bool) or fault not in {"", "VALID", "INVALID"}:
        raise NotAsked(f"VIES did not answer for {compact[:2]}: {fault[:60] or 'no result'}")
    return said
