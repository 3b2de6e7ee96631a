"""Passwords hashed as the product does, in one round: tests make and check hundreds of them."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    """The hash names its rounds, so that a process with the product's settings can check it."""

    iterations = 1
