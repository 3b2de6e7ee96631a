"""The pages of one's own account. allauth looks its pages up by these names; what is not listed, as
making an account for oneself, does not exist."""

from allauth.account import views as account
from django.urls import include, path
from django.views.generic import RedirectView

from portal.views import access, provider

urlpatterns = [
    path(
        "sign-in/",
        RedirectView.as_view(pattern_name="portal:sign-in", query_string=True),
        name="account_login",
    ),
    path("cancel/", account.logout, name="account_logout"),
    path("confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    # allauth knows these two by their names.
    path("with/<uuid:provider_id>/", provider.start, name="openid_connect_login"),
    path("with/<uuid:provider_id>/back/", provider.back, name="openid_connect_callback"),
    path("second-factor/", include("allauth.mfa.urls")),
    path("sessions/", access.sessions, name="sessions"),
    path("sessions/end/", access.end_sessions, name="end-sessions"),
]
