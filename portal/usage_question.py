"""What the usage explorer is asked: all of it stands in the address, nothing is kept elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Literal, cast
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from hostmeter_agent.wire import METERS

from billing.core.periods import Period
from metering.usage_points import Key, Part

Step = Literal["5m", "hour", "day", "month"]
Grouping = Literal["environment", "application", "instance", "host", "meter"]

# So many bars can be told from each other, and read quickly.
DAYS_MAX: Final[Mapping[str, int]] = {"5m": 1, "hour": 14, "day": 400, "month": 1_100}
# Only 5-minute figures know instances and hosts.
_FINE_DAYS_MAX: Final = 31
_FINE_DAYS_MAX_OF_ALL: Final = 2
_DAYS_AGO_MAX: Final = 3_660
_DAY: Final = timedelta(days=1)
STEPS: Final[tuple[tuple[str, Promise], ...]] = (
    ("5m", _("5 minutes")),
    ("hour", _("Hour")),
    ("day", _("Day")),
    ("month", _("Month")),
)
GROUPINGS: Final[tuple[tuple[str, Promise], ...]] = (
    ("environment", _("Environment")),
    ("application", _("Application")),
    ("instance", _("Instance")),
    ("host", _("Host")),
    ("meter", _("Meter")),
)
COMPARISONS: Final[tuple[tuple[str, Promise], ...]] = (
    ("", _("Nothing")),
    ("previous", _("The time before")),
    ("month", _("The same days a month earlier")),
    ("custom", _("The time from …")),
)


@dataclass(frozen=True, slots=True)
class Question:
    """Usage of one meter on the local days `first` to `last`, both included."""

    meter: str
    first: date
    last: date
    step: Step
    group: Grouping
    compare: str = ""
    compare_from: date | None = None
    environment: UUID | None = None
    application: UUID | None = None
    instance: UUID | None = None
    host: UUID | None = None

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def part(self) -> Part:
        return Part(self.instance, self.host)

    @property
    def key(self) -> Key | None:
        """What its rows are of; None for meters."""
        return None if self.group == "meter" else self.group

    def period(self, zone: ZoneInfo) -> Period:
        return Period(*(_midnight(day, zone) for day in (self.first, self.last + _DAY)))

    def earlier(self) -> "Question | None":
        """What it is compared with: as many days."""
        begins = {
            "previous": self.first - self.days * _DAY,
            "month": _month_before(self.first),
            "custom": self.compare_from,
        }.get(self.compare)
        if begins is None:
            return None
        return replace(self, first=begins, last=begins + (self.days - 1) * _DAY, compare="")

    def but(self, **changed: Any) -> str:
        """The address of the question that differs so."""
        return f"?{replace(self, **changed).query}"

    @property
    def query(self) -> str:
        said = {
            "meter": self.meter, "from": self.first, "to": self.last, "bucket": self.step,
            "group": self.group, "compare": self.compare, "compare_from": self.compare_from,
            "environment": self.environment, "application": self.application,
            "instance": self.instance, "host": self.host,
        }  # fmt: skip
        return urlencode({name: str(value) for name, value in said.items() if value})


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _month_before(day: date) -> date:
    """The same day a month earlier, or the last one of that month."""
    last_before = day.replace(day=1) - _DAY
    return last_before.replace(day=min(day.day, last_before.day))


class QuestionForm(forms.Form):
    """Reads a question from an address. What is left out is said by `initial`."""

    meter = forms.ChoiceField(label=_("Meter"))
    first = forms.DateField(label=_("From"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    last = forms.DateField(label=_("To"), widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    step = forms.ChoiceField(label=_("Each bar"), choices=STEPS)
    group = forms.ChoiceField(label=_("By"), choices=GROUPINGS)
    compare = forms.ChoiceField(label=_("Compare with"), choices=COMPARISONS, required=False)
    compare_from = forms.DateField(
        label=_("Compare from"),
        required=False,
        widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"),
    )
    environment = forms.UUIDField(required=False, widget=forms.HiddenInput)
    application = forms.UUIDField(required=False, widget=forms.HiddenInput)
    instance = forms.UUIDField(required=False, widget=forms.HiddenInput)
    host = forms.UUIDField(required=False, widget=forms.HiddenInput)

    _NAMES: Final = {"first": "from", "last": "to", "step": "bucket"}

    def __init__(self, data: Mapping[str, str], meters: list[str], default: Question) -> None:
        said = {
            "meter": default.meter, "from": default.first.isoformat(),
            "to": default.last.isoformat(), "bucket": default.step, "group": default.group,
        }  # fmt: skip
        super().__init__(said | {name: value for name, value in data.items() if value})
        self.today = default.last
        field = cast(forms.ChoiceField, self.fields["meter"])
        field.choices = [(meter, meter) for meter in meters]
        for each in ("first", "last", "compare_from"):
            self.fields[each].widget.attrs["max"] = self.today.isoformat()

    def add_prefix(self, field_name: str) -> str:
        return self._NAMES.get(field_name, field_name)

    @property
    def shown(self) -> list[forms.BoundField]:
        return self.visible_fields()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last, step = (cleaned.get(name) for name in ("first", "last", "step"))
        if first is None or last is None or step is None:
            return cleaned
        days = (last - first).days + 1
        if days < 1:
            self.add_error("last", gettext("It lies before the first day."))
        elif days > DAYS_MAX[step]:
            self.add_error("step", _too_long(DAYS_MAX[step]))
        elif self._is_fine(cleaned) and days > (most := self._fine_days_max(cleaned)):
            reason = gettext(
                "Instances and hosts are told of a short time: choose less, or one application."
            )
            self.add_error("group", f"{reason} {_too_long(most)}")
        for name in ("first", "last", "compare_from"):
            self._require_near(name, cleaned.get(name))
        if cleaned.get("compare") == "custom" and not cleaned.get("compare_from"):
            self.add_error("compare_from", gettext("Say from when on."))
        return cleaned

    def _is_fine(self, cleaned: Mapping[str, Any]) -> bool:
        of_one = cleaned.get("instance") or cleaned.get("host")
        return cleaned.get("group") in {"instance", "host"} or of_one is not None

    def _fine_days_max(self, cleaned: Mapping[str, Any]) -> int:
        return _FINE_DAYS_MAX if cleaned.get("application") else _FINE_DAYS_MAX_OF_ALL

    def _require_near(self, name: str, day: date | None) -> None:
        if day is not None and not -_DAYS_AGO_MAX <= (day - self.today).days <= _FINE_DAYS_MAX:
            self.add_error(name, gettext("Choose a day of the last ten years."))

    @property
    def question(self) -> Question:
        """Of a valid form."""
        return Question(**self.cleaned_data)


def _too_long(days: int) -> str:
    return ngettext(
        "With this, at most %(days)d day.", "With this, at most %(days)d days.", days
    ) % {"days": days}


def meter_names(more: list[str]) -> list[str]:
    """All that can be asked for."""
    return [*(meter.name for meter in METERS), *more]
