from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0006_usage")]

    operations = [
        migrations.AddField(
            model_name="samplebatch",
            name="signature_base",
            field=models.TextField(
                # The demo's batches, which nobody signed, are written without it.
                db_default="",
                default="",
                help_text="What was signed (RFC 9421, 2.5): headers beyond these are kept here.",
            ),
        ),
    ]
