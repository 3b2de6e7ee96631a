"""Which characters a document can show. PDF/A has no room for one without a glyph."""

import json
import unicodedata
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final

import typst
from django.conf import settings

# Latin, Greek, Cyrillic and Hebrew; Arabic, Armenian and Georgian; Devanagari. All are typst's own.
_TEXT: Final = "Libertinus Serif"
_EMBEDDED: Final = ("DejaVu Sans Mono", "New Computer Modern")
_FONT_SUFFIXES: Final = frozenset({".otc", ".otf", ".ttc", ".ttf"})
_MISSING: Final = "\ufffd"
# Marks that order and join letters have no glyph and need none.
_INVISIBLE: Final = frozenset("\u200c\u200d\u200e\u200f\u2066\u2067\u2068\u2069")
_PROBE: Final = b"#set text(font: json(bytes(sys.inputs.fonts)))\n#text(sys.inputs.shown)"


@lru_cache(maxsize=1)
def fonts() -> typst.Fonts:
    """typst's own and those of DOCUMENT_FONTS, never those of the machine: a document must come
    out alike wherever it is made."""
    folder: Path = settings.DOCUMENT_FONTS
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=True,
        font_paths=[folder] if folder.is_dir() else [],
    )


@lru_cache(maxsize=1)
def fonts_digest() -> str:
    """Differs where the operator's fonts do: a document that is drawn with others is another."""
    digest = sha256()
    folder: Path = settings.DOCUMENT_FONTS
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _FONT_SUFFIXES and path.is_file():
            with path.open("rb") as file:
                digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """In the order in which a glyph is looked for: the operator's own come before the embedded
    ones that are made for something else than text."""
    own = sorted(set(fonts().families()).difference(_EMBEDDED, [_TEXT, "New Computer Modern Math"]))
    return (_TEXT, *own, *_EMBEDDED)


def shown(text: str) -> str:
    """`text` with a replacement character for each that no font has, and without control
    characters."""
    return "".join(each if has_glyph(each) else _MISSING for each in readable(text))


def not_shown(text: str) -> str:
    """The characters of `text` that no font has, each once."""
    return "".join(dict.fromkeys(each for each in readable(text) if not has_glyph(each)))


def readable(text: str) -> str:
    """`text`, composed, without control characters."""
    return "".join(map(_kept, unicodedata.normalize("NFC", text)))


def _kept(character: str) -> str:
    if character in _INVISIBLE or character == "\n":
        return character
    category = unicodedata.category(character)
    if category in {"Zl", "Zp"}:
        return " "
    return "" if category.startswith("C") else character


def has_glyph(character: str) -> bool:
    # Libertinus has all of Latin-1, and most texts are made of nothing else.
    return character < "\u0100" or character in _INVISIBLE or _is_drawn(character)


@lru_cache(maxsize=8_192)
def _is_drawn(character: str) -> bool:
    try:
        typst.compile(
            _PROBE, format="pdf", pdf_standards=["a-3b"], timestamp=0, font_paths=fonts(),
            sys_inputs={"shown": character, "fonts": json.dumps(families())},
        )  # fmt: skip
    except typst.TypstError:
        return False
    return True
