import uuid

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0010_stored_in"),
        ("tenants", "0003_api_access"),
    ]

    operations = [
        migrations.CreateModel(
            name="AllocationFailure",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
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
                ("hour", models.DateTimeField()),
                (
                    "host",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Empty: the whole hour failed.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="metering.host",
                    ),
                ),
                ("meter", models.CharField(blank=True, max_length=64)),
                ("reason", models.CharField(max_length=500)),
                ("failed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["hour", "host__name", "meter"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "hour", "host", "meter"),
                        name="allocation_failure_once",
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
        IsolateTable("AllocationFailure"),
        migrations.AlterField(
            model_name="host",
            name="cpu_count",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Its processors; with them idle time can be allocated.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(8192)],
            ),
        ),
        migrations.AlterField(
            model_name="host",
            name="memory_bytes",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="Its memory; with it idle memory can be allocated.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(2**50)],
            ),
        ),
    ]
