"""Words that come from data: named here, so that they are in the catalog of translations.

Whoever shows one asks gettext for it: `gettext(in_words(quality))`.
"""

from django.utils.translation import gettext_noop as _

WORDS = (
    # How well something was measured.
    _("exact"), _("sampled"), _("lower bound"), _("estimated"), _("unavailable"), _("not stated"),
    # What an invoice is.
    _("draft"), _("in review"), _("finalized"), _("sent"), _("partly paid"), _("paid"),
    _("overdue"), _("void"), _("uncollectible"),
    _("invoice"), _("credit note"), _("debit note"),
    # Why a webhook endpoint is disabled, and why a message was not taken.
    _("nothing was taken for three days"), _("it answered 410: it is gone for good"),
    _("disabled by hand"), _("disabled through the API"), _("disabled by the customer"),
    _("the connection was refused"), _("the connection was closed without an answer"),
    _("what came back is not HTTP"), _("it cannot be reached"), _("no answer within 10 s"),
    # Who someone is.
    _("owner"), _("operator"), _("billing"), _("viewer"),
)  # fmt: skip
