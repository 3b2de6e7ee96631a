"""Secrets that have to be known again, sealed with a key made of SECRET_KEY.

What only has to be recognised is hashed (tenants.secrets). A signing secret is needed whenever
something is signed, so it is kept sealed: whoever reads the database without the settings has
nothing. After a change of SECRET_KEY the old one goes to SECRET_KEY_FALLBACKS until all that was
sealed with it has been sealed again.
"""

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SealBroken(Exception):
    """What is kept was sealed with another SECRET_KEY, for another purpose, or was changed."""


def seal(text: str, purpose: str) -> str:
    """`text` so that unseal() gives it back, for the same purpose alone."""
    return _sealer(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, purpose: str) -> str:
    """Raises SealBroken."""
    try:
        return _sealer(purpose).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealBroken(
            f"the {purpose} cannot be read with this SECRET_KEY; put the one it was kept with "
            "into SECRET_KEY_FALLBACKS, or replace it"
        ) from error


def _sealer(purpose: str) -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(each, purpose)) for each in keys])


def _key(secret: str, purpose: str) -> bytes:
    info = f"hostmeter: {purpose}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())
    return urlsafe_b64encode(derived)
