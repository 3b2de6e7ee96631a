"""Ed25519 verification in plain Python against the RFC's vectors and another implementation."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostmeter_verify.ed25519 import Signed, first_invalid, is_valid
from hypothesis import given, settings
from hypothesis import strategies as st

_ORDER = 2**252 + 27742317777372353535851937790883648493

# RFC 8032, 7.1: secret key, public key, message, signature.
VECTORS = {
    "test 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
        "6bd25bf5f0595bbe24655141438e7a100b",
    ),
    "test 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
        "8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "test 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
        "594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "test SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feeb"
        "bd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0"
        "303dca179c138ac17ad9bef1177331a704",
    ),
}


def signed(seed: int, message: bytes) -> Signed:
    key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32))
    return Signed(key.public_key().public_bytes_raw(), message, key.sign(message))


class TestOneSignature:
    @pytest.mark.parametrize("name", VECTORS)
    def test_of_the_rfc_holds(self, name: str) -> None:
        _, public_key, message, signature = map(bytes.fromhex, VECTORS[name])
        assert is_valid(Signed(public_key, message, signature))
        assert not is_valid(Signed(public_key, message + b"\0", signature))

    @given(st.integers(1, 2**64), st.binary(max_size=300), st.integers(0, 511))
    @settings(deadline=None, max_examples=40)
    def test_holds_as_it_was_made_and_not_with_a_bit_changed(
        self, seed: int, message: bytes, bit: int
    ) -> None:
        right = signed(seed, message)
        assert is_valid(right)
        wrong = bytearray(right.signature)
        wrong[bit // 8] ^= 1 << bit % 8
        assert not is_valid(Signed(right.public_key, message, bytes(wrong)))

    def test_with_an_s_not_below_the_order_does_not_hold(self) -> None:
        right = signed(5, b"once")
        s = int.from_bytes(right.signature[32:], "little") + _ORDER
        again = right.signature[:32] + s.to_bytes(32, "little")
        assert not is_valid(Signed(right.public_key, right.message, again))

    @pytest.mark.parametrize(
        ("public_key", "signature"),
        [
            (b"", bytes(64)),
            (bytes(31), bytes(64)),
            (b"\xff" * 32, bytes(64)),
            (bytes([2]) + bytes(31), bytes(64)),
            (bytes(32), bytes(63)),
            (bytes(32), b"\xff" * 64),
        ],
    )
    def test_that_is_none_does_not_hold(self, public_key: bytes, signature: bytes) -> None:
        assert not is_valid(Signed(public_key, b"message", signature))


class TestManySignatures:
    @pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
    def test_hold_together(self, count: int) -> None:
        assert first_invalid([signed(1 + n % 3, b"%d" % n) for n in range(count)]) is None

    @pytest.mark.parametrize("wrong", [(0,), (99,), (42, 43), (7, 90)])
    def test_show_the_first_that_is_wrong(self, wrong: tuple[int, ...]) -> None:
        heap = [signed(1 + n % 3, b"%d" % n) for n in range(100)]
        for at in wrong:
            heap[at] = Signed(heap[at].public_key, b"another", heap[at].signature)
        assert first_invalid(heap) == wrong[0]

    def test_show_the_first_even_where_a_later_one_is_none_at_all(self) -> None:
        heap = [signed(1, b"%d" % n) for n in range(20)]
        heap[12] = Signed(heap[12].public_key, b"12", b"none")
        assert first_invalid(heap) == 12
        heap[3] = Signed(heap[3].public_key, b"another", heap[3].signature)
        assert first_invalid(heap) == 3

    def test_that_are_changed_so_that_errors_cancel_out_are_found(self) -> None:
        one, other = signed(1, b"a"), signed(1, b"b")
        heap = [signed(2, b"%d" % n) for n in range(20)]
        heap += [_moved(one, 1), _moved(other, -1)]
        assert first_invalid(heap) == 20


def _moved(right: Signed, by: int) -> Signed:
    s = (int.from_bytes(right.signature[32:], "little") + by) % _ORDER
    return Signed(right.public_key, right.message, right.signature[:32] + s.to_bytes(32, "little"))
