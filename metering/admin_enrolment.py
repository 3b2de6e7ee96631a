"""Adding a host: one command with a fresh token, and then how far that host has come."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from metering.enrolment_progress import Progress, Stage, enrolment_progress, first_batch_after
from metering.install_command import install_command
from metering.models import Host
from tenants.admin import IssueTokenForm, environment_hint
from tenants.admin_pages import action, ago, form_page, in_words
from tenants.models import EnrolmentToken
from tenants.operations import issued_enrolment_token

if TYPE_CHECKING:
    from tenants.admin_pages import MarkedAdmin as _Pages
else:
    _Pages = object


class EnrolmentPages(_Pages):
    """The pages that lead to a new host, for the hosts' admin."""

    def has_enrol_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("tenants.add_enrolmenttoken")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """While there is no host, the list leads to the first one."""
        listed: Any = super().get_changelist_instance(request)
        if self.has_enrol_permission(request):
            url = reverse("admin:metering_host_enrol")
            listed.empty_action = {"url": url, "text": "Add a host"}
        return listed

    @action(description="Add a host", icon="add", permissions=["enrol"], url_path="enrol")
    def enrol(self, request: HttpRequest) -> HttpResponseBase:
        form = IssueTokenForm(request.POST or None, initial=_only_environment())
        if not (request.method == "POST" and form.is_valid()):
            return self._choice(request, form)
        token, secret = issued_enrolment_token(
            form.cleaned_data["environment"], as_of=timezone.now()
        )
        server = f"{request.scheme}://{request.get_host()}"
        context = {
            "title": "Add a host",
            "command": install_command(server, secret),
            **self._waiting(token),
        }
        response = render(request, "admin/hostmeter/add_host.html", self._page(request, context))
        response["Cache-Control"] = "no-store"
        return response

    def _choice(self, request: HttpRequest, form: IssueTokenForm) -> TemplateResponse:
        text: Any = "You get one command to run on it, with a token that is valid for an hour."
        return form_page(
            self,
            request,
            form,
            title="Add a host",
            text=text if form.has_choice else environment_hint(),
            submit="Show the command",
        )

    def _page(self, request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts, **context}

    def _waiting(self, token: EnrolmentToken) -> dict[str, Any]:
        now = timezone.now()
        progress = enrolment_progress(token, as_of=now)
        return {
            "progress": progress,
            "sentence": progress_in_words(progress, token),
            "state_url": reverse("admin:metering_host_enrolment_state", args=[token.pk]),
            "page_url": reverse("admin:metering_host_enrolment", args=[token.pk]),
        }

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path(
                "enrolments/<uuid:token_id>/",
                wrap(self.enrolment_page),
                name="metering_host_enrolment",
            ),
            path(
                "enrolments/<uuid:token_id>/state/",
                wrap(self.enrolment_state),
                name="metering_host_enrolment_state",
            ),
        ]
        return own + super().get_urls()

    def _token(self, request: HttpRequest, token_id: UUID) -> EnrolmentToken:
        if not self.has_view_permission(request):
            raise PermissionDenied
        token = EnrolmentToken.objects.filter(pk=token_id).first()
        if token is None:
            raise Http404("There is no such token.")
        return token

    def enrolment_page(self, request: HttpRequest, token_id: UUID) -> HttpResponse:
        """How far the host of a token has come. The token itself is not shown again."""
        context = {"title": "A host that is to enrol"}
        context |= self._waiting(self._token(request, token_id))
        return render(request, "admin/hostmeter/enrolment.html", self._page(request, context))

    def enrolment_state(self, request: HttpRequest, token_id: UUID) -> HttpResponse:
        """The part of those pages that renews itself."""
        context = self._waiting(self._token(request, token_id))
        return render(request, "admin/hostmeter/enrolment_state.html", context)


def _only_environment() -> dict[str, Any]:
    """Nothing has to be chosen where there is one."""
    form = IssueTokenForm()
    choices = form.fields["environment"].queryset[:2]  # type: ignore[attr-defined]
    return {"environment": choices[0]} if len(choices) == 1 else {}


def progress_in_words(progress: Progress, token: EnrolmentToken) -> str:
    """One sentence."""
    now, host = timezone.now(), progress.host
    if host is not None and progress.first_batch_after is not None:
        return f"First batch accepted {in_words(progress.first_batch_after)} after enrolment."
    if host is not None:
        return f"Enrolled {ago(host.enrolled_at, now)}; waiting for its first batch."
    if progress.stage == Stage.REVOKED:
        return "The token was revoked before a host used it."
    if progress.stage == Stage.EXPIRED:
        return "The token expired before a host used it. Add the host again for a fresh one."
    left = in_words(token.expires_at - now)
    return f"Waiting for the host to enrol; the token is valid for {left}."


def first_batch_in_words(host: Host) -> str:
    """For a host's page."""
    after = first_batch_after(host)
    return "none yet" if after is None else f"accepted {in_words(after)} after enrolment"


def key_age_in_words(host: Host) -> str:
    """The age of the newest key that counts, for the list. Uses prefetched keys."""
    now = timezone.now()
    made = [key.created_at for key in host.keys.all() if key.is_valid(now)]
    return in_words(now - max(made)) if made else "-"
