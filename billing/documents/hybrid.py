"""The PDF with its electronic invoice inside: Factur-X, ZUGFeRD 2, profile EN 16931."""

import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import facturx

from billing.documents.cii import cii
from billing.documents.document import InvoiceDocument
from billing.documents.en16931 import NoEInvoice
from billing.documents.glyphs import readable
from billing.documents.pdf import pdf
from billing.documents.texts import language_of, words

# The library stamps the file with the clock. Both forms are as long as what they are replaced by,
# so that nothing in the file moves.
_PDF_TIME: Final = re.compile(rb"(\(D(?::|\\072))\d{14}(?=(?:\+|\\053)00)")
_XMP_TIME: Final = re.compile(
    rb"(<xmp:(?:Create|Modify)Date>)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00(</xmp:)"
)


def hybrid_pdf(document: InvoiceDocument) -> bytes:
    """The PDF with factur-x.xml in it; without, where EN 16931 cannot express the document."""
    try:
        xml = cii(document)
    except NoEInvoice:
        return pdf(document)
    name = words(language_of(document.language))[document.kind]
    title = readable(f"{document.seller.name}: {name} {document.reference}")
    metadata = {
        "author": readable(document.seller.name),
        "keywords": "Factur-X",
        "title": title,
        "subject": title,
    }
    language = language_of(document.language)
    return _at(_embedded(pdf(document), xml, metadata, language), document.issued_at)


def _embedded(plain: bytes, xml: bytes, metadata: dict[str, str], language: str) -> bytes:
    """Written to a path of its own: into the file that it was given, the library would append."""
    with TemporaryDirectory(prefix="hostmeter-") as folder:
        path = Path(folder) / "invoice.pdf"
        facturx.generate_from_file(
            BytesIO(plain),
            xml,
            flavor="factur-x",
            level="en16931",
            check_xsd=False,
            check_schematron=False,
            pdf_metadata=metadata,
            lang=language,
            output_pdf_file=str(path),
            afrelationship="alternative",
            xmp_compression=False,
        )
        return path.read_bytes()


def _at(made: bytes, moment: datetime) -> bytes:
    """The file as if it had been made at `moment`, so that it is the same each time."""
    utc = moment.astimezone(UTC)
    made = _PDF_TIME.sub(rb"\g<1>" + f"{utc:%Y%m%d%H%M%S}".encode(), made)
    return _XMP_TIME.sub(rb"\g<1>" + f"{utc:%Y-%m-%dT%H:%M:%S}+00:00".encode() + rb"\g<2>", made)
