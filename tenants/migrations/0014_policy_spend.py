from decimal import Decimal

import django.core.validators
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    """A policy can limit what a customer or an application comes to in a month."""

    dependencies = [
        ("tenants", "0013_audit"),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name="policyversion",
            name="insert_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="policyversion",
            name="update_update",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="policyversion",
            name="delete_delete",
        ),
        migrations.AddField(
            model_name="policyversion",
            name="application_spend_max",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What one application may come to in a calendar month, before tax. What is over it is listed and told; nothing is stopped, and it is billed.",
                max_digits=19,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.0001"))],
                verbose_name="spend of an application, a month",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="customer_spend_max",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What one customer may come to in a calendar month with the applications of the environments that carry this policy, before tax.",
                max_digits=19,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.0001"))],
                verbose_name="spend of a customer, a month",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="spend_currency",
            field=models.CharField(
                blank=True,
                help_text="Whoever is billed in another currency is not judged.",
                max_length=3,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Z]{3}\\Z", "Write a currency as EUR."
                    )
                ],
                verbose_name="currency of spend",
            ),
        ),
        migrations.AddField(
            model_name="policyversionchange",
            name="application_spend_max",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What one application may come to in a calendar month, before tax. What is over it is listed and told; nothing is stopped, and it is billed.",
                max_digits=19,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.0001"))],
                verbose_name="spend of an application, a month",
            ),
        ),
        migrations.AddField(
            model_name="policyversionchange",
            name="customer_spend_max",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What one customer may come to in a calendar month with the applications of the environments that carry this policy, before tax.",
                max_digits=19,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.0001"))],
                verbose_name="spend of a customer, a month",
            ),
        ),
        migrations.AddField(
            model_name="policyversionchange",
            name="spend_currency",
            field=models.CharField(
                blank=True,
                help_text="Whoever is billed in another currency is not judged.",
                max_length=3,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Z]{3}\\Z", "Write a currency as EUR."
                    )
                ],
                verbose_name="currency of spend",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policyversion",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_policyversionchange" ("application_spend_max", "cpu_millicores", "created_at", "customer_spend_max", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "spend_currency", "tenant_id", "users_max") VALUES (NEW."application_spend_max", NEW."cpu_millicores", NEW."created_at", NEW."customer_spend_max", NEW."effective_from", NEW."enforced", NEW."id", NEW."memory_bytes", NEW."minimum_agent_by", NEW."minimum_agent_version", NEW."minimum_environment_by", NEW."minimum_environment_version", NEW."note", NEW."number", NEW."offline_grace_seconds", NEW."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."policy_id", NEW."processes_max", NEW."published_at", NEW."published_by", NEW."rolled_back_at", NEW."rollout_percent", NEW."rules", NEW."spend_currency", NEW."tenant_id", NEW."users_max"); RETURN NULL;',
                    hash="3057bbbb9b429164cbbf6889d17c56f54b9aa22e",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_66e25",
                    table="tenants_policyversion",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policyversion",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "tenants_policyversionchange" ("application_spend_max", "cpu_millicores", "created_at", "customer_spend_max", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "spend_currency", "tenant_id", "users_max") VALUES (NEW."application_spend_max", NEW."cpu_millicores", NEW."created_at", NEW."customer_spend_max", NEW."effective_from", NEW."enforced", NEW."id", NEW."memory_bytes", NEW."minimum_agent_by", NEW."minimum_agent_version", NEW."minimum_environment_by", NEW."minimum_environment_version", NEW."note", NEW."number", NEW."offline_grace_seconds", NEW."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."policy_id", NEW."processes_max", NEW."published_at", NEW."published_by", NEW."rolled_back_at", NEW."rollout_percent", NEW."rules", NEW."spend_currency", NEW."tenant_id", NEW."users_max"); RETURN NULL;',
                    hash="4aa5bebef838cdc20a22be62d97b40df9e80a481",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_01fbe",
                    table="tenants_policyversion",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policyversion",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_policyversionchange" ("application_spend_max", "cpu_millicores", "created_at", "customer_spend_max", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "spend_currency", "tenant_id", "users_max") VALUES (OLD."application_spend_max", OLD."cpu_millicores", OLD."created_at", OLD."customer_spend_max", OLD."effective_from", OLD."enforced", OLD."id", OLD."memory_bytes", OLD."minimum_agent_by", OLD."minimum_agent_version", OLD."minimum_environment_by", OLD."minimum_environment_version", OLD."note", OLD."number", OLD."offline_grace_seconds", OLD."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."policy_id", OLD."processes_max", OLD."published_at", OLD."published_by", OLD."rolled_back_at", OLD."rollout_percent", OLD."rules", OLD."spend_currency", OLD."tenant_id", OLD."users_max"); RETURN NULL;',
                    hash="4384c63be18116d4c326a448d22dc43fbac01c41",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_0975d",
                    table="tenants_policyversion",
                    when="AFTER",
                ),
            ),
        ),
    ]
