"""Everything that a page says can be read in German too."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from config.translations import catalogs
from tests import needs

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "portal/templates"
CATALOGS = [pytest.param(each, id=each.parts[-5]) for each in catalogs()]
# The same in every language, or not for readers.
SAME = re.compile(
    r"\b(PDF|XML|UBL|CII|CSV|JSON|FOCUS|ZUGFeRD|Factur-X|EN|Peppol|Hostmeter|API|URL|IBAN|BIC|"
    r"[a-z]{2}:\w+|UTC|min|GET|POST|nbsp|minus|amp|times|middot|larr|rarr|ndash|hellip|quot)\b"
)
# Programmers read English.
FOR_PROGRAMMERS = {"portal/api_reference.html", "portal/parts/api_fields.html"}


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]|\{\w*\}", text))


@pytest.mark.parametrize("path", CATALOGS)
class TestCatalog:
    def test_names_the_same_figures_in_both_languages(self, path: Path) -> None:
        with path.open("rb") as text:
            messages = [each for each in read_po(text, locale="de") if each.id]
        for message in messages:
            wanted = placeholders(message.id if isinstance(message.id, str) else message.id[1])
            assert placeholders(forms(message)[-1]) == wanted, message.id

    def test_holds_every_marked_word(self, path: Path, tmp_path: Path) -> None:
        needs.tool("xgettext", package="gettext")
        application = path.parents[3]
        copy = tmp_path / application.name
        ignored = shutil.ignore_patterns("static", "styles", "__pycache__", "migrations", "*.mo")
        shutil.copytree(application, copy, ignore=ignored)
        command = ["makemessages", "-l", "de", "--add-location=never", "--no-obsolete"]
        program = [str(Path(sys.executable).parent / "django-admin"), *command]
        # By itself, without this project's settings.
        paths = {"PATH": os.environ["PATH"]}
        subprocess.run(program, cwd=copy, env=paths, check=True, capture_output=True)
        with (copy / path.relative_to(application)).open("rb") as text:
            missing = [
                each.id for each in read_po(text, locale="de")
                if each.id and (each.fuzzy or not all(forms(each)))
            ]  # fmt: skip
        assert not missing, "translate these"


def bare_words(template: str) -> list[str]:
    """Words between the tags of a page that no translation is asked for."""
    text = re.sub(r"{#.*?#}|{% comment.*?{% endcomment %}", " ", template, flags=re.S)
    text = re.sub(r"{% blocktrans.*?{% endblocktrans\w* %}", " ", text, flags=re.S)
    text = re.sub(r"{%.*?%}|{{.*?}}", " ", text, flags=re.S)
    told = re.findall(r'\s(?:aria-label|placeholder|title|alt)="([^"]*)"', text)
    text = re.sub(r"<(style|script|code)\b.*?</\1>", " ", text, flags=re.S)
    told.append(re.sub(r"<[^>]*>", " ", text, flags=re.S))
    return [word for each in told for word in re.findall(r"[A-Za-z]{2,}", SAME.sub(" ", each))]


@pytest.mark.parametrize(
    "name",
    sorted({str(path.relative_to(PAGES)) for path in PAGES.rglob("*.html")} - FOR_PROGRAMMERS),
)
def test_a_page_has_no_words_in_english_alone(name: str) -> None:
    assert not bare_words((PAGES / name).read_text())
