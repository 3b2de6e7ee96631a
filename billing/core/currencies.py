"""ISO 4217: the currencies in use and the decimals of their minor units.

Only money that people pay with: no funds, metals or accounting units. Source of the rule:
ISO 4217 list one, as of 2026.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

_CODES_BY_DECIMALS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD "
        "CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
        "GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP "
        "LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK "
        "NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS "
        "SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST "
        "XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}


class UnknownCurrency(ValueError):
    """The code is not that of a currency in use."""


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency and how many decimals its smallest payable amount has.

    `minor_unit` is that amount: 0.01 for EUR, 1 for JPY, 0.001 for KWD.
    """

    code: str
    decimals: int
    minor_unit: Decimal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "minor_unit", Decimal(1).scaleb(-self.decimals))


CURRENCIES: Final = {
    code: Currency(code, decimals)
    for decimals, codes in _CODES_BY_DECIMALS.items()
    for code in codes.split()
}


def currency_of(code: str) -> Currency:
    """The currency with this ISO 4217 code, in capitals. Raises UnknownCurrency."""
    found = CURRENCIES.get(code)
    if found is None:
        raise UnknownCurrency(f"not the code of a currency in use: {code[:20]!r}")
    return found
