"""A tenant's logo is drawn, and does nothing else."""

import pytest

from billing.logo import LogoNotUsable, clean_logo
from tests.billing.documents.samples import LOGO

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'


class TestLogo:
    def test_keeps_its_shapes_and_colours(self) -> None:
        clean = clean_logo(LOGO)
        for part in ("<rect", "<path", "<circle", "#94b5f2", 'viewBox="0 0 120 40"'):
            assert part in clean

    def test_keeps_a_gradient_of_its_own(self) -> None:
        own = '<linearGradient id="g"/><rect fill="url(#g)" width="1" height="1"/>'
        assert "url(#g)" in clean_logo(SVG.format(own))

    @pytest.mark.parametrize(
        ("part", "gone"),
        [
            ("<script>alert(1)</script>", "script"),
            ('<rect onload="alert(1)"/>', "onload"),
            ('<image href="https://other.example/x.png"/>', "image"),
            ('<image xlink:href="file:///etc/passwd"/>', "passwd"),
            ("<style>@import url(https://other.example/x.css)</style>", "import"),
            ('<rect fill="url(https://other.example/x.svg#g)"/>', "other.example"),
            ("<rect style=\"fill:url( '//other.example')\"/>", "other.example"),
            ('<foreignObject><p xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>', "foreign"),
            ('<use href="#a"/>', "use"),
            ('<a href="javascript:alert(1)"><rect/></a>', "javascript"),
            ("<text>hello</text>", "text"),
            ('<animate attributeName="x"/>', "animate"),
            ("<?xml-stylesheet href='x'?><!-- note -->", "stylesheet"),
        ],
    )
    def test_loses_what_is_no_drawing(self, part: str, gone: str) -> None:
        assert gone not in clean_logo(SVG.format(part))

    @pytest.mark.parametrize(
        ("svg", "reason"),
        [
            ("", "not XML"),
            ("<svg>", "not XML"),
            ("<html/>", "root is not an SVG"),
            (SVG.format("<g/>" * 5_001), "elements"),
            ('<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0"/>', "cannot be drawn"),
            (SVG.format("x" * 200_001), "larger than"),
            ('<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("&c;"), "not XML"),
        ],
    )
    def test_is_refused_if_it_is_none(self, svg: str, reason: str) -> None:
        with pytest.raises(LogoNotUsable, match=reason):
            clean_logo(svg)

    def test_does_not_expand_entities(self) -> None:
        bomb = '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">]>' + SVG.format("<title>&a;</title>")
        assert "aaaaaaaaaa" not in clean_logo(bomb).partition("<svg")[2]
