"""Ed25519 verification (RFC 8032, 5.1.7) in integers alone, so that an auditor needs nothing but
Python.

Many signatures are checked together: with random 128-bit factors z, all of
[8][sum z·S]B = [8](sum [z]R + sum [z·k]A) hold at once, or some signature is wrong; a wrong one is
then found by halving. The sum is taken by buckets (Pippenger), and signatures of one key share its
term, so a signature costs a tenth of what it costs alone. Both forms check the equation with the
cofactor 8, as the RFC states it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha512
from typing import Final

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

# Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x·y = T/Z.
Point = tuple[int, int, int, int]
_NEUTRAL: Final[Point] = (0, 1, 1, 0)

_FACTOR_BYTES: Final = 16
# Together only where it pays; larger heaps gain little and make a wrong signature dear to find.
_TOGETHER_MIN: Final = 8
TOGETHER_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Signed:
    """A message, its 64-byte signature and the signer's 32-byte public key."""

    public_key: bytes
    message: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class _Equation:
    """[8][s]B = [8](R + [k]A), ready to be summed."""

    r: Point
    a: Point
    s: int
    k: int
    key: bytes


def is_valid(signed: Signed) -> bool:
    """Whether one signature holds."""
    equation = _equation(signed)
    return equation is not None and _holds([equation], [1])


def first_invalid(heap: Sequence[Signed]) -> int | None:
    """The index of the first signature that does not hold; None where all do."""
    equations: list[_Equation] = []
    for index, signed in enumerate(heap):
        equation = _equation(signed)
        if equation is None:
            # What does not even parse is wrong, but an earlier one may be wrong as well.
            earlier = _first_that_fails(equations)
            return index if earlier is None else earlier
        equations.append(equation)
    return _first_that_fails(equations)


def _first_that_fails(equations: Sequence[_Equation]) -> int | None:
    if not equations or _all_hold(equations):
        return None
    if len(equations) == 1:
        return 0
    half = len(equations) // 2
    first = _first_that_fails(equations[:half])
    if first is not None:
        return first
    second = _first_that_fails(equations[half:])
    return None if second is None else half + second


def _all_hold(equations: Sequence[_Equation]) -> bool:
    if len(equations) < _TOGETHER_MIN:
        return all(_holds([equation], [1]) for equation in equations)
    return _holds(equations, list(_factors(equations)))


def _factors(equations: Sequence[_Equation]) -> Iterator[int]:
    """Unforeseeable to whoever made the signatures: they depend on every one of them."""
    seed = sha512()
    for each in equations:
        seed.update(each.key + b"%d %d %d %d " % (each.r[0], each.r[1], each.s, each.k))
    digest = seed.digest()
    for index in range(len(equations)):
        yield int.from_bytes(sha512(digest + index.to_bytes(8, "big")).digest()[:_FACTOR_BYTES])


def _holds(equations: Sequence[_Equation], factors: Sequence[int]) -> bool:
    """[8] times the sum of factor·(R + [k]A - [s]B) is the neutral point."""
    scalar_of_base = 0
    scalar_of_key: dict[bytes, int] = {}
    point_of_key: dict[bytes, Point] = {}
    terms: list[tuple[int, Point]] = []
    for equation, factor in zip(equations, factors, strict=True):
        scalar_of_base += factor * equation.s
        before = scalar_of_key.get(equation.key, 0)
        scalar_of_key[equation.key] = before + factor * equation.k
        point_of_key[equation.key] = equation.a
        terms.append((factor, equation.r))
    terms += [(scalar_of_key[key] % _ORDER, point) for key, point in point_of_key.items()]
    terms.append((-scalar_of_base % _ORDER, _BASE))
    total = _sum_of_products(terms)
    for _ in range(3):
        total = _doubled(total)
    return total[0] % _P == 0 and (total[1] - total[2]) % _P == 0


def _sum_of_products(terms: Sequence[tuple[int, Point]]) -> Point:
    """The sum of scalar·point, window by window of the scalars' bits, the highest first."""
    bits = 4 if len(terms) < 32 else min(max(len(terms).bit_length() - 3, 4), 10)
    longest = max(scalar.bit_length() for scalar, _ in terms)
    total = _NEUTRAL
    for shift in range((longest // bits) * bits, -1, -bits):
        for _ in range(bits):
            total = _doubled(total)
        total = _added(total, _window(terms, shift, bits))
    return total


def _window(terms: Sequence[tuple[int, Point]], shift: int, bits: int) -> Point:
    mask = (1 << bits) - 1
    buckets: list[Point | None] = [None] * (1 << bits)
    for scalar, point in terms:
        digit = scalar >> shift & mask
        if digit:
            held = buckets[digit]
            buckets[digit] = point if held is None else _added(held, point)
    running = total = _NEUTRAL
    started = False
    for held in reversed(buckets[1:]):
        if held is not None:
            running, started = _added(running, held), True
        if started:
            total = _added(total, running)
    return total


def _added(one: Point, other: Point) -> Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 % _P * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _doubled(point: Point) -> Point:
    x, y, z, _ = point
    a, b, c = x * x % _P, y * y % _P, 2 * z * z % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = c + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _equation(signed: Signed) -> _Equation | None:
    """None for what is no signature at all: wrong lengths, S not below the order, no point."""
    if len(signed.signature) != 64 or len(signed.public_key) != 32:
        return None
    r, s = signed.signature[:32], int.from_bytes(signed.signature[32:], "little")
    r_point, a_point = _point(r), _key_point(signed.public_key)
    if r_point is None or a_point is None or s >= _ORDER:
        return None
    hashed = sha512(r + signed.public_key + signed.message).digest()
    k = int.from_bytes(hashed, "little") % _ORDER
    return _Equation(r_point, a_point, s, k, signed.public_key)


@lru_cache(maxsize=256)
def _key_point(encoded: bytes) -> Point | None:
    return _point(encoded)


def _point(encoded: bytes) -> Point | None:
    """RFC 8032, 5.1.3."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    squared = v * x * x % _P
    if squared == _P - u and u:
        x = x * _SQRT_MINUS_ONE % _P
    elif squared != u:
        return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _base_point() -> Point:
    found = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    if found is None:
        raise AssertionError("the base point is on the curve")
    return found


_BASE: Final = _base_point()
