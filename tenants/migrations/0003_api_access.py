import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

# Django's own foreign key would leave the tenant out.
BELONGS_TO = """
ALTER TABLE tenants_apikey ADD CONSTRAINT tenants_apikey_customer_id_fk
    FOREIGN KEY (tenant_id, customer_id) REFERENCES tenants_customer (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED
"""


class Migration(migrations.Migration):
    """Keys say what they may do and until when; answers are kept for requests that come twice."""

    dependencies = [("tenants", "0002_admin_log")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="prefix",
            field=models.CharField(default="", editable=False, max_length=12),
        ),
        migrations.AddField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=32), default=list, size=50
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="customer",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="tenants.customer",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("customer__isnull", True),
                    (
                        "scopes__contained_by",
                        [
                            "applications:read",
                            "credit:read",
                            "customers:read",
                            "invoices:read",
                            "plans:read",
                            "subscriptions:read",
                            "usage:read",
                        ],
                    ),
                    _connector="OR",
                ),
                name="api_key_of_a_customer_reads",
            ),
        ),
        migrations.RunSQL(BELONGS_TO, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("endpoint", models.CharField(help_text="POST and the path.", max_length=200)),
                (
                    "body_digest",
                    models.BinaryField(help_text="SHA-256 of the request's body.", max_length=32),
                ),
                ("status", models.PositiveSmallIntegerField()),
                ("body", models.TextField(help_text="Of the answer, JSON.")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "api_key",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="tenants.apikey",
                    ),
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
        ),
        migrations.AddIndex(
            model_name="idempotencyrecord",
            index=models.Index(fields=["tenant", "created_at"], name="idempotency_record_age"),
        ),
        migrations.AddConstraint(
            model_name="idempotencyrecord",
            constraint=models.UniqueConstraint(
                fields=("tenant", "api_key", "key"), name="idempotency_key_once"
            ),
        ),
        IsolateTable("IdempotencyRecord"),
    ]
