"""One's own sessions: where one is signed in, and ending that."""

from allauth.usersessions.models import UserSession
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.accounts import other_sessions
from tenants.audit import note
from tenants.models import User


@login_required
@never_cache
@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """Every browser in which the person is signed in."""
    mine = sorted(
        UserSession.objects.purge_and_list(request.user),
        key=lambda each: each.last_seen_at,
        reverse=True,
    )
    return render(request, "portal/sessions.html", {"sessions": mine})


@login_required
@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End one of one's own sessions, or all others. Another person's is answered as a missing
    one: nothing ends."""
    mine = other_sessions(request)
    wanted = request.POST.get("session", "")
    if wanted:
        mine = mine.filter(pk=int(wanted)) if wanted.isascii() and wanted.isdigit() else mine.none()
    ended = [session for session in mine[:1000] if session.end() is None]
    user = request.user
    if ended and isinstance(user, User) and user.membership is not None:
        note(
            "sessions_ended",
            as_of=timezone.now(),
            customer=user.membership.customer_id,
            subject=user.email,
            sessions=len(ended),
        )
    return redirect("sessions")
