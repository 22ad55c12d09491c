"""The README stays true. ``python -m tests.contract.test_readme`` writes its generated parts anew."""

import json
import re

from sora2_mcp.cli.arguments import parse
from sora2_mcp.settings import Settings, variable_of
from tests.contract.documents import ROOT
from tests.contract.pages.marks import fill_all
from tests.contract.pages.tools import catalogue

README = ROOT / "README.md"


def console_lines() -> list[str]:
    """Every command line the README shows."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_every_variable_the_readme_names_exists() -> None:
    named = set(re.findall(r"SORA2_[A-Z_]+", README.read_text()))
    assert named <= {variable_of(name) for name in Settings.model_fields}


def test_every_resource_and_prompt_is_named() -> None:
    text = README.read_text()
    found = catalogue()
    for uri in [resource["uri"] for resource in found["resources"]]:
        assert uri in text
    for template in [template["uriTemplate"] for template in found["resourceTemplates"]]:
        assert template in text
    for prompt in found["prompts"]:
        assert prompt["name"] in text


def test_every_command_line_the_readme_shows_is_understood() -> None:
    shown = [line.removeprefix("sora2-mcp ") for line in console_lines() if line.startswith("sora2-mcp ")]
    assert len(shown) >= 5
    for line in shown:
        words = [word.strip('"') for word in re.findall(r'"[^"]+"|\S+', line)]
        assert parse(words).command in ("serve", "generate", "tasks", "client-config", "doctor")


def test_every_make_target_and_document_the_readme_names_exists() -> None:
    targets = {line.split()[-1] for line in console_lines() if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text()
    assert targets == {
        *("demo", "test", "check", "postgres", "conformance", "hosts", "package", "wheel-check", "bench", "soak")
    }
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    for document in re.findall(r"\]\((docs/[^)]+)\)", README.read_text()):
        assert (ROOT / document).is_file()


def test_the_json_the_readme_shows_is_json() -> None:
    for block in re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL):
        json.loads(block)


if __name__ == "__main__":
    fill_all()
