from django.db import migrations, models


class Migration(migrations.Migration):
    """Hosts say which version of their policy they go by."""

    dependencies = [("metering", "0012_history")]

    operations = [
        migrations.AddField(
            model_name="appliedstate",
            name="policy",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The policy's version that it goes by.",
                max_length=140,
            ),
        ),
    ]
