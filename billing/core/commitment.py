"""What a customer pays at least: a minimum for each period, a commitment over several."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.core import explanation
from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO, plain, shortened
from billing.core.explanation import step
from billing.core.money import sum_amounts
from billing.core.periods import Period, span_in_words
from billing.core.prices.proration import Proration
from billing.core.proration import share_in_words
from billing.core.rating import LineKind, UnroundedLine


@dataclass(frozen=True, slots=True)
class MinimumPart:
    """A plan version's minimum for a whole period, and the share of one in which it held."""

    amount: Decimal
    share: Proration


@dataclass(frozen=True, slots=True)
class CommitmentPart:
    """What the commitment period that ends with the billing period is held to.

    `share` is the part of a whole commitment period that it lasted; `charged_before` is what the
    earlier invoices of it came to, before tax.
    """

    amount: Decimal
    span: Period
    share: Proration
    charged_before: Decimal
    time_zone: str = "UTC"


def minimum_line(
    lines: Sequence[UnroundedLine], parts: Sequence[MinimumPart], currency: Currency
) -> UnroundedLine | None:
    """What the lines lack to the minimum, each version's by its share; None if nothing."""
    charged = sum_amounts([line.unrounded for line in lines])
    shares = [part.share.of(part.amount) for part in parts]
    minimum = sum_amounts(shares)
    lacking = EXACT.subtract(minimum, charged)
    if lacking <= ZERO:
        return None
    steps = [
        step(
            "minimum",
            f"Minimum {plain(part.amount)} {currency.code} a period"
            + ("" if part.share.is_whole else f", {share_in_words(part.share)}")
            + f" = {shortened(amount)} {currency.code}",
            {
                "minimum": part.amount,
                "part": part.share.numerator,
                "whole": part.share.denominator,
                "amount": amount,
            },
        )
        for part, amount in zip(parts, shares, strict=True)
    ]
    lack = step(
        "minimum",
        f"{shortened(minimum)} less {shortened(charged)} that the lines come to",
        {"minimum": minimum, "charged": charged, "lacking": lacking},
    )
    steps += [lack, explanation.unrounded(lacking, currency.code)]
    return _line("minimum", "Minimum of the period", lacking, currency, tuple(steps))


def true_up_line(
    lines: Sequence[UnroundedLine], commitment: CommitmentPart, currency: Currency
) -> UnroundedLine | None:
    """What the commitment period's invoices, with this one's `lines`, lack to the commitment;
    None if nothing."""
    here = sum_amounts([line.unrounded for line in lines])
    owed = commitment.share.of(commitment.amount)
    lacking = EXACT.subtract(owed, EXACT.add(commitment.charged_before, here))
    if lacking <= ZERO:
        return None
    code, share = currency.code, commitment.share
    words = f"Commitment {plain(commitment.amount)} {code} for "
    words += span_in_words(commitment.span, commitment.time_zone)
    if not share.is_whole:
        words += f", {share_in_words(share)}"
    agreed = step(
        "commitment",
        f"{words} = {shortened(owed)} {code}",
        {
            "commitment": commitment.amount,
            "part": share.numerator,
            "whole": share.denominator,
            "amount": owed,
        },
    )
    lack = step(
        "commitment",
        f"{shortened(owed)} less {shortened(commitment.charged_before)} on earlier invoices and "
        f"{shortened(here)} on this one",
        {
            "commitment": owed,
            "charged_before": commitment.charged_before,
            "charged_here": here,
            "lacking": lacking,
        },
    )
    steps = (agreed, lack, explanation.unrounded(lacking, code))
    return _line("true_up", "Commitment, shortfall", lacking, currency, steps)


def _line(
    kind: LineKind,
    label: str,
    amount: Decimal,
    currency: Currency,
    steps: tuple[explanation.Step, ...],
) -> UnroundedLine:
    return UnroundedLine(
        label=label,
        unrounded=amount,
        currency=currency,
        steps=steps,
        kind=kind,
    )
