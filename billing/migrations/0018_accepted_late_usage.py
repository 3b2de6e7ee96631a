import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_words")]

    operations = [
        migrations.AddField(
            model_name="lateusage",
            name="accepted_at",
            field=models.DateTimeField(
                help_text="When it was to be billed after all, though it came too late.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="billingsettings",
            name="late_usage_days",
            field=models.PositiveSmallIntegerField(
                default=60,
                help_text="Usage that arrives later than this after its period's end is listed as "
                "refused. It is billed once you accept it, or when another change has its period "
                "rated again.",
                validators=[django.core.validators.MaxValueValidator(400)],
            ),
        ),
    ]
