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
    # What is contested of an invoice, and how it ends.
    _("The usage is not what we used"), _("The price is not what we agreed on"),
    _("It is charged twice"), _("The application is not ours"),
    _("The service did not work in that time"), _("Something else"),
    _("Open"), _("Answered"), _("Resolved"), _("Withdrawn"),
    _("Upheld"), _("Upheld in part"), _("Rejected"),
    # What a line without usage is, and how often it is charged.
    _("usage"), _("recurring"), _("percentage"), _("minimum"), _("true up"), _("discount"),
    _("correction"), _("billing period"), _("week"), _("month"), _("quarter"), _("half-year"),
    _("year"),
    # Why a webhook endpoint is disabled, and why a message was not taken.
    _("nothing was taken for three days"), _("it answered 410: it is gone for good"),
    _("disabled by hand"), _("disabled through the API"), _("disabled by the customer"),
    _("the connection was refused"), _("the connection was closed without an answer"),
    _("what came back is not HTTP"), _("it cannot be reached"), _("no answer within 10 s"),
    # How a host is heard of.
    _("live"), _("silent"), _("retired"), _("waiting"), _("no key"),
    # Who someone is.
    _("owner"), _("operator"), _("billing"), _("viewer"),
)  # fmt: skip
