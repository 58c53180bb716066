"""What the documents point at exists: linked files, and the modules of the commands that print their figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *(each for top in ("docs", "models", "tests", "deploy") for each in ROOT.joinpath(top).rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
COMMAND = re.compile(r"python -m ((?:evaluation|offline|services|shiwu|tests)(?:\.\w+)*)")


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request):
    return request.param


def test_links_lead_to_files(document):
    links = [each for each in LINK.findall(document.read_text()) if "://" not in each]
    assert [each for each in links if not (document.parent / each).exists()] == []


def test_commands_name_modules(document):
    modules = [ROOT / each.replace(".", "/") for each in COMMAND.findall(document.read_text())]
    assert [each for each in modules if not (each.with_suffix(".py").exists() or (each / "__main__.py").exists())] == []
