"""The head's entries for templates."""

from django import template

from portal.navigation import Entry, entries

register = template.Library()


@register.simple_tag
def navigation(section: str) -> list[Entry]:
    """On a page of `section`; a page that is of none gives nothing."""
    return entries(section)
