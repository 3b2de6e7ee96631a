"""All credentials of a tenant on one page: what there is, who uses it, and where it is revoked."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from metering.host_state import key_state
from metering.models import Host, HostKey
from tenants.admin_pages import ago, in_words
from tenants.models import ApiKey, EnrolmentToken, Member

if TYPE_CHECKING:
    from tenants.admin_pages import MarkedAdmin as _Pages
else:
    _Pages = object

SHOWN_MAX: Final = 50


class CredentialPages(_Pages):
    """The page, for the hosts' admin."""

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "credentials/",
            self.admin_site.admin_view(self.credentials),
            name="metering_host_credentials",
        )
        return [page, *super().get_urls()]

    def credentials(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if not user.has_perm("tenants.view_apikey"):
            raise PermissionDenied
        now = timezone.now()
        sections = [
            _tokens(now, may=user.has_perm("tenants.add_enrolmenttoken")),
            _host_keys(now, may=user.has_perm("metering.change_host")),
            _api_keys(now, may=user.has_perm("tenants.add_apikey")),
            _people(now, may=user.has_perm("tenants.add_member")),
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Credentials",
            "sections": sections,
            "shown_max": SHOWN_MAX,
        }
        return TemplateResponse(request, "admin/hostmeter/credentials.html", context)


def _link(name: str, text: str, *args: Any) -> SafeString:
    page = reverse(f"admin:{name}", args=args)
    return format_html('<a class="underline" href="{}">{}</a>', page, text)


def _section(
    name: str, headers: list[str], rows: Iterable[list[Any]], empty: str, links: list[SafeString]
) -> dict[str, Any]:
    return {
        "name": name,
        "headers": headers,
        "rows": list(rows),
        "empty": empty,
        "links": links,
    }


def _tokens(now: datetime, *, may: bool) -> dict[str, Any]:
    rows = EnrolmentToken.objects.select_related("environment")[:SHOWN_MAX]
    hosts = dict(
        Host.objects.filter(enrolled_with__in=list(rows)).values_list("enrolled_with", "name")
    )
    links = [_link("tenants_enrolmenttoken_changelist", "All tokens, and revoke")]
    if may:
        links.insert(0, _link("tenants_enrolmenttoken_issue", "Issue a token"))
    return _section(
        "Enrolment tokens",
        ["Environment", "State", "Issued", "Used by"],
        (
            [
                _link("tenants_enrolmenttoken_change", str(token.environment), token.pk),
                _token_state(token, now),
                ago(token.created_at, now),
                f"{hosts[token.pk]}, {ago(token.used_at, now)}" if token.pk in hosts else "nobody",
            ]
            for token in rows
        ),
        "No token was issued yet. One lets a host enrol, once, within an hour.",
        links,
    )


def _token_state(token: EnrolmentToken, now: datetime) -> str:
    if token.used_at is not None:
        return "used"
    if token.revoked_at is not None:
        return "revoked"
    return "usable" if token.is_usable(now) else "expired"


def _host_keys(now: datetime, *, may: bool) -> dict[str, Any]:
    keys = HostKey.objects.filter(revoked_at=None).select_related("host").order_by("-created_at")
    return _section(
        "Agents' keys",
        ["Host", "Key", "State", "Age", "Host last seen", ""],
        (
            [
                _link("metering_host_change", str(key.host), key.host_id),
                key.key_id.rpartition(".")[2],
                key_state(key, now),
                in_words(now - key.created_at),
                ago(key.host.last_seen_at, now),
                _link("metering_host_revoke_key", "Revoke", key.host_id, key.pk)
                if may and key.is_valid(now)
                else "",
            ]
            for key in keys[:SHOWN_MAX]
        ),
        "No host has enrolled yet. Each makes its own key, and rotates it by itself.",
        [_link("metering_host_changelist", "All hosts, with their keys")],
    )


def _api_keys(now: datetime, *, may: bool) -> dict[str, Any]:
    keys = ApiKey.objects.filter(revoked_at=None).select_related("customer")
    links = [_link("tenants_apikey_changelist", "All keys, and revoke")]
    if may:
        links.insert(0, _link("tenants_apikey_issue", "Issue a key"))
    return _section(
        "API keys",
        ["Name", "Begins", "Customer", "State", "Last used", "From", "Minutes of use", ""],
        (
            [
                _link("tenants_apikey_change", key.name, key.pk),
                key.prefix or "-",
                str(key.customer or "all"),
                "valid" if key.is_usable(now) else "expired",
                ago(key.last_used_at, now),
                key.last_used_from or "-",
                key.minutes_used,
                _link("tenants_apikey_rotate", "Rotate", key.pk)
                if may and key.is_usable(now)
                else "",
            ]
            for key in keys.order_by("-last_used_at", "name")[:SHOWN_MAX]
        ),
        "No program has a key yet. With one it calls the API.",
        links,
    )


def _people(now: datetime, *, may: bool) -> dict[str, Any]:
    members = Member.objects.select_related("user", "customer").order_by("user__email")
    links = [_link("tenants_member_changelist", "All members")]
    if may:
        links.insert(0, _link("tenants_member_add", "Invite somebody"))
    return _section(
        "People",
        ["E-mail", "Role", "Customer", "State", "Last signed in"],
        (
            [
                _link("tenants_member_change", member.user.email, member.pk),
                member.role,
                str(member.customer or "-"),
                "invited" if member.is_invited else "member",
                # A person may belong to others as well: who has not accepted shows nothing.
                "-" if member.is_invited else ago(member.user.last_login, now),
            ]
            for member in members[:SHOWN_MAX]
        ),
        "Nobody is a member yet.",
        links,
    )
