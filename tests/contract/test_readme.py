"""The README stays true. ``python -m tests.contract.test_readme`` writes its generated parts anew."""

import json
import re
from pathlib import Path
from typing import Any

from sora2_mcp.cli.arguments import parse
from sora2_mcp.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CATALOGUE = Path(__file__).parent / "catalogue.json"


def catalogue() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CATALOGUE.read_text())
    return found


def tool_table() -> str:
    """One row for each tool: its purpose and its parameters, required ones in bold."""
    rows = ["| tool | what it does | parameters |", "| --- | --- | --- |"]
    for tool in catalogue()["tools"]:
        schema = tool["inputSchema"]
        names = [
            f"**{name}**" if name in schema.get("required", []) else f"{name} = `{json.dumps(parameter['default'])}`"
            for name, parameter in schema["properties"].items()
        ]
        purpose = re.split(r"(?<=[a-z)])\. ", tool["description"])[0]
        rows.append(f"| `{tool['name']}` | {purpose}. | {', '.join(names)} |")
    return "\n".join(rows)


def settings_table() -> str:
    """One row for each variable: what it means, what is allowed, its default."""
    rows = ["| variable | what it sets | allowed | default |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if hasattr(field.default, "get_secret_value") else field.default
        shown = int(default) if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else default
        cell = "" if shown in ("", None) else f"`{shown}`"
        rows.append(f"| `{variable_of(name)}` | {field.description} | {Settings.allowed[name]} | {cell} |")
    return "\n".join(rows)


def filled_in(text: str) -> str:
    """The text with its generated parts as they should be."""
    for name, table in (("tools", tool_table()), ("settings", settings_table())):
        before, begin, rest = text.partition(f"<!-- {name}:begin")
        mark, _, rest = rest.partition("\n")
        _, end, after = rest.partition(f"<!-- {name}:end -->")
        text = f"{before}{begin}{mark}\n{table}\n{end}{after}"
    return text


def console_lines() -> list[str]:
    """Every command line the README shows."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_the_generated_tables_are_up_to_date() -> None:
    text = README.read_text()
    assert "generate_video" in tool_table()
    assert filled_in(text) == text


def test_every_variable_the_readme_names_exists() -> None:
    named = set(re.findall(r"SORA2_[A-Z_]+", README.read_text()))
    assert named == {variable_of(name) for name in Settings.model_fields}


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
        assert parse(words).command in ("serve", "generate", "tasks")


def test_every_make_target_and_document_the_readme_names_exists() -> None:
    targets = {line.split()[-1] for line in console_lines() if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text()
    assert targets == {"demo", "test", "hosts", "check", "bench", "soak"}
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    for document in re.findall(r"\]\((docs/[^)]+)\)", README.read_text()):
        assert (ROOT / document).is_file()


def test_the_json_the_readme_shows_is_json() -> None:
    for block in re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL):
        json.loads(block)


if __name__ == "__main__":
    README.write_text(filled_in(README.read_text()))
