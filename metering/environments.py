"""Environments leave: one that is empty is removed, any other is retired and keeps its usage."""

from datetime import datetime

from django.db import transaction

from metering.models import Application, Host, HostEnvironment
from metering.retiring import retire_hosts
from tenants.models import EnrolmentToken, Environment


class EnvironmentInUse(Exception):
    """It holds what stays: hosts that have enrolled or applications that were metered."""


def contents(environment: Environment) -> str:
    """What keeps an environment from being removed, in words; "" where nothing does."""
    hosts = Host.objects.filter(environment=environment).count()
    more = HostEnvironment.objects.filter(environment=environment).count()
    applications = Application.objects.filter(environment=environment).count()
    counted = ((hosts + more, "host"), (applications, "application"))
    return " and ".join(
        f"{number} {word}{'' if number == 1 else 's'}" for number, word in counted if number
    )


@transaction.atomic
def remove_environment(environment: Environment) -> None:
    """Remove it with its tokens and its agents' settings, if nothing was ever metered in it.
    Raises EnvironmentInUse."""
    # A host that enrols at this moment waits, and then finds no environment.
    Environment.objects.select_for_update().get(pk=environment.pk)
    if there := contents(environment):
        raise EnvironmentInUse(f"{environment} has {there}; retire it instead")
    EnrolmentToken.objects.filter(environment=environment).delete()
    environment.delete()


@transaction.atomic
def retire_environment(environment: Environment, *, as_of: datetime) -> Environment:
    """Take it out of service with its hosts: no host enrols any more, open tokens and the hosts'
    keys are revoked. Its usage stays and is billed. One that is retired stays as it is."""
    held = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    if held.retired_at is not None:
        return held
    held.retired_at = as_of
    held.save(update_fields=["retired_at"])
    EnrolmentToken.objects.filter(
        environment=held, used_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=as_of)
    hosts = Host.objects.filter(environment=held, retired_at__isnull=True)
    retire_hosts(list(hosts.values_list("pk", flat=True)), as_of=as_of)
    return held


@transaction.atomic
def bring_back_environment(environment: Environment) -> Environment:
    """Hosts may enrol again. Those that were retired with it are brought back one by one."""
    held = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    held.retired_at = None
    held.save(update_fields=["retired_at"])
    return held
