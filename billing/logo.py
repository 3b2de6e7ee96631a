"""A tenant's logo, made safe to draw: SVG of shapes and colours alone.

What could run, load or hide something (scripts, styles, links, images, text, filters, reuse of
other parts, entities) is taken out; a file that is no SVG, or too large a one, is refused.
"""

import re
from functools import lru_cache
from typing import Final

import typst
from lxml import etree

BYTES_MAX: Final = 200_000
ELEMENTS_MAX: Final = 5_000
_SVG: Final = "http://www.w3.org/2000/svg"
_SHAPES: Final = (
    "svg g path rect circle ellipse line polyline polygon defs linearGradient radialGradient stop "
    "clipPath title desc"
)
_ATTRIBUTES: Final = (
    "id class transform viewBox preserveAspectRatio width height x y x1 y1 x2 y2 cx cy r rx ry fx "
    "fy d points offset gradientUnits gradientTransform spreadMethod clipPathUnits clip-path "
    "clip-rule color fill fill-opacity fill-rule opacity stop-color stop-opacity stroke "
    "stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit "
    "stroke-opacity stroke-width display visibility version style"
)
# A value may point to a gradient or clip path of this file, and to nothing else.
_POINTS_OUT: Final = re.compile(
    r"(?i)url\s*\(\s*['\"]?(?!#[\w.-]+['\"]?\s*\))|@|\\|javascript:|data:"
)

_DRAWING: Final = b'#image(bytes(sys.inputs.svg), format: "svg")'


class LogoNotUsable(ValueError):
    """The file is not an SVG that documents can show."""


# An invoice after the other has the same one.
@lru_cache(maxsize=16)
def clean_logo(svg: str) -> str:
    """The drawing with its shapes alone. Raises LogoNotUsable."""
    if len(svg.encode()) > BYTES_MAX:
        raise LogoNotUsable(f"the logo is larger than {BYTES_MAX:,} bytes")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
        remove_pis=True, huge_tree=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(svg.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise LogoNotUsable(f"the logo is not XML: {error}") from error
    if root.tag != f"{{{_SVG}}}svg":
        raise LogoNotUsable(f"the logo's root is not an SVG element in {_SVG}")
    elements = list(root.iter())
    if len(elements) > ELEMENTS_MAX:
        raise LogoNotUsable(f"the logo has more than {ELEMENTS_MAX:,} elements")
    for element in elements:
        _keep_shape(element)
    etree.cleanup_namespaces(root)
    clean: str = etree.tostring(root, encoding="unicode")
    _draw(clean)
    return clean


def _draw(svg: str) -> None:
    """Sizes and coordinates can be such that there is nothing to draw, and then no document."""
    try:
        typst.compile(_DRAWING, format="svg", timestamp=0, sys_inputs={"svg": svg})
    except typst.TypstError as error:
        raise LogoNotUsable(f"the logo cannot be drawn: {error}") from error


def _keep_shape(element: etree._Element) -> None:
    name = etree.QName(element) if isinstance(element.tag, str) else None
    if name is None or name.namespace != _SVG or name.localname not in _SHAPES.split():
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)
        return
    for attribute, value in list(element.attrib.items()):
        if attribute not in _ATTRIBUTES.split() or _POINTS_OUT.search(str(value)):
            del element.attrib[attribute]
