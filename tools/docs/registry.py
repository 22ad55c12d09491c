"""The registry's entry, ``server.json``: what in it follows from ``pyproject.toml`` and ``settings.py``.

Which variables it names is decided in ``server.json`` itself: hosts ask for every one that is listed, so it lists
what a person decides and no more.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr

from sora2_mcp.settings import PREFIX, Settings
from tools.docs.files import PROJECT, REPOSITORY, ROOT, VERSION

ENTRY = ROOT / "server.json"
REQUIRED: set[str] = set()

_FORMATS: dict[Any, str] = {bool: "boolean", int: "number", float: "number", Path | None: "filepath"}

Entry = dict[str, Any]


def entry() -> Entry:
    """The entry as it is."""
    found: Entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    return found


def filled_in(document: Entry) -> Entry:
    """The entry as it should be."""
    assets = f"https://raw.githubusercontent.com/sora2-mcp/sora2-mcp/v{VERSION}/packaging"
    identifiers = {
        "pypi": {"identifier": PROJECT["name"], "version": VERSION},
        "oci": {"identifier": f"ghcr.io/sora2-mcp/sora2-mcp:{VERSION}"},
        "mcpb": {"identifier": f"{REPOSITORY}/releases/download/v{VERSION}/sora2-mcp-{VERSION}.mcpb"},
    }
    document = {**document, "version": VERSION, "description": PROJECT["description"]}
    document["icons"] = [{**icon, "src": f"{assets}/{Path(icon['src']).name}"} for icon in document["icons"]]
    document["packages"] = [{**package, **identifiers[package["registryType"]]} for package in document["packages"]]
    for package in document["packages"]:
        if asked := package.get("environmentVariables"):
            package["environmentVariables"] = [_described(variable["name"]) for variable in asked]
    return document


def _described(variable: str) -> Entry:
    """What ``settings.py`` says of a variable, as the registry spells it."""
    name = variable.removeprefix(PREFIX).lower()
    field = Settings.model_fields[name]
    said: Entry = {"name": variable, "description": field.description}
    if variable in REQUIRED:
        said["isRequired"] = True
    if field.annotation is SecretStr:
        said["isSecret"] = True
    if field.annotation in _FORMATS:
        said["format"] = _FORMATS[field.annotation]
    if get_origin(field.annotation) is Literal:
        said["choices"] = list(get_args(field.annotation))
    if isinstance(field.default, bool | int | float) or (isinstance(field.default, str) and field.default):
        said["default"] = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    if not said.keys() & {"format", "choices"}:
        said["placeholder"] = Settings.allowed[name]
    return said
