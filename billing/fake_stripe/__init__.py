"""A small server that speaks as much of Stripe's API as Hostmeter uses, for the demo and the tests.

It takes nothing from the product and knows none of its words: what a request may hold is read from
stripe-python's own generated types, and what it answers follows Stripe's documentation. What the
types allow and this server does not know is refused, never ignored. docs/payments.md says what it
cannot prove.
"""

from typing import Final

# What `manage.py up` uses: they open nothing but this.
DEMO_KEY: Final = "sk_test_fake"
DEMO_WEBHOOK_SECRET: Final = "whsec_of_the_fake"  # noqa: S105
