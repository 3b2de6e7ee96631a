"""Who: tenants, their members and customers, environments, policies and credentials."""

import zoneinfo
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from tenants.roles import installation_owner_may, staff_may
from tenants.scope import current_tenant_id

VERSION = r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}\Z"


def validate_patterns(patterns: list[str]) -> None:
    for pattern in patterns:
        if not pattern.strip() or not pattern.isprintable():
            raise ValidationError("Write each name on its own, without control characters.")


DOMAIN: Final = r"^(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z"
# What the wire contract still accepts has to find its place.
RETENTION_DAYS_MIN: Final = 401


def validate_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name!r} is not an IANA time zone; Europe/Berlin is one.")


class UserQuerySet(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):
    """A person who signs in. What they may see comes from their memberships alone."""

    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False, help_text="May open the admin.")
    is_superuser = models.BooleanField(
        default=False, help_text="Owns the installation: keeps the list of tenants."
    )
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    objects = UserQuerySet()

    # The membership that the current request acts in; TenantMiddleware sets it.
    membership: "Member | None" = None

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """From the role in the current tenant alone; the same for every object that is seen."""
        if not self.is_active:
            return False
        member = self.membership
        is_visiting = member is not None and member.is_visiting
        if self.is_superuser and not is_visiting and installation_owner_may(perm):
            return True
        return member is not None and member.customer_id is None and staff_may(member.role, perm)

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the admin shows the app at all; each of its models then asks for itself."""
        return self.is_active and (self.is_superuser or self.membership is not None)

    def __str__(self) -> str:
        return self.email


class Tenant(models.Model):
    """A hosting provider. Several share an installation and never see each other."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    currency = models.CharField(
        max_length=3, default="EUR", validators=[RegexValidator("^[A-Z]{3}$", "Use ISO 4217.")]
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    # From here on only the installation's owner writes; a trigger holds it.
    domain = models.CharField(
        max_length=253, unique=True, null=True, blank=True,
        validators=[RegexValidator(DOMAIN, "Write a host name in lower case: billing.example.com")],
        help_text="Under which its customers reach the portal. Empty: the installation's own.",
    )  # fmt: skip
    hosts_max = models.PositiveIntegerField(
        null=True, blank=True,
        verbose_name="hosts at most",
        help_text="In service at one time; a further one is refused. Empty: no limit.",
    )  # fmt: skip
    samples_per_second_max = models.PositiveIntegerField(
        null=True, blank=True,
        validators=[MinValueValidator(1)],
        verbose_name="samples a second at most",
        help_text="On average over a minute; beyond it agents are asked to wait, and lose nothing. "
        "Empty: no limit.",
    )  # fmt: skip
    retention_days = models.PositiveSmallIntegerField(
        null=True, blank=True,
        validators=[MinValueValidator(RETENTION_DAYS_MIN), MaxValueValidator(3_650)],
        verbose_name="samples kept for days",
        help_text="Whole months older than this are deleted; what was billed of them stays. "
        "Empty: as long as the installation keeps samples.",
    )  # fmt: skip
    suspended_at = models.DateTimeField(null=True, editable=False)
    suspended_for = models.CharField(
        max_length=200, blank=True, editable=False, help_text="The reason that its people read."
    )
    guide_dismissed_at = models.DateTimeField(
        null=True, editable=False, help_text="When its people put the first-run guide away."
    )
    staff_need_second_factor = models.BooleanField(
        default=False, editable=False, help_text="Whether its team signs in with one."
    )
    customers_need_second_factor = models.BooleanField(
        default=False, editable=False, help_text="Whether its customers' people sign in with one."
    )
    mail_sender_name = models.CharField(
        max_length=120,
        blank=True,
        help_text="Whom customers see an e-mail come from. Left empty, the tenant's name.",
    )
    mail_sender_address = models.EmailField(
        blank=True,
        help_text="The mail server has to be allowed to send for it (SPF, DKIM). "
        "Left empty, the installation's own.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_suspended(self) -> bool:
        return self.suspended_at is not None


class TenantOwned(models.Model):
    """A row of one tenant's data. The tenant comes from the scope, never from a caller."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        editable=False,
        default=current_tenant_id,
        related_name="+",
    )

    class Meta:
        abstract = True


class Customer(TenantOwned):
    """Whom a tenant bills."""

    name = models.CharField(max_length=120)
    reference = models.SlugField(max_length=60, help_text="Your own customer number or short name.")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    generated = models.BooleanField(
        default=False, editable=False, help_text="Made by the demo, not a real customer."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "reference"], name="customer_reference"),
        ]

    def __str__(self) -> str:
        return self.name


class MemberQuerySet(models.QuerySet["Member"]):
    def accepted(self) -> "MemberQuerySet":
        """Those that hold: an invitation that nobody has accepted gives nothing."""
        return self.filter(invitation_digest__isnull=True)


class Member(TenantOwned):
    """A person's role in a tenant. A member with a customer sees that customer's pages only."""

    class Role(models.TextChoices):
        OWNER = "owner"
        OPERATOR = "operator"
        BILLING = "billing"
        VIEWER = "viewer"

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    invitation_digest = models.BinaryField(
        max_length=32, null=True, editable=False, help_text="Until it is accepted."
    )
    invited_at = models.DateTimeField(null=True, editable=False)

    objects = MemberQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invitation_digest"], name="member_invitation_digest"
            ),
            models.UniqueConstraint(
                fields=["tenant", "user", "customer"],
                name="member_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    # The installation's owner, who looks into the tenant with a reason and for a while: such a
    # membership is made for one request and never saved.
    impersonation: "Impersonation | None" = None

    @property
    def is_visiting(self) -> bool:
        return self.impersonation is not None

    @property
    def is_invited(self) -> bool:
        return self.invitation_digest is not None


class Policy(TenantOwned):
    """What may run in the environments that carry this policy, and how late usage may arrive."""

    name = models.CharField(max_length=120)
    scrape_interval_seconds = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(300)]
    )
    host_silent_after_seconds = models.PositiveIntegerField(
        default=120,
        validators=[MinValueValidator(30), MaxValueValidator(86_400)],
        help_text="A host that has delivered nothing for this long is shown as silent.",
    )

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="policy_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Environment(TenantOwned):
    """A place where applications run: production, staging, one customer's own."""

    name = models.CharField(
        max_length=200,
        validators=[RegexValidator(r"^[^\x00-\x1f\x7f-\x9f]+$", "No control characters.")],
        help_text="Agents name it in their samples.",
    )
    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False
    )
    default_customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        verbose_name="bill new applications to",
        help_text="New applications of the environment are billed to this customer. "
        "Without one they wait as unassigned.",
    )
    owner_customer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        verbose_name="run by the customer",
        help_text="Whose own machines these are: its people add hosts here, see them and revoke "
        "their keys. Empty: they are yours.",
    )
    application_patterns = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        size=100,
        validators=[validate_patterns],
        verbose_name="applications that may run here",
        help_text="Names, with * for any characters. Empty: whatever the policy allows.",
    )
    hosts_max = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        verbose_name="hosts at most",
        help_text="Further ones cannot enrol. Retired hosts do not count.",
    )
    applications_max = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        verbose_name="applications at most",
        help_text="More are metered all the same, and shown as a breach.",
    )
    version = models.CharField(
        max_length=27,
        blank=True,
        validators=[RegexValidator(VERSION, "Write a version as 1.4 or 1.4.2.")],
        help_text="Of what its hosts run, such as their image. A policy may ask for a newer one.",
    )
    retired_at = models.DateTimeField(
        null=True, editable=False, help_text="Since then no host enrols here."
    )
    generated = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="environment_name"),
        ]

    def __str__(self) -> str:
        return self.name


class EnrolmentToken(TenantOwned):
    """Lets one host enrol, once, within an hour. Only its hash is stored."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_constraint=False)
    digest = models.BinaryField(max_length=32, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="enrolment_token_digest"),
        ]

    def __str__(self) -> str:
        return f"token for {self.environment}"

    def is_usable(self, as_of: datetime) -> bool:
        return self.used_at is None and self.revoked_at is None and as_of < self.expires_at


# Registered with the app's other models; they refer to what is declared above.
# isort: off
from tenants.key_models import ApiKey as ApiKey  # noqa: E402
from tenants.key_models import IdempotencyRecord as IdempotencyRecord  # noqa: E402
from tenants.access_models import Impersonation  # noqa: E402
from tenants.export_models import TenantExport  # noqa: E402, F401
from tenants.history_models import (  # noqa: E402, F401
    ApiKeyChange,
    CustomerChange,
    EnrolmentTokenChange,
    EnvironmentChange,
    PolicyChange,
    PolicyVersionChange,
)
from tenants.mail_models import MailMessage  # noqa: E402, F401
from tenants.policy_models import PolicyVersion  # noqa: E402, F401
from tenants.sign_in_models import SignInProvider  # noqa: E402, F401
from tenants.usage_models import TenantUsage  # noqa: E402, F401
from tenants.webhook_models import (  # noqa: E402, F401
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
