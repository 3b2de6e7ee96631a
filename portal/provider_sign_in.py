"""Signing in through a tenant's OpenID Connect provider: django-allauth's flow (authorization code
with PKCE), with the tenant's row in place of its settings and no request to a private address.

The provider's answer comes from its token endpoint over TLS, which stands for the signature of the
ID token (OpenID Connect Core 1.0, section 3.1.3.7, rule 6).
"""

from typing import Any, Final
from uuid import UUID

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthError, ProviderException
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import cached_property
from requests.adapters import BaseAdapter

from tenants.audit import acting, note, origin_of
from tenants.domains import tenant_of_domain
from tenants.outward import NotReached, UrlNotUsable, ask
from tenants.scope import tenant_scope
from tenants.sign_in_models import SignInProvider
from tenants.sign_in_providers import (
    ANSWER_BYTES_MAX,
    NotTheirs,
    discover,
    person_of,
    provider_of,
    secret_of,
)

_FIELD_MAX: Final = 191


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """What allauth asks about providers. Each is named by its tenant's id."""

    def get_app(self, request: HttpRequest, provider: Any, client_id: Any = None) -> SocialApp:
        tenant_id = UUID(str(provider))
        kept = provider_of(tenant_id) if _may_be_here(request, tenant_id) else None
        if kept is None:
            raise SocialApp.DoesNotExist
        return SocialApp(
            provider=OpenIDConnectProvider.id,
            provider_id=str(tenant_id),
            name=kept.name,
            client_id=kept.client_id,
            secret=secret_of(kept),
            settings={
                # discover() has it say the same of itself, and so the ID token's issuer is this.
                "server_url": kept.issuer,
                "oauth_pkce_enabled": True,
            },
        )

    def get_provider(
        self, request: HttpRequest, provider: Any, client_id: Any = None
    ) -> "_TenantsProvider":
        return _TenantsProvider(request, app=self.get_app(request, provider, client_id))

    def get_requests_session(self) -> requests.Session:
        session = requests.Session()
        # No proxy, no .netrc.
        session.trust_env = False
        session.max_redirects = 0
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Judged())
        return session

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """The provider has named somebody: whom of the tenant? Raises ImmediateHttpResponse."""
        # Nobody links an account from inside: what a person is here, their tenant said.
        sociallogin.state["process"] = "login"
        sociallogin.token = None
        refused = _refusal_of(request, sociallogin)
        if refused is not None:
            raise ImmediateHttpResponse(refused)

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Any = None,
        extra_context: Any = None,
    ) -> None:
        """Back to the page for signing in after a person's own no; else a page that says what to
        do, and in the tenant's log why. Raises ImmediateHttpResponse."""
        if error == AuthError.CANCELLED:
            raise ImmediateHttpResponse(redirect("portal:sign-in"))
        # Without the state of a sign-in that began here, anybody may have written the address.
        if "state" in (extra_context or {}):
            why = str(exception or request.GET.get("error", ""))[:300]
            with tenant_scope(UUID(provider.app.provider_id)), acting(origin_of(request)):
                note("sign_in_failed", as_of=timezone.now(), provider=provider.app.name, why=why)
        raise ImmediateHttpResponse(refusal(request, "unusable", provider=provider.app))


class TenantsOAuth2Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """Asks the provider for its addresses, each time: they may have moved."""

    @cached_property
    def openid_config(self) -> dict[str, Any]:
        return discover(self.get_provider().app.settings["server_url"])


class _TenantsProvider(OpenIDConnectProvider):  # type: ignore[misc]
    """Keeps of the answer nothing but who it is, and of the request nothing but where to go on."""

    oauth2_adapter_class = TenantsOAuth2Adapter

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        return ["openid", "email"]

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, str]:
        return {}

    def serialize(self) -> dict[str, str]:
        # While a second factor is asked for; allauth would name the kind of provider alone.
        return {"id": self.app.provider_id}

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> SocialLogin:
        userinfo, id_token = response.get("userinfo"), response.get("id_token")
        if not isinstance(userinfo, dict) or not isinstance(id_token, dict):
            raise ProviderException("the answer holds no ID token")
        subject, email = id_token.get("sub"), userinfo.get("email", "")
        # Section 5.3.2: the two have to be about the same person.
        if not isinstance(subject, str) or not 0 < len(subject) <= _FIELD_MAX:
            raise ProviderException("the ID token names no usable subject")
        if userinfo.get("sub") != subject:
            raise ProviderException("its userinfo is about somebody else than its ID token")
        if not isinstance(email, str) or not email.isprintable() or len(email) > 254:
            raise ProviderException("the e-mail address in its userinfo is none")
        return super().sociallogin_from_response(request, response)

    def extract_extra_data(self, data: Any) -> dict[str, Any]:
        return {}


class _Judged(BaseAdapter):
    """Requests' way to the network, by tenants.outward."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Its own deadline, certificates and direct way: what is asked for here is not used."""
        # A form or nothing: nobody here sends a stream.
        body = request.body.encode() if isinstance(request.body, str) else None
        headers = {str(name): str(value) for name, value in request.headers.items()}
        try:
            answer = ask(
                str(request.method), str(request.url), body, headers, kept=ANSWER_BYTES_MAX
            )
        except (UrlNotUsable, NotReached) as error:
            raise requests.ConnectionError(f"{request.url}: {error}") from error
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.url = str(request.url)
        response.request = request
        response._content = answer.content
        return response

    def close(self) -> None:
        """Every connection ended with its answer."""


def refusal(request: HttpRequest, why: str, status: int = 403, **context: object) -> HttpResponse:
    """The page that says why nobody was signed in; `why` is a key of its words."""
    context["why"] = why
    return render(request, "portal/provider_refused.html", context, status=status)


def _refusal_of(request: HttpRequest, sociallogin: SocialLogin) -> HttpResponse | None:
    """Put the tenant's person into `sociallogin`; the page that says why there is none."""
    known = sociallogin.user if sociallogin.is_existing else None
    address = next(iter(sociallogin.email_addresses), None)
    as_of = timezone.now()
    with tenant_scope(UUID(sociallogin.account.provider)), acting(origin_of(request, known)):
        provider = SignInProvider.objects.get()
        try:
            user = person_of(
                provider,
                known,
                "" if address is None else address.email,
                verified=address is not None and address.verified is True,
                as_of=as_of,
            )
        except NotTheirs as refused:
            note("sign_in_failed", as_of=as_of, subject=refused.email, provider=provider.name,
                 why=refused.why)  # fmt: skip
            return refusal(request, refused.why, provider=provider, email=refused.email)
        sociallogin.user = sociallogin.account.user = user
        sociallogin.account.save()
    return None


def _may_be_here(request: HttpRequest, tenant_id: UUID) -> bool:
    return tenant_of_domain(request) in {None, tenant_id}
