"""The registry's entry stays true; ``make docs`` fills in what follows from elsewhere."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft7Validator
from mcp.client import Client

import sora2_mcp
from sora2_mcp.cli.arguments import parse
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.settings import PREFIX, Settings, variable_of
from tests.servers import settings_in
from tools.docs.files import PROJECT, ROOT, VERSION, as_json
from tools.docs.registry import ENTRY, REQUIRED, Entry, entry, filled_in

SCHEMA = Path(__file__).parent / "server.schema.json"
SECRET = {"SORA2_API_KEY", "SORA2_AUTH_TOKENS"}


def packages(kind: str) -> list[Entry]:
    return [package for package in entry()["packages"] if package["registryType"] == kind]


def variables() -> list[Entry]:
    """Every environment variable of every package."""
    return [variable for package in entry()["packages"] for variable in package.get("environmentVariables", [])]


def test_the_entry_is_valid() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert entry()["$schema"] == schema["$id"]
    assert [error.message for error in Draft7Validator(schema).iter_errors(entry())] == []


def test_the_entry_is_up_to_date() -> None:
    assert ENTRY.read_text() == as_json(filled_in(entry())), "run `make docs`"


def test_it_speaks_of_this_version_of_this_package() -> None:
    document = entry()
    assert document["version"] == VERSION == sora2_mcp.__version__
    assert {(package["identifier"], package["version"]) for package in packages("pypi")} == {(PROJECT["name"], VERSION)}
    assert all(VERSION in package["identifier"] for package in [*packages("oci"), *packages("mcpb")])
    assert len(document["description"]) <= 100


def test_the_readme_the_image_and_the_entry_name_the_same_server() -> None:
    name = entry()["name"]
    assert name == "io.github.sora2-mcp/sora2-mcp"
    assert re.findall(r"<!-- mcp-name: (\S+) -->", (ROOT / "README.md").read_text()) == [name]
    labels = re.findall(r'io\.modelcontextprotocol\.server\.name="([^"]*)"', (ROOT / "Dockerfile").read_text())
    assert labels == [name]


def test_every_way_to_run_it_is_offered_the_simplest_first() -> None:
    offered = [(package["registryType"], package["transport"]["type"]) for package in entry()["packages"]]
    # VS Code takes the first package of a kind, whatever its transport.
    assert offered == [("pypi", "stdio"), ("pypi", "streamable-http"), ("oci", "stdio"), ("mcpb", "stdio")]


def test_packages_have_the_fields_the_registry_takes_and_no_others() -> None:
    # It refuses these at publishing, long after the schema has let them pass.
    for package in [*packages("oci"), *packages("mcpb")]:
        assert not package.keys() & {"version", "registryBaseUrl"}
    for package in packages("oci"):
        assert re.fullmatch(r"ghcr\.io/[a-z0-9-]+/[a-z0-9-]+:[0-9][0-9A-Za-z.-]*", package["identifier"])
    for package in packages("mcpb"):
        assert re.fullmatch(
            r"https://github\.com/[^/]+/[^/]+/releases/download/v[^/]+/[^/]+\.mcpb", package["identifier"]
        )


def test_the_committed_entry_claims_no_hash_of_a_bundle_that_is_not_packed_yet() -> None:
    assert not [package for package in entry()["packages"] if "fileSha256" in package]


def test_every_variable_is_one_of_ours_and_secrets_are_marked() -> None:
    names = [variable["name"] for variable in variables()]
    assert "SORA2_API_KEY" in names
    assert set(names) <= {variable_of(field) for field in Settings.model_fields}
    for variable in variables():
        assert variable.get("isSecret", False) == (variable["name"] in SECRET), variable["name"]
        assert variable.get("isRequired", False) == (variable["name"] in REQUIRED), variable["name"]


def test_a_default_sets_what_is_so_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [variable for variable in variables() if "default" in variable]
    assert shown
    for variable in shown:
        monkeypatch.setenv(variable["name"], variable["default"])
        assert Settings.load() == Settings.model_construct(), variable["name"]


def test_every_choice_can_be_made_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [(variable["name"], variable["choices"]) for variable in variables() if "choices" in variable]
    assert "SORA2_CONFIRM" in dict(offered)
    for name, choices in offered:
        for choice in choices:
            monkeypatch.setenv(name, choice)
            assert getattr(Settings.load(), name.removeprefix(PREFIX).lower()) == choice
        monkeypatch.setenv(name, "another")
        with pytest.raises(ConfigurationError):
            Settings.load()
        monkeypatch.delenv(name)


def test_icons_are_https_and_files_of_this_repository() -> None:
    icons = entry()["icons"]
    assert {icon["mimeType"] for icon in icons} >= {"image/png"}
    for icon in icons:
        address = urlsplit(icon["src"])
        assert (address.scheme, address.netloc) == ("https", "raw.githubusercontent.com")
        assert (ROOT / address.path.removeprefix(f"/sora2-mcp/sora2-mcp/v{VERSION}/")).is_file()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_server_shows_the_icon_of_its_entry(tmp_path: Path, mode: str) -> None:
    async with Runtime(settings_in(tmp_path)) as runtime, Client(build_server(runtime), mode=mode) as client:
        assert client.server_info is not None
        (icon,) = client.server_info.icons or []
    assert icon.model_dump(by_alias=True, exclude_none=True) == entry()["icons"][0]


def test_every_variable_in_an_address_or_argument_is_declared() -> None:
    for package in entry()["packages"]:
        given = [*package.get("runtimeArguments", []), *package.get("packageArguments", [])]
        known = {variable["name"] for variable in package.get("environmentVariables", [])}
        known |= {argument[key] for argument in given for key in ("name", "valueHint") if key in argument}
        assert set(re.findall(r"\{([^}]+)\}", package["transport"].get("url", ""))) <= known
        for argument in given:
            assert set(re.findall(r"\{([^}]+)\}", argument.get("value", ""))) == argument.get("variables", {}).keys()


def test_the_arguments_start_the_server_the_address_leads_to() -> None:
    (package,) = [package for package in entry()["packages"] if package["transport"]["type"] == "streamable-http"]
    words, values = [], {}
    for argument in package["packageArguments"]:
        value = argument.get("value") or argument["default"]
        words += [argument["name"], value] if argument["type"] == "named" else [value]
        values[argument.get("name", "")] = value
    arguments = parse(words)
    assert (arguments.command, arguments.transport) == ("serve", "streamable-http")
    address = re.sub(r"\{([^}]+)\}", lambda found: values[found[1]], package["transport"]["url"])
    assert address == f"http://{arguments.host}:{arguments.port}/mcp"
