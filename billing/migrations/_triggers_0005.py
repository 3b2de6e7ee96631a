"""What billing's tables refuse, whoever asks: part of 0005_contracts."""

# A version that takes effect at once rates periods that begin before it; their invoices name the
# version that they began with.
USED_AT_ONCE = """
CREATE OR REPLACE FUNCTION billing_refuse_change_of_used_version(tenant uuid, version uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_planversion v
        WHERE v.tenant_id = tenant AND v.id = version FOR UPDATE;
    IF EXISTS (SELECT FROM billing_invoice i
               WHERE i.tenant_id = tenant AND i.plan_version_id = version)
       OR EXISTS (SELECT FROM billing_planversion v
                  JOIN billing_planversion s ON s.tenant_id = v.tenant_id AND s.plan_id = v.plan_id
                  JOIN billing_invoice i
                    ON i.tenant_id = s.tenant_id AND i.plan_version_id = s.id
                  WHERE v.tenant_id = tenant AND v.id = version
                    AND v.takes_effect = 'at_once' AND v.published_at IS NOT NULL
                    AND i.period_end > v.effective_from) THEN
        RAISE EXCEPTION 'an invoice has used this plan version, so it cannot change'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
END $$;
"""

TERMS_IMMUTABLE = """
CREATE TRIGGER used_terms_are_immutable BEFORE INSERT OR UPDATE OR DELETE ON billing_planterms
    FOR EACH ROW EXECUTE FUNCTION billing_keep_used_price();
"""

# A customer's own price holds still for what is finalized. Where it stays the same but for its
# bounds, only the time between the old and the new ones counts as changed.
OVERRIDES_INVOICED = """
CREATE FUNCTION billing_keep_invoiced_override() RETURNS trigger LANGUAGE plpgsql AS $$
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
        IF (OLD.customer_id, OLD.code, OLD.currency, OLD.definition)
           = (NEW.customer_id, NEW.code, NEW.currency, NEW.definition) THEN
            unchanged := taken * given;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM billing_refuse_if_invoiced(
            OLD.tenant_id, OLD.customer_id, taken - unchanged, 'override_is_invoiced');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM billing_refuse_if_invoiced(
            NEW.tenant_id, NEW.customer_id, given - unchanged, 'override_is_invoiced');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER invoiced_override_stays AFTER INSERT OR UPDATE OR DELETE ON billing_priceoverride
    FOR EACH ROW EXECUTE FUNCTION billing_keep_invoiced_override();
"""

TRIGGERS = (USED_AT_ONCE, TERMS_IMMUTABLE, OVERRIDES_INVOICED)
