"""E-mails in the admin: what was sent, to whom, and how each kind reads."""

from typing import Any, Final
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.admin_pages import ReadOnlyAdmin, action, display, form_page, in_a_tenant
from tenants.mail import MailNotUsable, queue, send_again
from tenants.mail_kinds import MailKind, UnknownMailKind, all_kinds, kind_of
from tenants.mail_models import MailMessage
from tenants.mail_rendering import Rendered, Shade, rendered, sender
from tenants.models import User
from tenants.refusals import sentence

# A preview shows what a reader gets, with its styles, and nothing else.
_PREVIEW_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_SHADES: Final[dict[str, Shade]] = {"light": "light", "dark": "dark"}


@admin.register(MailMessage)
class MailMessageAdmin(ReadOnlyAdmin):
    empty_hint = (
        "Each e-mail to your customers and people is listed here, with what became of it. "
        "See under Preview how they read."
    )
    list_display = ("described", "recipient", "status", "attempts", "error", "created_at")
    list_filter = ("state", "kind")
    search_fields = ("recipient", "subject", "key", "kind")
    fields = (
        ("described", "status"),
        ("recipient", "language", "time_zone"),
        "body",
        ("attempts", "error"),
        ("created_at", "settled_at", "next_attempt_at"),
    )
    readonly_fields = (
        "described", "status", "recipient", "language", "time_zone", "body", "attempts", "error",
        "created_at", "settled_at", "next_attempt_at",
    )  # fmt: skip
    actions = ("send_chosen_again",)
    actions_list = ("preview",)

    def has_send_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("tenants.change_mailmessage")

    def has_look_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("tenants.view_mailmessage")

    @display(description="E-mail", ordering="kind")
    def described(self, message: MailMessage) -> str:
        return message.subject or _title(message.kind)

    @display(
        description="State",
        label={"pending": "info", "sent": "success", "failed": "danger"},
    )
    def status(self, message: MailMessage) -> str:
        return message.state

    @display(description="Text")
    def body(self, message: MailMessage) -> SafeString | str:
        """As it would be written now."""
        try:
            kind = kind_of(message.kind)
        except UnknownMailKind as unknown:
            return sentence(unknown)
        if kind.is_secret:
            return "It holds a link for its recipient alone and is not shown."
        mail = _as_read(kind, message.context, message.language, message.time_zone)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', mail.text)

    @admin.action(description="Send again", permissions=["send"])
    def send_chosen_again(self, request: HttpRequest, chosen: "QuerySet[MailMessage]") -> None:
        sent = 0
        for message in chosen:
            try:
                send_again(message, as_of=timezone.now())
                sent += 1
            except MailNotUsable as refusal:
                messages.error(request, f"{message}: {refusal}.")
        if sent:
            messages.success(request, f"To be sent again within seconds: {sent}.")

    @action(description="Preview", icon="visibility", permissions=["look"], url_path="preview")
    def preview(self, request: HttpRequest) -> HttpResponse:
        """The list of kinds; of one of them, as asked, how it reads, or a test to oneself."""
        name = request.GET.get("kind", "")
        if not name:
            return self._kinds(request)
        try:
            kind = kind_of(name)
        except UnknownMailKind as unknown:
            raise Http404 from unknown
        if request.GET.get("form") == "test":
            return self._test(request, kind)
        return _shown(request, kind)

    def _kinds(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "How e-mails read",
            "kinds": all_kinds(),
            "languages": settings.LANGUAGES,
            "may_send": self.has_send_permission(request),
        }
        return TemplateResponse(request, "admin/hostmeter/mail_kinds_page.html", context)

    def _test(self, request: HttpRequest, kind: MailKind) -> HttpResponse:
        user = request.user
        if not self.has_send_permission(request) or not isinstance(user, User):
            raise Http404
        if request.method != "POST":
            return form_page(
                *(self, request, forms.Form()),
                title=f"Send yourself a test: {kind.title}?",
                text=f"It goes to {user.email}, with made-up figures.",
                submit="Send",
            )
        queue(
            kind=kind.name,
            key=f"test:{uuid4()}",
            to=[user.email],
            language=_language(request),
            context=kind.sample,
            as_of=timezone.now(),
        )
        messages.success(request, f"To be sent to {user.email} within seconds.")
        return HttpResponseRedirect(reverse("admin:tenants_mailmessage_changelist"))


def _shown(request: HttpRequest, kind: MailKind) -> HttpResponse:
    shade = _SHADES.get(request.GET.get("shade", ""), "")
    zone = timezone.get_current_timezone_name()
    mail = _as_read(kind, kind.sample, _language(request), zone, shade)
    if request.GET.get("form") == "text":
        answer = HttpResponse(
            f"{mail.letter.subject}\n\n{mail.text}", content_type="text/plain; charset=utf-8"
        )
    else:
        answer = HttpResponse(mail.html)
    answer["Content-Security-Policy"] = _PREVIEW_POLICY
    return answer


def _as_read(kind: MailKind, context: Any, language: str, zone: str, shade: Shade = "") -> Rendered:
    return rendered(kind, context, sender(), language=language, zone=zone, shade=shade)


def _language(request: HttpRequest) -> str:
    wanted = request.GET.get("language", "")
    return wanted if wanted in dict(settings.LANGUAGES) else "en"


def _title(name: str) -> str:
    try:
        return kind_of(name).title
    except UnknownMailKind:
        return name
