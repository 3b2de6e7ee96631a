"""The tables of the applications' own words are checked to the last key."""

from pathlib import Path

import pytest
from hostmeter_agent.config import ConfigInvalid, parse_config

PATH = Path("/etc/hostmeter/agent.toml")

WHOLE = r"""
interval_seconds = 10

[[access_log]]
application = "shop"
path = "/var/log/nginx/shop*.log"
format = "combined"
user = "remote_user"
where = { status = "^[23]" }
version = 3

[[access_log]]
application = "api"
path = "/var/log/api.log"
format = "regex"
pattern = '^(?P<at>\S+) (?P<who>\S+)$'
user = "who"
time = "at"
[access_log.unless]
who = "^probe$"

[[prometheus]]
application = "mail"
url = "http://127.0.0.1:9100/metrics"

[otlp]
socket = "/run/hostmeter/otlp.sock"
mode = 0o666

[statsd]
socket = "/run/hostmeter/statsd.sock"
port = 8125

[[metric]]
source = "prometheus"
application = "mail"
name = "messages_total"
meter = "transactions"

[[metric]]
source = "otlp"
application = "books"
name = "http.server.request.duration"
where = { "service.name" = "^books$" }
meter = "transactions"
"""


def test_every_table_is_read() -> None:
    words = parse_config(PATH, WHOLE).words
    assert words is not None
    shop, api = words.access_logs
    assert (shop.application, shop.user, shop.version) == ("shop", "remote_user", 3)
    assert shop.where[0][1].search("204")
    assert api.unless[0][0] == "who"
    assert words.otlp is not None
    assert (words.otlp.mode, words.otlp.port) == (0o666, None)
    assert words.statsd is not None
    assert words.statsd.port == 8125
    assert [metric.application for metric in words.metrics_of("otlp")] == ["books"]


def test_without_such_tables_nothing_is_configured() -> None:
    assert parse_config(PATH, "interval_seconds = 10\n").words is None


LOG = '[[access_log]]\napplication = "shop"\npath = "/l"\nformat = "combined"\n'
METRIC = '[statsd]\nport = 8125\n[[metric]]\nsource = "statsd"\napplication = "shop"\nname = "n"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (LOG + 'colour = "red"\n', 5, "[[access_log]] 1: colour is not known; known are app"),
        (LOG + LOG.replace("/l", "l"), 7, "[[access_log]] 2: path must be an absolute path"),
        (LOG + LOG, 7, "[[access_log]] 2: path stands twice for one application"),
        (LOG.replace("combined", "apache"), 4, "format must be one of combined, json, regex"),
        (LOG.replace("combined", "regex"), 1, "pattern is needed with format regex"),
        (LOG + 'pattern = "x"\n', 5, "pattern is needed with format regex, and only there"),
        (LOG + 'user = "who"\n', 5, "user names 'who', which is no field; fields are remote_addr"),
        (LOG + 'where = { status = "(" }\n', 5, "where is not a regular expression"),
        (LOG + "where = {}\n", 5, "where must be a table of 1 to 16 names"),
        (LOG + '[access_log.where]\nwho = "x"\n', 5, "where names 'who', which is no field"),
        (LOG + "transactions = false\n", 1, "user is needed where transactions is false"),
        (LOG + "active_seconds = 0\n", 5, "active_seconds must be a whole number from 1 to 86400"),
        (LOG.replace("shop", "kernel"), 2, "application must not be 'kernel'"),
        (LOG + "version = 1\n" + LOG.replace("/l", "/m"), 6, "version must be one for all logs"),
        ('access_log = "x"\n', 1, "access_log must be written as [[access_log]]"),
        ('[[prometheus]]\napplication = "a"\n', 1, "[[prometheus]] 1: url is missing"),
        ('[[prometheus]]\napplication = "a"\nurl = "ftp://x/"\n', 3, "url must be http://HOST"),
        ('[[prometheus]]\napplication = "a"\nurl = "http://u:p@x/"\n', 3, "url must be http"),
        ("[otlp]\nmode = 0o1777\n", 2, "[otlp]: mode must be a file mode from 0o000 to 0o777"),
        ("[otlp]\nmode = 0o600\n", 1, "[otlp]: socket or port is needed"),
        ('[statsd]\nsocket = "/' + "x" * 107 + '"\n', 2, "socket must be at most 107 bytes"),
        (METRIC + 'meter = "Users"\n', 7, "meter must be a meter's name: 1 to 64 of a-z"),
        (METRIC + 'meter = "cpu.time"\n', 7, "meter must be transactions, users.concurrent, net"),
        (METRIC + 'meter = "users.concurrent.max"\n', 7, "meter must not be a maximum"),
        (METRIC + 'meter = "transactions"\nmultiply = 0\n', 8, "multiply must be a whole number"),
        (METRIC.replace('"statsd"', '"otlp"') + 'meter = "orders"\n', 4, "source is 'otlp', for"),
        (LOG + METRIC + 'meter = "transactions"\n', 11, "meter comes from access_log already"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_file_line_and_key(
    text: str, line: int, said: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        parse_config(PATH, text)
    assert str(refused.value).startswith(f"{PATH}, line {line}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
