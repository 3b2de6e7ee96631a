"""What billing's tables refuse of issued invoices, whoever asks: part of 0006_invoice_life."""

# An invoice begins as a draft and goes from one status to another as core/lifecycle.py says. Once
# it has its number only what happens to it afterwards may change.
LIFE = """
DROP TRIGGER finalized_is_immutable ON billing_invoice;
DROP TRIGGER finalized_lines_sum ON billing_invoice;
DROP TRIGGER finalized_is_immutable ON billing_invoiceline;
DROP FUNCTION billing_refuse_change_of_finalized();
DROP FUNCTION billing_refuse_change_of_finalized_line();

CREATE FUNCTION billing_keep_invoice_life() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    happens_later CONSTANT text[] := ARRAY['status', 'sent_at', 'amount_paid', 'amount_credited'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION 'an invoice begins as a draft, not as %', NEW.status
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'invoice_begins_as_draft';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.finalized_at IS NOT NULL THEN
            RAISE EXCEPTION 'invoice % is finalized and cannot be deleted', OLD.number
                USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'finalized_is_immutable';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status || ' ' || NEW.status) = ANY (ARRAY[
        'draft in_review', 'draft finalized',
        'in_review finalized',
        'finalized sent', 'finalized partly_paid', 'finalized paid', 'finalized overdue',
        'finalized void', 'finalized uncollectible',
        'sent partly_paid', 'sent paid', 'sent overdue', 'sent void', 'sent uncollectible',
        'partly_paid paid', 'partly_paid overdue', 'partly_paid void',
        'partly_paid uncollectible',
        'overdue paid', 'overdue void', 'overdue uncollectible',
        'paid void', 'uncollectible paid'
    ]) THEN
        RAISE EXCEPTION 'an invoice does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_transition';
    END IF;
    IF OLD.finalized_at IS NOT NULL
        AND to_jsonb(OLD) - happens_later IS DISTINCT FROM to_jsonb(NEW) - happens_later THEN
        RAISE EXCEPTION 'invoice % is finalized and cannot change', OLD.number
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'finalized_is_immutable';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_life BEFORE INSERT OR UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_keep_invoice_life();
"""

# What an issued invoice is made of. The trigger locks the invoice before it looks at it, in two
# statements: the second then sees what whoever held the lock has committed.
PARTS_IMMUTABLE = """
CREATE FUNCTION billing_keep_finalized_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    invoices uuid[] := ARRAY[CASE WHEN TG_OP = 'DELETE' THEN OLD.invoice_id
        ELSE NEW.invoice_id END];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        invoices := invoices || OLD.invoice_id;
    END IF;
    PERFORM FROM billing_invoice i
        WHERE i.tenant_id = tenant AND i.id = ANY (invoices) ORDER BY i.id FOR SHARE;
    IF EXISTS (SELECT FROM billing_invoice i
               WHERE i.tenant_id = tenant AND i.id = ANY (invoices)
                 AND i.finalized_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the invoice is finalized and cannot change'
            USING ERRCODE = 'integrity_constraint_violation',
                CONSTRAINT = 'finalized_is_immutable';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER finalized_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_keep_finalized_part();
CREATE TRIGGER finalized_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION billing_keep_finalized_part();

CREATE FUNCTION billing_keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % is recorded and cannot change', OLD.reference
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'payment_is_immutable';
END $$;
CREATE TRIGGER payment_is_immutable BEFORE UPDATE OR DELETE ON billing_payment
    FOR EACH ROW EXECUTE FUNCTION billing_keep_payment();
"""

# Looked at when the transaction ends, which is after its tenant's scope has: the function opens it
# again for its questions.
SUMS = """
CREATE OR REPLACE FUNCTION billing_require_lines_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scope text := coalesce(current_setting('hostmeter.tenant_id', true), '');
    lines numeric;
    taxes numeric;
BEGIN
    PERFORM set_config('hostmeter.tenant_id', NEW.tenant_id::text, true);
    SELECT coalesce(sum(l.amount), 0) INTO lines FROM billing_invoiceline l
        WHERE l.tenant_id = NEW.tenant_id AND l.invoice_id = NEW.id;
    SELECT coalesce(sum(t.tax), 0) INTO taxes FROM billing_invoicetax t
        WHERE t.tenant_id = NEW.tenant_id AND t.invoice_id = NEW.id;
    PERFORM set_config('hostmeter.tenant_id', scope, true);
    IF lines <> NEW.total THEN
        RAISE EXCEPTION 'the lines of invoice % come to %, its total is %',
            NEW.number, lines, NEW.total
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_lines_sum';
    END IF;
    IF taxes <> NEW.tax_total THEN
        RAISE EXCEPTION 'the taxes of invoice % come to %, its tax is %',
            NEW.number, taxes, NEW.tax_total
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_taxes_sum';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER finalized_lines_sum AFTER UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.finalized_at IS NULL AND NEW.finalized_at IS NOT NULL)
    EXECUTE FUNCTION billing_require_lines_sum();
"""

INVOICED_USAGE = """
CREATE OR REPLACE FUNCTION billing_refuse_if_invoiced(
    tenant uuid, customer uuid, changed tstzmultirange, refusal text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    invoiced_to timestamptz;
BEGIN
    IF isempty(changed) THEN
        RETURN;
    END IF;
    PERFORM FROM tenants_customer c WHERE c.tenant_id = tenant AND c.id = customer FOR SHARE;
    SELECT max(i.period_end) INTO invoiced_to FROM billing_invoice i
        WHERE i.tenant_id = tenant AND i.customer_id = customer AND i.kind = 'invoice'
          AND i.finalized_at IS NOT NULL
          AND changed && tstzrange(i.period_start, i.period_end);
    IF invoiced_to IS NOT NULL THEN
        RAISE EXCEPTION 'the period is invoiced and finalized'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = refusal,
                DETAIL = to_char(invoiced_to AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"');
    END IF;
END $$;
"""

# Whoever writes rollups of a period that has an invoice leaves a mark, in the same statement. Drafts
# count: a change that commits while an invoice is being finalized is not in its rating, and would
# find no issued invoice yet. Mostly the first question ends it, for usage of a running period.
LATE_USAGE = """
CREATE FUNCTION billing_note_late_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    oldest timestamptz;
BEGIN
    SELECT min(bucket_start) INTO oldest FROM touched;
    IF oldest IS NULL OR NOT EXISTS (
        SELECT FROM billing_invoice i
        WHERE i.tenant_id = (SELECT hostmeter_tenant()) AND i.period_end > oldest
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO billing_lateusage (id, tenant_id, invoice_id, application_id, hour, noted_at)
    SELECT gen_random_uuid(), late.*, clock_timestamp()
    FROM (
        SELECT DISTINCT
            i.tenant_id, i.id, t.application_id, date_trunc('hour', t.bucket_start, 'UTC')
        FROM touched t
        JOIN metering_assignment a
            ON a.tenant_id = t.tenant_id AND a.application_id = t.application_id
            AND a.starts_at <= t.bucket_start
            AND (a.ends_at IS NULL OR a.ends_at > t.bucket_start)
        JOIN billing_invoice i
            ON i.tenant_id = t.tenant_id AND i.customer_id = a.customer_id AND i.kind = 'invoice'
            AND i.period_start <= t.bucket_start AND i.period_end > t.bucket_start
    ) AS late;
    RETURN NULL;
END $$;
CREATE TRIGGER late_insert_is_noted AFTER INSERT ON metering_rollup
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_note_late_usage();
CREATE TRIGGER late_update_is_noted AFTER UPDATE ON metering_rollup
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_note_late_usage();
CREATE TRIGGER late_delete_is_noted AFTER DELETE ON metering_rollup
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION billing_note_late_usage();
"""

TRIGGERS = (LIFE, PARTS_IMMUTABLE, SUMS, INVOICED_USAGE, LATE_USAGE)
