"""Where the portal's head leads to."""

from dataclasses import dataclass
from typing import Final

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# The section that a page says it belongs to, what it is called, and its route.
_SECTIONS: Final[tuple[tuple[str, Promise, str], ...]] = (
    ("overview", _("Overview"), "portal:overview"),
    ("applications", _("Applications"), "portal:applications"),
    ("usage", _("Usage"), "portal:usage"),
    ("invoices", _("Invoices"), "portal:invoices"),
    ("billing", _("Billing details"), "portal:billing"),
    ("hosts", _("Hosts"), "portal:hosts"),
    ("budgets", _("Budgets"), "portal:budgets"),
    ("webhooks", _("Webhooks"), "portal:webhooks"),
    ("team", _("Team and access"), "portal:team"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    label: str
    url: str
    is_current: bool


def entries(section: str) -> list[Entry]:
    """The head's entries on a page of `section`."""
    return [Entry(str(label), reverse(route), name == section) for name, label, route in _SECTIONS]
