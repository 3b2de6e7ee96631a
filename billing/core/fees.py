"""Lines that no usage has: flat fees, minimums and percentages of other lines."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO, plain, shortened
from billing.core.explanation import Step, capped, step, unrounded
from billing.core.money import sum_amounts
from billing.core.prices import Flat, Percentage
from billing.core.prices.proration import Proration
from billing.core.rating import PriceSpec, UnroundedLine, below_maximum


def recurring_line(
    price: PriceSpec, model: Flat, currency: Currency, in_use: Proration
) -> UnroundedLine:
    """A flat fee for the share of a period that is in use."""
    share = model.share(in_use)
    amount, code = share.of(model.fee), currency.code
    words = f"{plain(model.fee)} {code} a period, charged in {model.timing}"
    steps = [step("fee", words, {"fee": model.fee})]
    if not share.is_whole:
        steps.append(_prorated(model.fee, share, amount, code))
    return UnroundedLine(
        kind="recurring",
        label=price.label,
        unrounded=amount,
        currency=currency,
        price_id=price.id,
        quantity=share.of(Decimal(1)),
        unit="period",
        steps=(*steps, unrounded(amount, code)),
    )


def _prorated(amount: Decimal, share: Proration, result: Decimal, currency: str) -> Step:
    words = (
        f"In use for {share.numerator} {share.unit} of the period's {share.denominator} "
        f"{share.unit}: {plain(amount)} {currency} × {share.numerator} ÷ {share.denominator} "
        f"= {shortened(result)} {currency}"
    )
    numbers: dict[str, Decimal | int] = {
        "whole": amount,
        "numerator": share.numerator,
        "denominator": share.denominator,
        "amount": result,
    }
    return step("prorated", words, numbers)


def minimum_line(
    price: PriceSpec, charged: Decimal, currency: Currency, in_use: Proration
) -> UnroundedLine | None:
    """What the period's lines of a price, which come to `charged`, lack to its minimum, prorated;
    None if they lack nothing."""
    if price.minimum is None:
        return None
    due, code = in_use.of(price.minimum), currency.code
    if charged >= due:
        return None
    missing = EXACT.subtract(due, charged)
    steps = []
    if not in_use.is_whole:
        steps.append(_prorated(price.minimum, in_use, due, code))
    words = (
        f"At least {shortened(due)} {code}, and the price's lines come to {shortened(charged)} "
        f"{code}: {shortened(missing)} {code} are missing"
    )
    steps.append(step("minimum", words, {"minimum": due, "charged": charged, "amount": missing}))
    return UnroundedLine(
        kind="minimum",
        label=f"{price.label}: minimum",
        unrounded=missing,
        currency=currency,
        price_id=price.id,
        steps=(*steps, unrounded(missing, code)),
    )


def percentage_lines(
    price: PriceSpec, model: Percentage, bases: Iterable[UnroundedLine], currency: Currency
) -> list[UnroundedLine]:
    """A percentage of other lines: one line for each that comes above the allowance, or one for
    their total. Of nothing it is nothing, and has no line."""
    of = list(bases)
    amounts = [line.unrounded for line in of]
    if model.applies_to == "total":
        of = [UnroundedLine(label="", unrounded=sum_amounts(amounts), currency=currency)]
    lines = []
    charged = ZERO
    for line, base in zip(of, model.bases(amounts), strict=True):
        if base:
            lines.append(_percentage_line(price, model, _Base(line, base, charged)))
            charged = EXACT.add(charged, lines[-1].unrounded)
    return lines


@dataclass(frozen=True, slots=True)
class _Base:
    """A line, or the total of lines, what of it is above the allowance, and what the price has
    charged before."""

    line: UnroundedLine
    above: Decimal
    charged_before: Decimal


def _percentage_line(price: PriceSpec, model: Percentage, base: _Base) -> UnroundedLine:
    line, code = base.line, base.line.currency.code
    whole = amount = model.charge(base.above)
    steps = [_base_step(model, base, code), _percent_step(model, base.above, whole, code)]
    if price.maximum is not None:
        amount = below_maximum(price.maximum, base.charged_before, whole)
    if amount != whole and price.maximum is not None:
        steps.append(capped(price.maximum, base.charged_before, amount, code))
    return UnroundedLine(
        kind="percentage",
        label=price.label,
        unrounded=amount,
        currency=line.currency,
        price_id=price.id,
        application_id=line.application_id,
        application_name=line.application_name,
        attributes=line.attributes,
        steps=(*steps, unrounded(amount, code)),
    )


def _base_step(model: Percentage, base: _Base, currency: str) -> Step:
    of = base.line.unrounded
    what = f"Line {base.line.label}" if model.applies_to == "each" else "Lines"
    words = f"{what} of {', '.join(model.of)}: {shortened(of)} {currency}"
    if model.allowance:
        words += (
            f", less {plain(model.allowance)} {currency} that are free: "
            f"{shortened(base.above)} {currency}"
        )
    return step("base", words, {"of": of, "allowance": model.allowance, "base": base.above})


def _percent_step(model: Percentage, base: Decimal, amount: Decimal, currency: str) -> Step:
    words = (
        f"{plain(model.percent)} % of {shortened(base)} {currency} = {shortened(amount)} {currency}"
    )
    return step("percentage", words, {"percent": model.percent, "base": base, "amount": amount})
