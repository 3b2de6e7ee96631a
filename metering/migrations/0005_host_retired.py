from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0004_host_control")]

    operations = [
        migrations.AddField(
            model_name="host",
            name="retired_at",
            field=models.DateTimeField(
                editable=False,
                help_text="Out of service since then: its keys are revoked, and nobody waits for it.",
                null=True,
            ),
        ),
    ]
