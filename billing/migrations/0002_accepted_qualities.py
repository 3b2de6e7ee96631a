import django.contrib.postgres.fields
from django.db import migrations, models

import billing.models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_initial"),
        ("tenants", "0002_admin_log"),
    ]

    operations = [
        migrations.AddField(
            model_name="invoiceline",
            name="measured",
            field=models.JSONField(
                default=list, help_text="How the usage was measured: [[quality, method], …]."
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="refused_for",
            field=models.JSONField(default=list, help_text="Those qualities."),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="refused_quantity",
            field=models.DecimalField(
                decimal_places=0,
                default=0,
                help_text="Not billed: measured in a quality that the price does not accept. In the meter's small unit, exact.",
                max_digits=40,
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="accepted_qualities",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("exact", "exact"),
                        ("sampled", "sampled"),
                        ("lower_bound", "lower bound"),
                        ("estimated", "estimated"),
                    ],
                    max_length=12,
                ),
                default=billing.models.accepted_by_default,
                help_text="Usage measured in another way is shown on the invoice and not billed. Usage of agents that do not say how they measured is always billed.",
                size=None,
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "accepted_qualities__contained_by",
                        ["exact", "sampled", "lower_bound", "estimated"],
                    ),
                    ("accepted_qualities__len__gt", 0),
                ),
                name="price_accepts_some_quality",
            ),
        ),
    ]
