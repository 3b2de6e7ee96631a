import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    """E-mails are written with their cause and sent after it, in the tenant's own name."""

    dependencies = [("tenants", "0011_exports")]

    operations = [
        migrations.AddField(
            "tenant",
            "mail_sender_name",
            models.CharField(
                blank=True,
                help_text="Whom customers see an e-mail come from. Left empty, the tenant's name.",
                max_length=120,
            ),
        ),
        migrations.AddField(
            "tenant",
            "mail_sender_address",
            models.EmailField(
                blank=True,
                help_text="The mail server has to be allowed to send for it (SPF, DKIM). "
                "Left empty, the installation's own.",
                max_length=254,
            ),
        ),
        migrations.CreateModel(
            name="MailMessage",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                (
                    "key",
                    models.CharField(
                        help_text="What it is about: once to each recipient.", max_length=200
                    ),
                ),
                ("recipient", models.CharField(max_length=254)),
                ("language", models.CharField(max_length=8)),
                ("time_zone", models.CharField(max_length=64)),
                ("context", models.JSONField()),
                (
                    "sealed_context",
                    models.TextField(
                        blank=True,
                        editable=False,
                        help_text="A secret in it, until it is sent or given up.",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("sent", "Sent"), ("failed", "Failed")],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                (
                    "next_attempt_at",
                    models.DateTimeField(
                        help_text="While an attempt is at work: when another may take over.",
                        null=True,
                    ),
                ),
                (
                    "subject",
                    models.CharField(blank=True, help_text="As it was sent.", max_length=300),
                ),
                (
                    "error",
                    models.CharField(blank=True, help_text="Of the last attempt.", max_length=300),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "settled_at",
                    models.DateTimeField(help_text="When it was sent, or given up.", null=True),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={"verbose_name": "e-mail", "ordering": ["-created_at", "id"]},
        ),
        migrations.AddConstraint(
            "mailmessage",
            models.UniqueConstraint(
                fields=["tenant", "kind", "key", "recipient"], name="mail_message_once"
            ),
        ),
        migrations.AddConstraint(
            "mailmessage",
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False, settled_at__isnull=True)
                | Q(
                    state__in=["sent", "failed"],
                    next_attempt_at__isnull=True,
                    settled_at__isnull=False,
                ),
                name="mail_message_waits_or_is_settled",
            ),
        ),
        migrations.AddIndex(
            "mailmessage",
            models.Index(
                condition=Q(state="pending"),
                fields=["tenant", "next_attempt_at"],
                name="mail_message_due",
            ),
        ),
        migrations.AddIndex(
            "mailmessage",
            models.Index(fields=["tenant", "created_at"], name="mail_message_age"),
        ),
        IsolateTable("MailMessage"),
    ]
