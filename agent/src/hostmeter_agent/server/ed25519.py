"""Ed25519 keys by the OpenSSL that Python itself is linked with.

The interpreter has it in memory for its digests, so a signature costs no second library; the
package `cryptography`, which brings an OpenSSL of its own (9 MB resident), is loaded only where
Python's cannot be reached.
"""

import ctypes
import functools
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_EVP_PKEY_ED25519: Final = 1087


class _Backend(Protocol):
    def sign(self, private: bytes, message: bytes) -> bytes: ...

    def public(self, private: bytes) -> bytes: ...


class PrivateKey:
    """A private key; its 32 bytes are in the clear in this process's memory."""

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError for anything but 32 bytes."""
        if len(raw) != KEY_BYTES:
            raise ValueError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(raw)}")
        self._raw = raw

    @classmethod
    def generate(cls) -> "PrivateKey":
        return cls(os.urandom(KEY_BYTES))

    def private_bytes(self) -> bytes:
        return self._raw

    def public_bytes(self) -> bytes:
        return backend().public(self._raw)

    def sign(self, message: bytes) -> bytes:
        return backend().sign(self._raw, message)


class OpenSsl:
    """The functions of libcrypto that are needed. Raises OSError or AttributeError where there is
    no such library, or one older than 1.1.1."""

    def __init__(self) -> None:
        import _hashlib

        self._library = library = ctypes.CDLL(getattr(_hashlib, "__file__", None))
        pointer, size = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
        for name, result, arguments in (
            ("EVP_PKEY_new_raw_private_key", pointer,
             [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]),
            ("EVP_PKEY_get_raw_public_key", ctypes.c_int, [pointer, ctypes.c_char_p, size]),
            ("EVP_PKEY_free", None, [pointer]),
            ("EVP_MD_CTX_new", pointer, []),
            ("EVP_MD_CTX_free", None, [pointer]),
            ("EVP_DigestSignInit", ctypes.c_int, [pointer] * 5),
            ("EVP_DigestSign", ctypes.c_int,
             [pointer, ctypes.c_char_p, size, ctypes.c_char_p, ctypes.c_size_t]),
        ):  # fmt: skip
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments

    def sign(self, private: bytes, message: bytes) -> bytes:
        key, context = self._key(private), self._library.EVP_MD_CTX_new()
        try:
            signature = ctypes.create_string_buffer(SIGNATURE_BYTES)
            length = ctypes.c_size_t(SIGNATURE_BYTES)
            done = self._library.EVP_DigestSignInit(context, None, None, None, key)
            if done == 1:
                done = self._library.EVP_DigestSign(
                    context, signature, ctypes.byref(length), message, len(message)
                )
            if done != 1:
                raise OSError("OpenSSL did not sign")
            return signature.raw[: length.value]
        finally:
            self._library.EVP_MD_CTX_free(context)
            self._library.EVP_PKEY_free(key)

    def public(self, private: bytes) -> bytes:
        key = self._key(private)
        try:
            public = ctypes.create_string_buffer(KEY_BYTES)
            length = ctypes.c_size_t(KEY_BYTES)
            if self._library.EVP_PKEY_get_raw_public_key(key, public, ctypes.byref(length)) != 1:
                raise OSError("OpenSSL gave no public key")
            return public.raw[: length.value]
        finally:
            self._library.EVP_PKEY_free(key)

    def _key(self, private: bytes) -> int:
        key = self._library.EVP_PKEY_new_raw_private_key(
            _EVP_PKEY_ED25519, None, private, len(private)
        )
        if not key:
            raise OSError("OpenSSL took no Ed25519 key")
        return int(key)


class Cryptography:
    """The same by the package `cryptography`."""

    def sign(self, private: bytes, message: bytes) -> bytes:
        return _packaged(private).sign(message)

    def public(self, private: bytes) -> bytes:
        return _packaged(private).public_key().public_bytes_raw()


def _packaged(private: bytes) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private)


@functools.cache
def backend() -> _Backend:
    """Python's own OpenSSL where it signs, else the package."""
    try:
        openssl = OpenSsl()
        openssl.sign(bytes(KEY_BYTES), b"")
    except (ImportError, AttributeError, OSError):
        return Cryptography()
    return openssl
