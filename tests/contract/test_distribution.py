"""What is built and from what: the wheel, the source archive, the locks, the registry's entry as it is published."""

import json
import re
import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from jsonschema import Draft7Validator

from tests.contract.test_server_json import SCHEMA
from tools.docs.files import PROJECT, REPOSITORY, ROOT, VERSION
from tools.docs.registry import entry

WHEEL = f"sora2_mcp-{VERSION}-py3-none-any.whl"
SOURCE = f"sora2_mcp-{VERSION}.tar.gz"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def metadata(folder: Path) -> Message:
    with ZipFile(folder / WHEEL) as wheel:
        return Parser().parsestr(wheel.read(f"sora2_mcp-{VERSION}.dist-info/METADATA").decode())


def files(folder: Path) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file()}


def pins(name: str) -> set[str]:
    """The pinned packages of a lock; each must have a hash."""
    text = (ROOT / "requirements" / name).read_text()
    found = re.findall(r"^([A-Za-z0-9._-]+==[^\s;]+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(found) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE))
    return set(found)


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with ZipFile(built / WHEEL) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {name for name in files(ROOT / "sora2_mcp") if "__pycache__" not in name}


def test_the_source_archive_holds_all_it_takes_to_build_test_and_package(built: Path) -> None:
    with tarfile.open(built / SOURCE) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    kept = {"sora2_mcp", "tests", "docs", "bench", "requirements", "packaging", "tools"}
    kept |= {"Makefile", "Dockerfile", ".dockerignore", "server.json", "README.md", "LICENSE", "pyproject.toml"}
    assert kept <= {name.partition("/")[0] for name in names}
    assert {"packaging/mcpb/manifest.json", "packaging/package-lock.json", "packaging/icon.png"} <= names
    assert [name for name in names if re.search(r"__pycache__|node_modules|\.venv|^dist/|^build/|\.mcpb$", name)] == []


def test_people_find_everything_from_the_packages_page(built: Path) -> None:
    found = metadata(built)
    urls = dict(line.split(", ", 1) for line in found.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues"}
    assert [url for url in urls.values() if not url.startswith(REPOSITORY)] == []
    # The registry looks for the mark on that page.
    assert f"<!-- mcp-name: {entry()['name']} -->" in str(found.get_payload())
    assert (found["Summary"], found["License-Expression"]) == (PROJECT["description"], "MIT")


def test_every_python_that_is_promised_is_named() -> None:
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_what_a_container_runs_is_what_was_tested() -> None:
    assert pins("run.txt") <= pins("dev.txt")


def test_locks_hold_hashes_and_no_addresses() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock
    packages: dict[str, Any] = json.loads((ROOT / "packaging" / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if name and not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
    wanted = json.loads((ROOT / "packaging" / "package.json").read_text())["devDependencies"]
    assert wanted == {"@anthropic-ai/mcpb": packages["node_modules/@anthropic-ai/mcpb"]["version"]}


def stamp(bundle: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, ROOT / "packaging" / "release.py", bundle]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_published_entry_is_the_committed_one_with_the_hash_of_the_packed_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / f"sora2-mcp-{VERSION}.mcpb"
    bundle.write_bytes(b"a bundle")
    assert stamp(bundle).returncode == 0
    published = json.loads((tmp_path / "server.json").read_text())
    assert [error.message for error in Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(published)] == []
    hashes = {package["registryType"]: package.pop("fileSha256", None) for package in published["packages"]}
    assert hashes == {"pypi": None, "oci": None, "mcpb": sha256(b"a bundle").hexdigest()}
    assert published == entry()


def test_a_bundle_of_another_name_is_not_published(tmp_path: Path) -> None:
    bundle = tmp_path / "sora2-mcp-9.9.9.mcpb"
    bundle.write_bytes(b"a bundle")
    refused = stamp(bundle)
    assert refused.returncode == 1
    assert "names no package sora2-mcp-9.9.9.mcpb" in refused.stderr
    assert not (tmp_path / "server.json").exists()


def test_no_version_is_allowed_that_has_a_hole_we_know_of() -> None:
    rows = re.findall(r"^\| ([\w, ]+) \| ([\d.]+) \| .*\|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    held = {name: bound for names, bound in rows for name in names.split(", ")}
    allowed = dict(re.findall(r"([a-z0-9]+)(?:\[\w+\])?>=([\d.]+)", " ".join(PROJECT["dependencies"])))

    assert held.keys() == {"httpx2", "httpcore2", "pyjwt", "starlette"}
    assert {name: allowed[name] for name in held} == held
