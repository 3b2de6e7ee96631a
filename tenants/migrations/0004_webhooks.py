import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import tenants.scope
from tenants.isolation import IsolateTable


def _id() -> tuple[str, models.Field]:
    return (
        "id",
        models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
    )


def _tenant() -> tuple[str, models.Field]:
    return (
        "tenant",
        models.ForeignKey(
            default=tenants.scope.current_tenant_id,
            editable=False,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="+",
            to="tenants.tenant",
        ),
    )


def _child_of(model: str, related_name: str) -> models.Field:
    return models.ForeignKey(
        db_constraint=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=related_name,
        to=f"tenants.{model}",
    )


class Migration(migrations.Migration):
    """Events are written with their cause and told to endpoints after it."""

    dependencies = [("tenants", "0003_api_access")]

    operations = [
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                _id(),
                _tenant(),
                ("url", models.CharField(max_length=500, verbose_name="URL")),
                ("description", models.CharField(blank=True, max_length=120)),
                (
                    "event_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        blank=True,
                        default=list,
                        help_text="None of them means all, those of later versions too.",
                        size=50,
                    ),
                ),
                ("sealed_secret", models.TextField(editable=False)),
                ("previous_sealed_secret", models.TextField(blank=True, editable=False)),
                (
                    "previous_secret_until",
                    models.DateTimeField(
                        editable=False,
                        help_text="Messages are signed with the previous secret as well.",
                        null=True,
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(
                        editable=False,
                        help_text="The first failure since it last answered well.",
                        null=True,
                    ),
                ),
                ("disabled_at", models.DateTimeField(editable=False, null=True)),
                (
                    "disabled_because",
                    models.CharField(blank=True, editable=False, max_length=200),
                ),
                ("removed_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.customer",
                    ),
                ),
            ],
            options={"ordering": ["created_at", "id"]},
        ),
        migrations.AddConstraint(
            "webhookendpoint",
            models.CheckConstraint(
                condition=Q(previous_sealed_secret="") | Q(previous_secret_until__isnull=False),
                name="webhook_previous_secret_ends",
            ),
        ),
        IsolateTable("WebhookEndpoint"),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                _id(),
                _tenant(),
                ("type", models.CharField(max_length=40)),
                (
                    "key",
                    models.CharField(help_text="An event of one key is told once.", max_length=200),
                ),
                ("data", models.JSONField()),
                ("occurred_at", models.DateTimeField()),
                (
                    "customer",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.customer",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            "webhookevent",
            models.UniqueConstraint(fields=["tenant", "key"], name="webhook_event_once"),
        ),
        migrations.AddIndex(
            "webhookevent",
            models.Index(fields=["tenant", "occurred_at"], name="webhook_event_age"),
        ),
        IsolateTable("WebhookEvent"),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                _id(),
                _tenant(),
                ("endpoint", _child_of("webhookendpoint", "deliveries")),
                ("event", _child_of("webhookevent", "deliveries")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("delivered", "Delivered"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                (
                    "replayed_after",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="How many attempts were made before it was last asked for again.",
                    ),
                ),
                (
                    "next_attempt_at",
                    models.DateTimeField(
                        help_text="While an attempt is at work: when another may take over.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "settled_at",
                    models.DateTimeField(
                        help_text="When it was delivered, or given up.", null=True
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "id"],
                "verbose_name_plural": "webhook deliveries",
            },
        ),
        migrations.AddConstraint(
            "webhookdelivery",
            models.UniqueConstraint(
                fields=["tenant", "endpoint", "event"], name="webhook_delivery_once"
            ),
        ),
        migrations.AddConstraint(
            "webhookdelivery",
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False, settled_at__isnull=True)
                | Q(
                    state__in=["delivered", "failed"],
                    next_attempt_at__isnull=True,
                    settled_at__isnull=False,
                ),
                name="webhook_delivery_waits_or_is_settled",
            ),
        ),
        migrations.AddIndex(
            "webhookdelivery",
            models.Index(
                condition=Q(state="pending"),
                fields=["tenant", "endpoint", "next_attempt_at"],
                name="webhook_delivery_due",
            ),
        ),
        migrations.AddIndex(
            "webhookdelivery",
            models.Index(fields=["tenant", "created_at"], name="webhook_delivery_age"),
        ),
        IsolateTable("WebhookDelivery"),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                _id(),
                _tenant(),
                ("delivery", _child_of("webhookdelivery", "tries")),
                ("number", models.PositiveIntegerField()),
                ("started_at", models.DateTimeField()),
                ("duration_ms", models.PositiveIntegerField()),
                ("status", models.PositiveSmallIntegerField(null=True)),
                (
                    "answer",
                    models.TextField(blank=True, help_text="The first KB of the answer's body."),
                ),
                ("error", models.CharField(blank=True, max_length=300)),
            ],
            options={"ordering": ["-number"]},
        ),
        migrations.AddConstraint(
            "webhookattempt",
            models.UniqueConstraint(
                fields=["tenant", "delivery", "number"], name="webhook_attempt_once"
            ),
        ),
        IsolateTable("WebhookAttempt"),
    ]
