"""Who may run what, as rows of a form: the same list of rules as programs write it."""

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tenants.core.policies import CRITERIA, PATTERN_LENGTH_MAX, RULES_MAX, rules_reason

_SPARE_ROWS: Final = 3
_EFFECTS: Final = (("", "-"), ("allow", "may run"), ("deny", "may not run"))
_COLUMNS: Final = {
    "application": "application",
    "environment": "environment",
    "customer": "customer's reference",
}


class RulesWidget(forms.Widget):
    """A row for each rule and some to spare, in the order in which they are asked; a row without an
    effect is none. What was typed stays in its row, whether or not it can be used."""

    template_name = "admin/hostmeter/policy_rules.html"

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, str]]:
        found = []
        for number in range(1, RULES_MAX + _SPARE_ROWS + 1):
            if f"{name}-{number}-effect" not in data:
                break
            row = {each: str(data.get(f"{name}-{number}-{each}", "")) for each in CRITERIA}
            patterns = {each: text.strip() for each, text in row.items() if text.strip()}
            effect = str(data[f"{name}-{number}-effect"])
            if effect or patterns:
                place = str(data.get(f"{name}-{number}-place", ""))
                found.append((_place(place, number), {"effect": effect, **patterns}))
        return [rule for _, rule in sorted(found, key=lambda each: each[0])]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-1-effect" not in data

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        rules: list[dict[str, str]] = [*(value or []), *[{}] * _SPARE_ROWS]
        context["columns"] = ["place", "who fits", *_COLUMNS.values()]
        context["rows"] = [
            _row(name, number, rule) for number, rule in enumerate(rules[:RULES_MAX], start=1)
        ]
        return context


class RulesField(forms.Field):
    """Rules as rows. Raises ValidationError with the number of the rule that is wrong."""

    widget = RulesWidget

    def clean(self, value: Any) -> list[dict[str, str]]:
        rules: list[dict[str, str]] = value or []
        for number, rule in enumerate(rules, start=1):
            if not rule["effect"]:
                raise forms.ValidationError(f"Rule {number}: choose whether it may run.")
        if reason := rules_reason(rules):
            raise forms.ValidationError(f"{reason[0].upper()}{reason[1:]}.")
        return rules

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != (data or [])


def _place(text: str, number: int) -> tuple[int, int]:
    """Where a row is to stand; one that says nothing of use stays where it is."""
    place = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else number
    return place, number


def _row(name: str, number: int, rule: dict[str, str]) -> list[str]:
    def field(widget: forms.Widget, key: str, what: str, value: object) -> str:
        label = {"id": f"id_{name}-{number}-{key}", "aria-label": f"rule {number}: {what}"}
        html: str = widget.render(f"{name}-{number}-{key}", value, label)
        return html

    short = {"inputmode": "numeric", "size": 3, "style": "width: 4.5rem"}
    place = field(UnfoldAdminTextInputWidget(short), "place", "place", number if rule else "")
    effect = field(
        UnfoldAdminSelectWidget(choices=_EFFECTS), "effect", "effect", rule.get("effect", "")
    )
    patterns = (
        field(
            UnfoldAdminTextInputWidget({"maxlength": PATTERN_LENGTH_MAX, "placeholder": "any"}),
            each,
            words,
            rule.get(each, ""),
        )
        for each, words in _COLUMNS.items()
    )
    return [place, effect, *patterns]
