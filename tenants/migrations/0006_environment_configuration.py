import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tenants.models

# Django's own foreign key would leave the tenant out.
OWNED_BY = """
ALTER TABLE tenants_environment ADD CONSTRAINT tenants_environment_owner_customer_id_fk
    FOREIGN KEY (tenant_id, owner_customer_id) REFERENCES tenants_customer (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED
"""


class Migration(migrations.Migration):
    """Environments say what may run in them, and whose they are."""

    dependencies = [
        ("tenants", "0005_scopes_of_webhooks_and_budgets"),
    ]

    operations = [
        migrations.AddField(
            model_name="environment",
            name="application_patterns",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=200),
                blank=True,
                default=list,
                help_text="Names, with * for any characters. Empty: whatever the policy allows.",
                size=100,
                validators=[tenants.models.validate_patterns],
                verbose_name="applications that may run here",
            ),
        ),
        migrations.AddField(
            model_name="environment",
            name="applications_max",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="More are metered all the same, and shown as a breach.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000),
                ],
                verbose_name="applications at most",
            ),
        ),
        migrations.AddField(
            model_name="environment",
            name="hosts_max",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Further ones cannot enrol. Retired hosts do not count.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000000),
                ],
                verbose_name="hosts at most",
            ),
        ),
        migrations.AddField(
            model_name="environment",
            name="owner_customer",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                help_text="Whose own machines these are: its people add hosts here, see them and revoke their keys. Empty: they are yours.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.customer",
                verbose_name="run by the customer",
            ),
        ),
        migrations.AddField(
            model_name="environment",
            name="retired_at",
            field=models.DateTimeField(
                editable=False, help_text="Since then no host enrols here.", null=True
            ),
        ),
        migrations.AddField(
            model_name="environment",
            name="version",
            field=models.CharField(
                blank=True,
                help_text="Of what its hosts run, such as their image. A policy may ask for a newer one.",
                max_length=27,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z", "Write a version as 1.4 or 1.4.2."
                    )
                ],
            ),
        ),
        migrations.RunSQL(OWNED_BY, migrations.RunSQL.noop),
    ]
