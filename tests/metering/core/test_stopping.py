"""A person is told the command for what an application is known by on its host."""

import re
import shlex
import subprocess

import pytest

from metering.core.stopping import stoppings


@pytest.mark.parametrize(
    ("name", "in_cgroup", "stop"),
    [
        ("shop", True, "systemctl stop -- shop.service"),
        ("shop@2", True, "systemctl stop -- shop@2.service"),
        ("docker-0123456789ab", True, "docker stop 0123456789ab"),
        ("0123456789ab", True, "docker stop 0123456789ab"),
        ("libpod-0123456789ab", True, "podman stop 0123456789ab"),
        ("cri-containerd-0123456789ab", True, "crictl stop 0123456789ab"),
        ("shop", False, "pkill -f -- '(^|[/ ])shop([.:][a-z]*)?( |$)'"),
        ("redis", False, "pkill -f -- '(^|[/ ])redis-server([.:][a-z]*)?( |$)'"),
    ],
)
def test_it_is_that_of_the_unit_the_container_or_the_program(
    name: str, in_cgroup: bool, stop: str
) -> None:
    (found,) = stoppings(name, [], in_cgroup=in_cgroup)
    assert found.stop == stop


@pytest.mark.parametrize(
    ("rule", "stop"),
    [
        ({"process": "postfix*"}, "pkill -x -- 'postfix.*'"),
        ({"process": "post.fix", "user": "mail"}, "pkill -u mail -x -- 'post\\.fix'"),
        ({"process": "a-very-long-program"}, "pkill -f -- '(^|/)a-very-long-program( |$)'"),
        ({"executable": "/usr/lib/*", "process": "x"}, "pkill -f -- '^/usr/lib/.*( |$)'"),
        ({"command": "--queue=mail"}, "pkill -f -- --queue=mail"),
        ({"user": "mail"}, "pkill -u mail -- ."),
    ],
)
def test_it_is_that_of_the_rule_that_names_it(rule: dict[str, str], stop: str) -> None:
    rules = [{"name": "other-app", "process": "y"}, {"name": "mail", **rule}]
    (found,) = stoppings("mail", rules, in_cgroup=True)
    assert (found.stop, found.look) == (stop, stop.replace("pkill", "pgrep -a"))
    assert all(each in found.known_by for each in rule.values())


@pytest.mark.parametrize("name", ["kernel", "other", "hostmeter-agent", "unattributed"])
def test_there_is_none_for_what_is_no_program(name: str) -> None:
    assert stoppings(name, [], in_cgroup=True) == ()


@pytest.mark.parametrize("in_cgroup", [True, False])
@pytest.mark.parametrize("name", ["$(reboot)", "a'; reboot #", "-rf", "a b", "x|y", "[x](.*)"])
def test_a_name_is_never_more_than_one_word_that_stands_for_itself(
    name: str, in_cgroup: bool
) -> None:
    (found,) = stoppings(name, [], in_cgroup=in_cgroup)
    *options, last = shlex.split(found.stop)
    assert options in (["systemctl", "stop", "--"], ["pkill", "-f", "--"])
    if in_cgroup:
        assert last == f"{name}.service"
        return
    for line, hit in ((f"/opt/{name} --serve", True), (f"python -m {name}", True), ("cron", False)):
        assert bool(re.search(last, line)) is hit
        # As pgrep understands it too.
        grep = subprocess.run(["grep", "-Eq", "--", last], input=line, text=True, check=False)
        assert (grep.returncode == 0) is hit
