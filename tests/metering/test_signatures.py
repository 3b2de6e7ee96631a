"""Who may deliver: signatures by any conforming client, and one answer for all that do not hold."""

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5, sha512
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPSignatureKeyResolver,
)
from http_message_signatures.algorithms import ED25519

from metering.signatures import SignatureRejected, SignedRequest, verify
from tests.metering.delivering import COVERED, PATH, Agent, batch, digest_field
from tests.metering.test_enrolment import problem


def body() -> bytes:
    return json.dumps(batch()).encode()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class TestAConformingClient:
    @pytest.mark.parametrize(
        "covered",
        [
            COVERED,
            tuple(reversed(COVERED)),
            ("@authority", *COVERED, "content-type"),
            (*COVERED, "@target-uri", "@scheme", "@request-target", "@query"),
        ],
    )
    def test_covers_what_it_likes_beside_what_it_has_to(
        self, agent: Agent, covered: tuple[str, ...]
    ) -> None:
        content = body()
        answer = agent.post(content, agent.signed(content, covered=covered))
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "parameters",
        [
            "",
            ';alg="ed25519";nonce="n1"',
            ';expires={in_an_hour};tag="app"',
            ';purpose="metering"',
        ],
    )
    def test_names_further_parameters(self, agent: Agent, parameters: str) -> None:
        content, in_an_hour = body(), int(time.time()) + 3_600
        parameters = parameters.replace("{in_an_hour}", str(in_an_hour))
        answer = agent.post(content, agent.signed(content, parameters=parameters))
        assert answer.status_code == 200

    def test_may_be_five_minutes_off(self, agent: Agent) -> None:
        for seconds in (-295, 295):
            content = body()
            headers = agent.signed(content, created=time.time() + seconds)
            assert agent.post(content, headers).status_code == 200

    def test_puts_other_signatures_beside_its_own(self, agent: Agent) -> None:
        content = body()
        headers = agent.signed(content)
        headers["Signature-Input"] = 'proxy=("@method");keyid="p", ' + headers["Signature-Input"]
        headers["Signature"] += ", proxy=:AAAA:, unpaired=:AAAA:"
        assert agent.post(content, headers).status_code == 200

    def test_puts_other_digests_beside_sha_256(self, agent: Agent) -> None:
        content = body()
        others = (
            f"sha-512=:{b64(sha512(content).digest())}:, {digest_field(content)}, "
            f"md5=:{b64(md5(content, usedforsecurity=False).digest())}:, unixsum=30637"
        )
        assert agent.post(content, agent.signed(content, digest=others)).status_code == 200

    def test_may_spell_its_header_fields_with_other_spaces(self, agent: Agent) -> None:
        content = body()
        headers = agent.signed(content)
        headers["Signature-Input"] = headers["Signature-Input"].replace(
            '("@method" "@path"', '( "@method"   "@path"'
        )
        assert agent.post(content, headers).status_code == 200

    def test_may_cover_the_digest_as_a_structured_field_or_its_sha_256(self, agent: Agent) -> None:
        content = body()
        digest = digest_field(content)
        members = {
            '"content-digest";sf': digest,
            '"content-digest";key="sha-256"': digest.removeprefix("sha-256="),
        }
        for name, value in members.items():
            created = int(time.time())
            inputs = f'("@method" "@path" {name});created={created};keyid="{agent.key_id}"'
            lines = ('"@method": POST', f'"@path": {PATH}', f"{name}: {value}")
            base = "\n".join((*lines, f'"@signature-params": {inputs}'))
            headers = {
                "Content-Digest": digest,
                "Signature-Input": f"hostmeter={inputs}",
                "Signature": f"hostmeter=:{b64(agent.key.sign(base.encode()))}:",
            }
            assert agent.post(content, headers).status_code == 200

    def test_may_be_a_library(self, agent: Agent) -> None:
        content = body()
        request = _Request("POST", f"http://testserver{PATH}", {"Content-Type": "application/json"})
        signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_Key(agent.key))
        signer.sign(
            request,
            key_id=agent.key_id,
            label="hostmeter",
            covered_component_ids=("@method", "@authority", "@path", "content-type"),
            body=content,
        )
        headers = {k: v for k, v in request.headers.items() if k != "Content-Type"}
        assert agent.post(content, headers).status_code == 200


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str]


class _Key(HTTPSignatureKeyResolver):
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        return self._key


class TestAStranger:
    def test_gets_one_answer_whatever_is_wrong(self, agent: Agent) -> None:
        content = body()
        good = agent.signed(content)
        stranger = Agent(agent.tenant, key_id=agent.key_id)
        unknown = Agent(agent.tenant, key=agent.key, key_id=agent.key_id[:-1] + "_")
        nobody = Agent(agent.tenant, key=agent.key, key_id="nobody")
        sha512_field = f"sha-512=:{b64(sha512(content).digest())}:"
        attempts: dict[str, dict[str, str]] = {
            "unsigned": {},
            "no digest": {k: v for k, v in good.items() if k != "Content-Digest"},
            "no signature": {k: v for k, v in good.items() if k != "Signature"},
            "no input": {k: v for k, v in good.items() if k != "Signature-Input"},
            "another key": stranger.signed(content),
            "unknown key": unknown.signed(content),
            "malformed key id": nobody.signed(content),
            "stale": agent.signed(content, created=time.time() - 310),
            "from the future": agent.signed(content, created=time.time() + 310),
            "expired": agent.signed(content, parameters=";expires=1700000000"),
            "another algorithm": agent.signed(content, parameters=';alg="hmac-sha256"'),
            "another label": agent.signed(content, label="sig1"),
            "label twice": good | {"Signature": good["Signature"] + ", hostmeter=:AAAA:"},
            "other body's digest": agent.signed(b"other"),
            "digest swapped": good | {"Content-Digest": digest_field(b"other")},
            "no sha-256": agent.signed(content, digest=sha512_field),
            "empty signature": good | {"Signature": "hostmeter=::"},
            "signature as text": good | {"Signature": 'hostmeter="abc"'},
            "nonsense": dict.fromkeys(good, "\"';;((="),
            "very long": good | {"Signature": "hostmeter=:" + "A" * 9_000 + ":"},
            **{
                f"{name} uncovered": agent.signed(
                    content, covered=tuple(c for c in COVERED if c != name)
                )
                for name in COVERED
            },
        }
        answers = {name: agent.post(content, headers) for name, headers in attempts.items()}
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
            attempts, 401
        )
        assert len({answer.content for answer in answers.values()}) == 1
        problem(answers["unsigned"])

    def test_is_refused_before_the_body_is_looked_at(self, agent: Agent) -> None:
        answer = Client().post(PATH, b"{", content_type="text/plain")
        assert answer.status_code == 401


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class TestASignature:
    """Built by hand, byte by byte, from RFC 9421, section 2.5."""

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

    def request(self, components: list[tuple[str, str]], **headers: str) -> SignedRequest:
        created = int(NOW.timestamp())
        names = " ".join(name for name, _ in components)
        inputs = f'({names});created={created};keyid="k"'
        base = "".join(f"{name}: {value}\n" for name, value in components)
        signature = self.key.sign(f'{base}"@signature-params": {inputs}'.encode())
        fields: dict[str, str] = {
            "content-digest": digest_field(b"x"),
            "signature-input": f"hostmeter={inputs}",
            "signature": f"hostmeter=:{b64(signature)}:",
        }
        return SignedRequest("POST", "https://meter.example/a?b=1", "/a?b=1", fields | headers)

    def verified(self, request: SignedRequest) -> Any:
        return verify(request, as_of=NOW, public_key_of=lambda key_id: self.key.public_key())

    required = (
        ('"@method"', "POST"),
        ('"@path"', "/a"),
        ('"content-digest"', digest_field(b"x")),
    )

    def test_covers_components_with_parameters(self) -> None:
        components = [
            *self.required,
            ('"@query-param";name="b"', "1"),
            ('"@query"', "?b=1"),
            ('"x-dict";key="a"', "1"),
            ('"x-raw";bs', ":aGk=:"),
        ]
        request = self.request(components, **{"x-dict": "a=1, b=2", "x-raw": "hi"})
        assert self.verified(request).key_id == "k"

    def test_covers_a_field_that_was_sent_on_several_lines(self) -> None:
        # A WSGI server joins the lines without the space that is signed.
        request = self.request([*self.required, ('"x-list"', "a, b")], **{"x-list": "a,b"})
        assert self.verified(request).key_id == "k"

    @pytest.mark.parametrize(
        "extra",
        [
            ('"@method"', "POST"),
            ('"x-absent"', ""),
            ('"@status"', "200"),
            ('"@unknown"', ""),
            ('"X-Upper"', "1"),
            ('"x-list";tr', "a"),
        ],
    )
    def test_over_what_cannot_be_resolved_is_refused(self, extra: tuple[str, str]) -> None:
        request = self.request([*self.required, extra], **{"x-list": "a", "x-upper": "1"})
        with pytest.raises(SignatureRejected):
            self.verified(request)

    def test_over_another_path_is_refused(self) -> None:
        components = [('"@method"', "POST"), ('"@path"', "/b"), self.required[2]]
        with pytest.raises(SignatureRejected):
            self.verified(self.request(components))

    def test_proves_the_body(self) -> None:
        proof = self.verified(self.request(list(self.required)))
        proof.check_body(b"x")
        with pytest.raises(SignatureRejected):
            proof.check_body(b"y")
