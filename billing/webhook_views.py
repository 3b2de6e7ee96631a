"""Where the processor tells us what happened to payments."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.gateway import NoAccount, NotGenuine, account_of_tenant, read_event
from billing.gateway.webhooks import BYTES_MAX
from billing.payment_tasks import hand_on_event
from billing.processor_events import store_event
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope


@csrf_exempt
@require_POST
def processor_webhook(request: HttpRequest, slug: str) -> HttpResponse:
    """Store a genuine event and answer; a task looks into it. What is not genuine, and a tenant
    that does not exist, answer alike."""
    refused = HttpResponse("not signed by the processor\n", status=HTTPStatus.BAD_REQUEST)
    if int(request.META.get("CONTENT_LENGTH") or 0) > BYTES_MAX:
        return HttpResponse("too large\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    with installation_scope():
        tenant_id = Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if tenant_id is None:
        return refused
    with tenant_scope(tenant_id):
        try:
            secret = account_of_tenant().webhook_secret
            event = read_event(request.body, request.headers.get("Stripe-Signature", ""), secret)
        except (NotGenuine, NoAccount):
            return refused
        hand_on_event(tenant_id, store_event(event, as_of=timezone.now()))
    return HttpResponse("stored\n")
