"""What is installed, and whether it fits together."""

from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.installation import faults_of_packages


def installed(folder: Path, name: str, version: str, *needs: str) -> None:
    """A package as pip leaves it, as far as its metadata goes."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    wanted = "".join(f"Requires-Dist: {need}\n" for need in needs)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: extra\n{wanted}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_everything_allowed_is_no_fault_and_is_counted_once(site: Path) -> None:
    installed(site, "zoo", "1.0", "zoo-cat>=2,<3", "zoo-dog>=1", "zoo-owl>=1; sys_platform == 'nowhere'")
    installed(site, "zoo-cat", "2.5", "zoo-dog<2")
    installed(site, "zoo-dog", "1.9", "zoo-cat")

    assert faults_of_packages("zoo") == ([], 3)


def test_what_is_too_old_too_new_or_missing_is_named_with_who_needs_it(site: Path) -> None:
    installed(site, "zoo", "1.0", "zoo-cat>=2,<3", "zoo-bee")
    installed(site, "zoo-cat", "3.1", "zoo-dog>=2")
    installed(site, "zoo-dog", "1.9")

    assert faults_of_packages("zoo")[0] == [
        "zoo-cat 3.1 is installed, zoo needs <3,>=2",
        "zoo-dog 1.9 is installed, zoo-cat needs >=2",
        "zoo-bee is missing, which zoo needs",
    ]


def test_an_extra_is_looked_at_where_it_is_used(site: Path) -> None:
    installed(site, "zoo", "1.0", "zoo-cat[extra]", "zoo-bee; extra == 'extra'")
    installed(site, "zoo-cat", "1.0", "zoo-dog; extra == 'extra'")

    assert faults_of_packages("zoo")[0] == ["zoo-dog is missing, which zoo-cat needs"]
    assert faults_of_packages("zoo", {"extra"})[0] == [
        "zoo-dog is missing, which zoo-cat needs",
        "zoo-bee is missing, which zoo needs",
    ]


def test_a_version_before_a_release_may_be_in_the_range(site: Path) -> None:
    installed(site, "zoo", "1.0", "zoo-cat>=2")
    installed(site, "zoo-cat", "2.1rc1")

    assert faults_of_packages("zoo")[0] == []
