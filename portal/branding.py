"""A provider's own look: its name, its logo, and its colour where that can be read.

A colour is moved towards black, or in the dark towards white, until text in it stands out from
every ground of the portal (WCAG 2.2, 1.4.3: 4.5 to 1).
"""

from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import md5
from typing import Final

from django.db.models.functions import MD5
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing.models import BillingSettings
from tenants.domains import tenant_of_domain
from tenants.models import Tenant, User
from tenants.scope import tenant_scope

PRODUCT: Final = "Hostmeter"
_RATIO_MIN: Final = 4.5
_STEPS: Final = 50
_SOFT: Final = 0.11
# As in styles/portal.css: page and surface.
_LIGHT: Final = ("#f5f6f8", "#ffffff")
_DARK: Final = ("#0e1218", "#161b23")
DEFAULT_COLOUR: Final = "#1f6feb"
_NO_LOGO: Final = md5(b"", usedforsecurity=False).hexdigest()

_KNOWN: Final = "hostmeter_brand"

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Brand:
    """How the page is signed. `colour` is six hexadecimal digits, or empty for the product's own;
    `logo` says which logo it is, or is empty for the product's mark."""

    name: str = PRODUCT
    colour: str = ""
    logo: str = ""


def context(request: HttpRequest) -> dict[str, object]:
    """`brand`, for every template: read when one shows it, and once for all of a page's."""
    known = getattr(request, _KNOWN, None)
    if known is None:
        known = SimpleLazyObject(lambda: brand_of(request))
        setattr(request, _KNOWN, known)
    return {"brand": known}


def brand_of(request: HttpRequest) -> Brand:
    """The provider's look for its own people and customers, and for everyone under its domain; the
    product's for everyone else."""
    user = getattr(request, "user", None)
    member = user.membership if isinstance(user, User) else None
    if member is not None:
        return _brand(member.tenant)
    of_domain = tenant_of_domain(request)
    if of_domain is None:
        return Brand()
    with tenant_scope(of_domain):
        return _brand(Tenant.objects.get(pk=of_domain))


def logo_svg(request: HttpRequest) -> str:
    """The logo of the reader's brand, which has one, as it was uploaded."""
    of_domain = tenant_of_domain(request)
    # Whoever is signed in under a domain is in its tenant's scope already.
    with nullcontext() if of_domain is None else tenant_scope(of_domain):
        return BillingSettings.objects.values_list("logo_svg", flat=True)[0]


def _brand(tenant: Tenant) -> Brand:
    settings = (
        BillingSettings.objects.annotate(logo=MD5("logo_svg")).values("colour", "logo").first()
    )
    if settings is None:
        return Brand(tenant.name)
    colour, logo = settings["colour"].lower(), settings["logo"]
    return Brand(
        tenant.name,
        "" if colour == DEFAULT_COLOUR else colour.removeprefix("#"),
        "" if logo == _NO_LOGO else logo,
    )


def style_sheet(colour: str) -> str:
    """The tokens that a brand's colour replaces; `colour` is six hexadecimal digits."""
    light, dark = _tokens(colour, _LIGHT, toward=0), _tokens(colour, _DARK, toward=255)
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _tokens(colour: str, grounds: tuple[str, str], *, toward: int) -> str:
    surface = _parsed(grounds[1])
    for step in range(_STEPS + 1):
        accent = _mixed(_parsed(colour), (toward, toward, toward), step / _STEPS)
        soft = _mixed(surface, accent, _SOFT)
        if all(contrast(accent, ground) >= _RATIO_MIN for ground in (*map(_parsed, grounds), soft)):
            break
    return f"--accent:{_written(accent)};--accent-soft:{_written(soft)}"


def contrast(one: Colour, other: Colour) -> float:
    """From 1 to 21, as WCAG 2.2 defines it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    parts = (part / 255 for part in colour)
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _parsed(colour: str) -> Colour:
    digits = colour.removeprefix("#")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _written(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
