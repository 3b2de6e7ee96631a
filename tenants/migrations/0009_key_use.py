from django.db import migrations, models


class Migration(migrations.Migration):
    """Keys say from where they were used last, and how much."""

    dependencies = [("tenants", "0008_policy_versions")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="last_used_from",
            field=models.GenericIPAddressField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="apikey",
            name="minutes_used",
            field=models.PositiveBigIntegerField(
                default=0, editable=False, help_text="In how many minutes it was used."
            ),
        ),
    ]
