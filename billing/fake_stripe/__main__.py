"""`python -m billing.fake_stripe`: run the fake Stripe until it is told to end."""

import argparse
import logging
import os
import signal
import sys
import threading

from billing.fake_stripe.answers import account_of
from billing.fake_stripe.books import Asked
from billing.fake_stripe.calls import Call
from billing.fake_stripe.events import ENDPOINTS_MAX
from billing.fake_stripe.hooks import add_endpoint
from billing.fake_stripe.refusals import Refused
from billing.fake_stripe.server import FakeStripe


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m billing.fake_stripe",
        description="A fake Stripe on this machine. With STRIPE_SECRET_KEY and"
        " STRIPE_WEBHOOK_SECRET in the environment it delivers webhooks to --webhook.",
    )
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--state", required=True, help="the file that holds all it knows")
    parser.add_argument("--webhook", default="", help="where events go: http://127.0.0.1:PORT/…")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        fake = FakeStripe(options.state, options.port)
        if options.webhook:
            _deliver_to(fake, options.webhook)
    except (OSError, Refused) as error:
        print(f"fake Stripe: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # From another thread: `stop` waits for the loop that this one is in.
        signal.signal(number, lambda *_: threading.Thread(target=fake.stop).start())
    print(f"Listening on {fake.url}", flush=True)
    fake.serve()
    return 0


def _deliver_to(fake: FakeStripe, url: str) -> None:
    """See that the account has exactly this webhook endpoint, with the secret of the environment.

    Raises Refused for a key or an address that cannot be.
    """
    account = account_of(os.environ.get("STRIPE_SECRET_KEY", ""))
    call = Call(
        fake.books, fake.desk.faults, account, fake.url, (), {"url": url, "enabled_events": ["*"]}
    )
    with fake.books.transaction():
        for _, endpoint in fake.books.found(account, Asked("webhook_endpoint"), ENDPOINTS_MAX):
            endpoint |= {"status": "disabled", "deleted": True}
            fake.books.save(account, endpoint)
        add_endpoint(call, secret=os.environ.get("STRIPE_WEBHOOK_SECRET", ""))


if __name__ == "__main__":
    sys.exit(main())
