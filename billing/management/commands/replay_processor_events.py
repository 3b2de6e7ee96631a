"""Look again into what the payment processor told."""

from argparse import ArgumentParser
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from billing.management.arguments import past_instant, tenant_id
from billing.models import ProcessorEvent
from billing.processor_events import handle_event
from tenants.command import OneLineCommand
from tenants.scope import tenant_scope

EVENTS_MAX: Final = 100_000


class Command(OneLineCommand):
    help = (
        "Look again into stored events of a tenant's payment processor, the oldest first: one by "
        "its id, or all that came in a period. The processor is asked what is true, so it may run "
        "twice. Prints a line for each event."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--event", metavar="ID", help="this event only, such as evt_1")
        parser.add_argument("--from", dest="since", metavar="ISO", help="received at or after")
        parser.add_argument(
            "--until", metavar="ISO", help="received before; now if left out with --from"
        )
        parser.add_argument("--dry-run", action="store_true", help="only print which they are")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_id(options["tenant"])
        found = _found(tenant, options["event"], options["since"], options["until"])
        if options["dry_run"]:
            for _, name in found:
                self.stdout.write(name)
            self.stderr.write(f"{len(found)} would be looked into")
            return
        failed = 0
        for row_id, name in found:
            row = handle_event(tenant, row_id, as_of=timezone.now(), again=True)
            error = row.error if row else "is gone"
            failed += bool(error)
            self.stdout.write(f"{name}: {error or 'handled'}")
        if failed:
            raise CommandError(f"{failed} of {len(found)} were not handled; run it again later")


def _found(
    tenant: UUID, event: str | None, since: str | None, until: str | None
) -> list[tuple[UUID, str]]:
    """Raises CommandError where the arguments do not say which, or there is none."""
    if bool(event) == bool(since) or (event and until):
        raise CommandError("say either --event, or --from with or without --until")
    now = timezone.now()
    with tenant_scope(tenant):
        events = ProcessorEvent.objects.order_by("received_at", "pk")
        if event:
            events = events.filter(event_id=event)
        else:
            end = past_instant("--until", until, now) if until else now
            begin = past_instant("--from", since or "", now)
            events = events.filter(received_at__gte=begin, received_at__lt=end)
        rows = [(row.pk, str(row)) for row in events.defer("body")[: EVENTS_MAX + 1]]
    if len(rows) > EVENTS_MAX:
        raise CommandError(f"more than {EVENTS_MAX} events; choose a shorter period")
    if not rows:
        raise CommandError("there is no such event")
    return rows
