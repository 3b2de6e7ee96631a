"""What billing's tables refuse, whoever asks: part of 0001_initial."""

# An issued invoice is never rewritten. A line's trigger locks its invoice before it looks at the
# status, in two statements: the second then sees what whoever held the lock has committed.
INVOICES_IMMUTABLE = """
CREATE FUNCTION billing_refuse_change_of_finalized() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'invoice % is finalized and cannot change', OLD.number
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER finalized_is_immutable BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW WHEN (OLD.status = 'finalized')
    EXECUTE FUNCTION billing_refuse_change_of_finalized();

CREATE FUNCTION billing_refuse_change_of_finalized_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line billing_invoiceline := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    invoices uuid[] := ARRAY[line.invoice_id];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        invoices := invoices || OLD.invoice_id;
    END IF;
    PERFORM FROM billing_invoice i
        WHERE i.tenant_id = line.tenant_id AND i.id = ANY (invoices) ORDER BY i.id FOR SHARE;
    IF EXISTS (SELECT FROM billing_invoice i
               WHERE i.tenant_id = line.tenant_id AND i.id = ANY (invoices)
                 AND i.status = 'finalized') THEN
        RAISE EXCEPTION 'the invoice of this line is finalized and cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN line;
END $$;
CREATE TRIGGER finalized_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change_of_finalized_line();
"""

# Looked at when the transaction ends, which is after its tenant's scope has: the function opens it
# again for its one question.
INVOICES_SUM = """
CREATE FUNCTION billing_require_lines_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scope text := coalesce(current_setting('hostmeter.tenant_id', true), '');
    lines numeric;
BEGIN
    PERFORM set_config('hostmeter.tenant_id', NEW.tenant_id::text, true);
    SELECT coalesce(sum(l.amount), 0) INTO lines FROM billing_invoiceline l
        WHERE l.tenant_id = NEW.tenant_id AND l.invoice_id = NEW.id;
    PERFORM set_config('hostmeter.tenant_id', scope, true);
    IF lines <> NEW.total THEN
        RAISE EXCEPTION 'the lines of invoice % come to %, its total is %',
            NEW.number, lines, NEW.total
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_lines_sum';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER finalized_lines_sum AFTER INSERT OR UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.status = 'finalized')
    EXECUTE FUNCTION billing_require_lines_sum();
"""

# A plan version that rated an invoice keeps its prices. The lock waits for a closing that is
# reading them: it holds the version FOR SHARE, so its invoice is seen here once it has committed.
PRICES_IMMUTABLE = """
CREATE FUNCTION billing_refuse_change_of_used_version(tenant uuid, version uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_planversion v
        WHERE v.tenant_id = tenant AND v.id = version FOR UPDATE;
    IF EXISTS (SELECT FROM billing_invoice i
               WHERE i.tenant_id = tenant AND i.plan_version_id = version) THEN
        RAISE EXCEPTION 'an invoice has used this plan version, so it cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END $$;

CREATE FUNCTION billing_keep_used_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_refuse_change_of_used_version(OLD.tenant_id, OLD.id);
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER used_version_is_immutable BEFORE UPDATE OR DELETE ON billing_planversion
    FOR EACH ROW EXECUTE FUNCTION billing_keep_used_version();

CREATE FUNCTION billing_keep_used_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM billing_refuse_change_of_used_version(OLD.tenant_id, OLD.plan_version_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM billing_refuse_change_of_used_version(NEW.tenant_id, NEW.plan_version_id);
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER used_price_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_price
    FOR EACH ROW EXECUTE FUNCTION billing_keep_used_price();

CREATE FUNCTION billing_keep_used_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_invoice i
               JOIN billing_planversion v ON v.tenant_id = i.tenant_id AND v.id = i.plan_version_id
               WHERE v.tenant_id = OLD.tenant_id AND v.plan_id = OLD.id) THEN
        RAISE EXCEPTION 'an invoice has used this plan, so its currency cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER used_currency_is_immutable BEFORE UPDATE OF currency ON billing_plan
    FOR EACH ROW WHEN (OLD.currency <> NEW.currency)
    EXECUTE FUNCTION billing_keep_used_currency();
"""

# Usage of an issued invoice's period keeps its payer: taken away from the customer it would be
# billed twice, and given to them now it would never be billed. Finalizing holds the customer's row
# FOR NO KEY UPDATE, so one that is under way is waited for. metering.assignments translates the
# refusals by their constraints; the detail is the instant from which on the change is possible.
INVOICED_USAGE = """
CREATE FUNCTION billing_refuse_if_invoiced(
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
        WHERE i.tenant_id = tenant AND i.customer_id = customer AND i.status = 'finalized'
          AND changed && tstzrange(i.period_start, i.period_end);
    IF invoiced_to IS NOT NULL THEN
        RAISE EXCEPTION 'the period is invoiced and finalized'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = refusal,
                DETAIL = to_char(invoiced_to AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"');
    END IF;
END $$;

CREATE FUNCTION billing_keep_invoiced_usage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    taken tstzmultirange := tstzmultirange();
    given tstzmultirange := tstzmultirange();
    unchanged tstzmultirange := tstzmultirange();
BEGIN
    IF TG_OP <> 'INSERT' THEN
        taken := tstzmultirange(tstzrange(OLD.starts_at, OLD.ends_at));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        given := tstzmultirange(tstzrange(NEW.starts_at, NEW.ends_at));
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.customer_id = NEW.customer_id AND OLD.application_id = NEW.application_id THEN
            unchanged := taken * given;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM billing_refuse_if_invoiced(
            OLD.tenant_id, OLD.customer_id, taken - unchanged, 'usage_is_invoiced');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM billing_refuse_if_invoiced(
            NEW.tenant_id, NEW.customer_id, given - unchanged, 'usage_is_past_invoicing');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoiced_usage_keeps_its_payer
    AFTER INSERT OR UPDATE OR DELETE ON metering_assignment
    FOR EACH ROW EXECUTE FUNCTION billing_keep_invoiced_usage();
"""

# The customer's row is locked so that of two subscriptions made at once one sees the other.
SUBSCRIPTIONS_APART = """
CREATE FUNCTION billing_keep_subscriptions_apart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM tenants_customer c
        WHERE c.tenant_id = NEW.tenant_id AND c.id = NEW.customer_id FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM billing_subscription s
               WHERE s.tenant_id = NEW.tenant_id AND s.customer_id = NEW.customer_id
                 AND s.id <> NEW.id
                 AND s.starts_at < coalesce(NEW.ends_at, 'infinity')
                 AND NEW.starts_at < coalesce(s.ends_at, 'infinity')) THEN
        RAISE EXCEPTION 'the customer has another subscription at that time'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subscriptions_apart';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER subscriptions_stay_apart AFTER INSERT OR UPDATE ON billing_subscription
    FOR EACH ROW EXECUTE FUNCTION billing_keep_subscriptions_apart();
"""

TRIGGERS = (
    INVOICES_IMMUTABLE,
    INVOICES_SUM,
    PRICES_IMMUTABLE,
    INVOICED_USAGE,
    SUBSCRIPTIONS_APART,
)
