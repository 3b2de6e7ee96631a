"""Pages of the admin that show figures of some days (templates/admin/hostmeter/figures.html)."""

from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from unfold.widgets import UnfoldAdminSingleDateWidget

Table = tuple[str, dict[str, Any]]
"""A heading, and what the page's table component takes."""


IN_REACH = (MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2199, 12, 31)))
"""For a field of a day: as the API's instants."""


class DaysForm(forms.Form):
    """Days of the tenant's time zone, both included."""

    days_max: ClassVar[int] = 400

    first = forms.DateField(label="From", validators=IN_REACH, widget=UnfoldAdminSingleDateWidget)
    last = forms.DateField(label="To", validators=IN_REACH, widget=UnfoldAdminSingleDateWidget)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last and not 0 <= (last - first).days < self.days_max:
            self.add_error("last", f"Choose 1 to {self.days_max} days, the first one first.")
        return data

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The midnights that begin the first day and end the last."""
        days = self.cleaned_data
        return midnight(days["first"]), midnight(days["last"] + timedelta(days=1))


def midnight(day: date) -> datetime:
    """When the day begins in the tenant's time zone."""
    return datetime.combine(day, time.min, timezone.get_current_timezone())
