import uuid

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import pghistory.utils
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import tenants.policy_models
import tenants.scope
from tenants.isolation import IsolateTable

# How many hosts have a version, and whether it was taken back, is not what it says.
PUBLISHED_STAYS = """
CREATE FUNCTION tenants_refuse_change_of_published() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    rollout text[] := ARRAY['rollout_percent', 'rolled_back_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - rollout = to_jsonb(NEW) - rollout
       AND (OLD.rolled_back_at IS NULL OR to_jsonb(OLD) = to_jsonb(NEW)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'version % of this policy is published and never changes', OLD.number
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'policy_version_is_published';
END $$;
CREATE TRIGGER published_stays BEFORE UPDATE OR DELETE ON tenants_policyversion
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL)
    EXECUTE FUNCTION tenants_refuse_change_of_published();
"""
NO_TRIGGER = """
DROP TRIGGER published_stays ON tenants_policyversion;
DROP FUNCTION tenants_refuse_change_of_published();
"""


class Migration(migrations.Migration):
    """What a policy says has versions, and what is published never changes."""

    dependencies = [
        ("tenants", "0007_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField(editable=False)),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="What it is for, in a few words.", max_length=200
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='The first rule that fits decides; what none fits may run. In a name * stands for any text: [{"effect": "deny", "application": "miner*"}]. A rule can also name an environment, and a customer by its reference.',
                        validators=[tenants.policy_models.validate_rules],
                        verbose_name="who may run what",
                    ),
                ),
                (
                    "enforced",
                    models.BooleanField(
                        default=False,
                        help_text="Agents that have cgroups of their own hold CPU, memory and processes to the limits. Otherwise, and everywhere else, breaches are shown and nothing is held.",
                        verbose_name="held by the kernel",
                    ),
                ),
                (
                    "cpu_millicores",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Thousandths of a core: 1500 is one and a half cores.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(8192000),
                        ],
                        verbose_name="CPU, millicores",
                    ),
                ),
                (
                    "memory_bytes",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="In bytes: 1073741824 is one GiB.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1125899906842624),
                        ],
                        verbose_name="memory, bytes",
                    ),
                ),
                (
                    "processes_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Processes at one time.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(4194304),
                        ],
                        verbose_name="processes",
                    ),
                ),
                (
                    "open_files_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Open files at one time.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1099511627776),
                        ],
                        verbose_name="open files",
                    ),
                ),
                (
                    "users_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Users at one time, on all hosts together.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1099511627776),
                        ],
                        verbose_name="concurrent users",
                    ),
                ),
                (
                    "minimum_agent_version",
                    models.CharField(
                        blank=True,
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z",
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "minimum_agent_by",
                    models.DateTimeField(
                        blank=True, help_text="By when agents have to have that version.", null=True
                    ),
                ),
                (
                    "minimum_environment_version",
                    models.CharField(
                        blank=True,
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z",
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "minimum_environment_by",
                    models.DateTimeField(
                        blank=True,
                        help_text="By when environments have to have that version.",
                        null=True,
                    ),
                ),
                (
                    "offline_grace_seconds",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How long a host may work on with a policy that it cannot refresh before it says that this is too long. It goes on metering.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(300),
                            django.core.validators.MaxValueValidator(34560000),
                        ],
                        verbose_name="offline grace, seconds",
                    ),
                ),
                ("effective_from", models.DateTimeField(editable=False, null=True)),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                ("published_by", models.CharField(blank=True, editable=False, max_length=254)),
                (
                    "rollout_percent",
                    models.PositiveSmallIntegerField(
                        default=100,
                        editable=False,
                        help_text="The share of hosts that have it; the others go by the version before.",
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                ("rolled_back_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="tenants.policy",
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
            options={
                "ordering": ["policy__name", "-number"],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersionChange",
            fields=[
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("pgh_id", models.BigAutoField(primary_key=True, serialize=False)),
                ("pgh_context", pghistory.utils.JSONField(null=True)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                ("number", models.PositiveIntegerField(editable=False)),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="What it is for, in a few words.", max_length=200
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='The first rule that fits decides; what none fits may run. In a name * stands for any text: [{"effect": "deny", "application": "miner*"}]. A rule can also name an environment, and a customer by its reference.',
                        validators=[tenants.policy_models.validate_rules],
                        verbose_name="who may run what",
                    ),
                ),
                (
                    "enforced",
                    models.BooleanField(
                        default=False,
                        help_text="Agents that have cgroups of their own hold CPU, memory and processes to the limits. Otherwise, and everywhere else, breaches are shown and nothing is held.",
                        verbose_name="held by the kernel",
                    ),
                ),
                (
                    "cpu_millicores",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Thousandths of a core: 1500 is one and a half cores.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(8192000),
                        ],
                        verbose_name="CPU, millicores",
                    ),
                ),
                (
                    "memory_bytes",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="In bytes: 1073741824 is one GiB.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1125899906842624),
                        ],
                        verbose_name="memory, bytes",
                    ),
                ),
                (
                    "processes_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Processes at one time.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(4194304),
                        ],
                        verbose_name="processes",
                    ),
                ),
                (
                    "open_files_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Open files at one time.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1099511627776),
                        ],
                        verbose_name="open files",
                    ),
                ),
                (
                    "users_max",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Users at one time, on all hosts together.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1099511627776),
                        ],
                        verbose_name="concurrent users",
                    ),
                ),
                (
                    "minimum_agent_version",
                    models.CharField(
                        blank=True,
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z",
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "minimum_agent_by",
                    models.DateTimeField(
                        blank=True, help_text="By when agents have to have that version.", null=True
                    ),
                ),
                (
                    "minimum_environment_version",
                    models.CharField(
                        blank=True,
                        max_length=27,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[0-9]{1,6}(\\.[0-9]{1,6}){0,3}\\Z",
                                "Write a version as 1.4 or 1.4.2.",
                            )
                        ],
                    ),
                ),
                (
                    "minimum_environment_by",
                    models.DateTimeField(
                        blank=True,
                        help_text="By when environments have to have that version.",
                        null=True,
                    ),
                ),
                (
                    "offline_grace_seconds",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How long a host may work on with a policy that it cannot refresh before it says that this is too long. It goes on metering.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(300),
                            django.core.validators.MaxValueValidator(34560000),
                        ],
                        verbose_name="offline grace, seconds",
                    ),
                ),
                ("effective_from", models.DateTimeField(editable=False, null=True)),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                ("published_by", models.CharField(blank=True, editable=False, max_length=254)),
                (
                    "rollout_percent",
                    models.PositiveSmallIntegerField(
                        default=100,
                        editable=False,
                        help_text="The share of hosts that have it; the others go by the version before.",
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                ("rolled_back_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.policyversion",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.policy",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                fields=("tenant", "policy", "number"), name="policy_version_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("published_at__isnull", True)),
                fields=("tenant", "policy"),
                name="policy_version_one_draft",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("rollout_percent__lte", 100)), name="policy_version_share"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("effective_from__isnull", True), ("published_at__isnull", True)),
                    models.Q(("effective_from__isnull", False), ("published_at__isnull", False)),
                    _connector="OR",
                ),
                name="policy_version_takes_effect",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policyversion",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "tenants_policyversionchange" ("cpu_millicores", "created_at", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "tenant_id", "users_max") VALUES (NEW."cpu_millicores", NEW."created_at", NEW."effective_from", NEW."enforced", NEW."id", NEW."memory_bytes", NEW."minimum_agent_by", NEW."minimum_agent_version", NEW."minimum_environment_by", NEW."minimum_environment_version", NEW."note", NEW."number", NEW."offline_grace_seconds", NEW."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'insert\', NEW."id", NEW."policy_id", NEW."processes_max", NEW."published_at", NEW."published_by", NEW."rolled_back_at", NEW."rollout_percent", NEW."rules", NEW."tenant_id", NEW."users_max"); RETURN NULL;',
                    hash="91504e7da5c3d1920975b25d7230cc7878c5f1cc",
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
                    func='INSERT INTO "tenants_policyversionchange" ("cpu_millicores", "created_at", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "tenant_id", "users_max") VALUES (NEW."cpu_millicores", NEW."created_at", NEW."effective_from", NEW."enforced", NEW."id", NEW."memory_bytes", NEW."minimum_agent_by", NEW."minimum_agent_version", NEW."minimum_environment_by", NEW."minimum_environment_version", NEW."note", NEW."number", NEW."offline_grace_seconds", NEW."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'update\', NEW."id", NEW."policy_id", NEW."processes_max", NEW."published_at", NEW."published_by", NEW."rolled_back_at", NEW."rollout_percent", NEW."rules", NEW."tenant_id", NEW."users_max"); RETURN NULL;',
                    hash="5881de096e989256aef967566cb4a1cbb8be375c",
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
                    func='INSERT INTO "tenants_policyversionchange" ("cpu_millicores", "created_at", "effective_from", "enforced", "id", "memory_bytes", "minimum_agent_by", "minimum_agent_version", "minimum_environment_by", "minimum_environment_version", "note", "number", "offline_grace_seconds", "open_files_max", "pgh_context", "pgh_created_at", "pgh_label", "pgh_obj_id", "policy_id", "processes_max", "published_at", "published_by", "rolled_back_at", "rollout_percent", "rules", "tenant_id", "users_max") VALUES (OLD."cpu_millicores", OLD."created_at", OLD."effective_from", OLD."enforced", OLD."id", OLD."memory_bytes", OLD."minimum_agent_by", OLD."minimum_agent_version", OLD."minimum_environment_by", OLD."minimum_environment_version", OLD."note", OLD."number", OLD."offline_grace_seconds", OLD."open_files_max", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, NOW(), \'delete\', OLD."id", OLD."policy_id", OLD."processes_max", OLD."published_at", OLD."published_by", OLD."rolled_back_at", OLD."rollout_percent", OLD."rules", OLD."tenant_id", OLD."users_max"); RETURN NULL;',
                    hash="b2fe3bc645b69659fabb25b3e6e16fa894f88b78",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_0975d",
                    table="tenants_policyversion",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="policyversionchange",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="f333e9c5164660cc666972fe6a038274adb56f24",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_e7907",
                    table="tenants_policyversionchange",
                    when="BEFORE",
                ),
            ),
        ),
        IsolateTable("PolicyVersion"),
        IsolateTable("PolicyVersionChange", references=False),
        migrations.RunSQL(PUBLISHED_STAYS, NO_TRIGGER),
    ]
