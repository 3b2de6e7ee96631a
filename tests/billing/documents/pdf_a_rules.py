"""What PDF/A-3b (ISO 19005-3) and Factur-X ask of a file, as far as its objects tell. A validator
knows more; this is what a new edition of typst, pypdf or factur-x could break."""

import io
from collections.abc import Iterator
from typing import Any, Final

import pypdf
from lxml import etree
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    StreamObject,
)

_NAMESPACES: Final = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "pdfaid": "http://www.aiim.org/pdfa/ns/id/",
    "schema": "http://www.aiim.org/pdfa/ns/schema#",
    "property": "http://www.aiim.org/pdfa/ns/property#",
    "fx": "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#",
}
_FORBIDDEN: Final = {
    "/AA", "/JavaScript", "/JS", "/Launch", "/Movie", "/OPI", "/PS", "/Ref", "/Sound", "/TR",
    "/XFA",
}  # fmt: skip
_RELATIONS: Final = {"/Source", "/Data", "/Alternative", "/Supplement", "/Unspecified"}


def broken_pdf_a_rules(made: bytes) -> list[str]:
    """What is wrong with the file; nothing of a valid one."""
    reader = pypdf.PdfReader(io.BytesIO(made))
    root: Any = reader.trailer["/Root"]
    objects = list(_objects(reader.trailer))
    return [
        *_file(made, reader),
        *_catalog(root),
        *(error for each in objects for error in _object(each)),
        *_metadata(root["/Metadata"], reader),
        *_attachments(root, objects),
    ]


def _objects(trailer: DictionaryObject) -> Iterator[DictionaryObject]:
    """Every dictionary and stream that the file reaches, once."""
    seen: set[Any] = set()
    waiting: list[Any] = [trailer]
    while waiting:
        each = waiting.pop()
        if isinstance(each, IndirectObject):
            if each.idnum in seen:
                continue
            seen.add(each.idnum)
            each = each.get_object()
        if isinstance(each, DictionaryObject):
            yield each
            waiting += [each.raw_get(name) for name in each]
        elif isinstance(each, ArrayObject):
            waiting += list(each)


def _file(made: bytes, reader: pypdf.PdfReader) -> Iterator[str]:
    head, comment = made.split(b"\n")[:2]
    if not head.startswith(b"%PDF-1.") or sum(byte > 127 for byte in comment) < 4:
        yield "the header is not that of a binary PDF 1"
    if len(reader.trailer.get("/ID", [])) != 2:
        yield "the file has no identifier"
    if "/Encrypt" in reader.trailer:
        yield "the file is encrypted"
    if made.rstrip()[-5:] != b"%%EOF" or made.count(b"%%EOF") != 1:
        yield "the file was written in parts"


def _catalog(root: Any) -> Iterator[str]:
    (intent,) = root["/OutputIntents"]
    profile = intent.get_object()["/DestOutputProfile"]
    if intent.get_object()["/S"] != "/GTS_PDFA1" or b"acsp" not in profile.get_data()[:64]:
        yield "there is no colour profile that all colours are meant in"
    if "/Filter" in root["/Metadata"]:
        yield "the metadata cannot be read without unpacking them"
    if "/OpenAction" in root or "/OCProperties" in root:
        yield "the file acts, or has parts that can be hidden"


def _object(each: DictionaryObject) -> Iterator[str]:
    yield from (f"{name} is in it" for name in sorted(_FORBIDDEN.intersection(each)))
    if isinstance(each, StreamObject) and "LZW" in str(each.get("/Filter", "")):
        yield "a stream is packed by LZW"
    if each.get("/Type") == "/FontDescriptor" and not {"/FontFile2", "/FontFile3"} & each.keys():
        yield f"the font {each['/FontName']} is not in the file"
    if each.get("/Subtype") == "/CIDFontType2" and "/CIDToGIDMap" not in each:
        yield "a font does not say which glyph is which"
    if each.get("/Type") == "/Annot":
        yield "there is an annotation"


def _metadata(metadata: Any, reader: pypdf.PdfReader) -> Iterator[str]:
    xmp = etree.fromstring(metadata.get_data())

    def told(path: str) -> list[Any]:
        found: list[Any] = xmp.xpath(path, namespaces=_NAMESPACES)
        return [each.text for each in found]

    if told("//pdfaid:part") != ["3"] or told("//pdfaid:conformance") != ["B"]:
        yield "the file does not say that it is PDF/A-3b"
    info: Any = reader.metadata
    if told("//dc:title//rdf:li") != [info["/Title"]]:
        yield "the title is told in two ways"
    for name, date in (("Create", info.creation_date), ("Modify", info.modification_date)):
        moments = [date and date.isoformat()]
        if told(f"//xmp:{name}Date") != moments:
            yield f"the {name}Date is told in two ways"
    own = {etree.QName(each).localname for each in xmp.xpath("//fx:*", namespaces=_NAMESPACES)}
    described, schemas = told("//property:name"), told("//schema:namespaceURI")
    if own.difference(described) or (own and _NAMESPACES["fx"] not in schemas):
        yield "the metadata hold properties that no schema describes"


def _attachments(root: Any, objects: list[DictionaryObject]) -> Iterator[str]:
    related = [each.get_object() for each in root.get("/AF", [])]
    for each in objects:
        if each.get("/Type") != "/Filespec" and "/EF" not in each:
            continue
        if each not in related or each.get("/AFRelationship") not in _RELATIONS:
            yield "a file in it is related to nothing"
        if not each.get("/F") or not each.get("/UF"):
            yield "a file in it has no name"
        content: Any = each["/EF"]
        if content["/F"].get("/Subtype") != "/text/xml" or not content["/F"]["/Params"]["/ModDate"]:
            yield "a file in it does not say what it is and of when"
