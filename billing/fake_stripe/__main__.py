"""`python -m billing.fake_stripe`: run the fake Stripe until it is told to end."""

import argparse
import logging
import signal
import socket
import sys
import threading

from billing.fake_stripe import DEMO_KEY, DEMO_WEBHOOK_SECRET
from billing.fake_stripe.answers import account_of
from billing.fake_stripe.books import Asked
from billing.fake_stripe.calls import Call
from billing.fake_stripe.events import ENDPOINTS_MAX
from billing.fake_stripe.hooks import add_endpoint
from billing.fake_stripe.refusals import Fields, Refused
from billing.fake_stripe.server import FakeStripe


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m billing.fake_stripe",
        description="A fake Stripe on this machine, for the demonstration and for tests.",
    )
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument(
        "--listener", type=int, metavar="FD", help="an inherited socket that listens, not a port"
    )
    parser.add_argument("--state", required=True, help="the file that holds all it knows")
    parser.add_argument(
        "--webhook",
        action="append",
        default=[],
        metavar="URL",
        help="where the demo account's events go, on this machine; may be given several times",
    )
    parser.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="TYPE",
        help="which events go there, such as payment_intent.succeeded; without it all of them",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        inherited = None if options.listener is None else socket.socket(fileno=options.listener)
        fake = FakeStripe(options.state, options.port, inherited)
        _deliver_to(fake, options.webhook, options.event or ["*"])
    except (OSError, Refused) as error:
        print(f"fake Stripe: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        # From another thread: `stop` waits for the loop that this one is in.
        signal.signal(number, lambda *_: threading.Thread(target=fake.stop).start())
    print(f"Listening on {fake.url}", flush=True)
    fake.serve()
    return 0


def _deliver_to(fake: FakeStripe, urls: list[str], events: list[str]) -> None:
    """See that the demo account has these webhook endpoints and no others. Raises Refused for an
    address that is not of this machine."""
    account = account_of(DEMO_KEY)
    with fake.books.transaction():
        for _, endpoint in fake.books.found(account, Asked("webhook_endpoint"), ENDPOINTS_MAX):
            fake.books.remove(account, endpoint["id"])
        for url in urls:
            fields: Fields = {"url": url, "enabled_events": events}
            call = Call(fake.books, fake.desk.faults, account, fake.url, (), fields)
            add_endpoint(call, secret=DEMO_WEBHOOK_SECRET)


if __name__ == "__main__":
    sys.exit(main())
