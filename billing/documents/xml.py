"""Building XML whose elements stand in the order of their schema."""

from collections.abc import Mapping
from typing import Final

from lxml import etree

# XML has no way to write these.
_UNWRITABLE: Final = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF])


class Branch:
    """An element, and what is put below it by names such as "ram:ID"."""

    def __init__(self, element: etree._Element, namespaces: Mapping[str, str]) -> None:
        self.element = element
        self._namespaces = namespaces

    @classmethod
    def root(cls, name: str, namespaces: Mapping[str, str]) -> "Branch":
        """The document's element; the namespace "" is the default one."""
        known = {prefix or None: uri for prefix, uri in namespaces.items()}
        return cls(etree.Element(_qualified(name, namespaces), nsmap=known), namespaces)

    def branch(self, name: str, **attributes: str) -> "Branch":
        child = etree.SubElement(self.element, _qualified(name, self._namespaces), attributes)
        return Branch(child, self._namespaces)

    def leaf(self, name: str, text: str, **attributes: str) -> None:
        """Nothing where there is no text: an element says something or is left out."""
        told = text.translate(_UNWRITABLE).strip()
        if told:
            self.branch(name, **attributes).element.text = told

    def to_bytes(self) -> bytes:
        told: bytes = etree.tostring(
            self.element, xml_declaration=True, encoding="UTF-8", pretty_print=True
        )
        return told


def _qualified(name: str, namespaces: Mapping[str, str]) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{{{namespaces[prefix]}}}{local}"
