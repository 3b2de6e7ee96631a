"""The style sheet's colours can be read by people who see less contrast (WCAG 2.2, AA)."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[2] / "portal" / "styles" / "portal.css"
TEXT_RATIO, GRAPHIC_RATIO = 4.5, 3


def tokens(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.S)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
class TestColours:
    @pytest.mark.parametrize("text", ["text", "muted", "accent", "warn", "good", "bad"])
    @pytest.mark.parametrize("ground", ["page", "surface"])
    def test_of_text_stand_out(self, scheme: str, text: str, ground: str) -> None:
        colours = tokens(scheme)
        assert contrast(colours[text], colours[ground]) >= TEXT_RATIO

    @pytest.mark.parametrize(
        ("text", "ground"), [("text", "warn-soft"), ("bad", "bad-soft"), ("accent", "accent-soft")]
    )
    def test_of_notes_stand_out(self, scheme: str, text: str, ground: str) -> None:
        colours = tokens(scheme)
        assert contrast(colours[text], colours[ground]) >= TEXT_RATIO

    @pytest.mark.parametrize("series", [f"s{number}" for number in range(6)])
    def test_of_bars_and_fields_stand_out(self, scheme: str, series: str) -> None:
        colours = tokens(scheme)
        assert contrast(colours[series], colours["surface"]) >= GRAPHIC_RATIO
