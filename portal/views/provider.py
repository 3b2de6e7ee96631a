"""The two addresses of signing in through a tenant's provider: there, and back."""

from typing import Final
from uuid import UUID

import requests
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2CallbackView,
    OAuth2LoginView,
    OAuth2View,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import request_limit
from portal.provider_sign_in import TenantsOAuth2Adapter, refusal
from tenants.sealing import SealBroken
from tenants.sign_in_providers import ProviderNotUsable

# A whole office comes from one address.
_STARTED_FROM_AN_ADDRESS_MAX: Final = 300
# What allauth lets through of an answer that is none: what a provider sends is not ours to trust.
_MALFORMED: Final = (ProviderNotUsable, requests.RequestException, KeyError, ValueError)


@never_cache
@require_safe
def start(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """To the tenant's provider. Whoever is signed in stays who they are: no link from elsewhere
    changes that."""
    if request.user.is_authenticated:
        return redirect("portal:overview")
    return _answered(request, OAuth2LoginView, provider_id)


@never_cache
@require_safe
def back(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """From the provider, with a code that is exchanged for who it is."""
    return _answered(request, OAuth2CallbackView, provider_id)


def _answered(request: HttpRequest, view: type[OAuth2View], provider_id: UUID) -> HttpResponse:
    address = request.META.get("REMOTE_ADDR", "")
    try:
        if request_limit.is_over("provider-from", address, at_most=_STARTED_FROM_AN_ADDRESS_MAX):
            return refusal(request, "often", 429)
        adapter = TenantsOAuth2Adapter(request, str(provider_id))
        response: HttpResponse = view.adapter_view(adapter)(request)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    except request_limit.NotCounted:
        return refusal(request, "not_now", 503)
    except (SealBroken, *_MALFORMED):
        return refusal(request, "unusable", 502)
    return response
