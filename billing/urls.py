"""Where the payment processor reaches us."""

from django.urls import path

from billing.webhook_views import processor_webhook

urlpatterns = [
    path("webhooks/stripe/<slug:slug>/", processor_webhook, name="processor-webhook"),
]
