"""The first-run guide: from nothing to the first invoice, in one sitting."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from billing.first_steps import FirstSteps, first_steps
from tenants.admin_pages import in_a_tenant
from tenants.models import Tenant
from tenants.scope import current_tenant_id


def is_under_way(request: HttpRequest) -> bool:
    """Whether the sidebar leads to the guide: not once all is done, or it was put away."""
    if not in_a_tenant(request):
        return False
    steps = steps_of(request)
    return not (steps.is_complete or steps.is_dismissed)


def how_far(request: HttpRequest) -> str:
    """Beside the sidebar's link."""
    steps = steps_of(request)
    return f"{steps.done}/{len(steps.steps)}"


def steps_of(request: HttpRequest) -> FirstSteps:
    """Asked once a page."""
    known: FirstSteps | None = getattr(request, "first_steps", None)
    if known is None:
        known = first_steps()
        request.first_steps = known  # type: ignore[attr-defined]
    return known


@require_http_methods(["GET", "POST"])
def guide(request: HttpRequest) -> HttpResponse:
    """The steps with what is done of them. A POST puts the guide away, or brings it back."""
    if not in_a_tenant(request):
        return HttpResponseRedirect(reverse("admin:index"))
    if request.method == "POST":
        dismissed = timezone.now() if "dismiss" in request.POST else None
        Tenant.objects.filter(pk=current_tenant_id()).update(guide_dismissed_at=dismissed)
        return HttpResponseRedirect(reverse("admin:index"))
    steps = steps_of(request)
    allowed = {step.name for step in steps.steps if request.user.has_perm(step.permission)}
    return TemplateResponse(
        request,
        "admin/hostmeter/guide.html",
        {
            **admin.site.each_context(request),
            "title": "First steps",
            "steps": [(step, step.name in allowed) for step in steps.steps],
            "guide": steps,
        },
    )


guide_view = admin.site.admin_view(guide)
