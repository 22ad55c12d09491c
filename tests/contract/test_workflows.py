"""The workflows on GitHub run what ``.ci/run`` runs, where the package says it runs, and are trusted with little."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.contract.documents import make_targets
from tools.docs.files import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LINTERS = Path(sys.executable).parent
WRITES = {
    "pypi": {"id-token"},
    "image": {"packages", "id-token", "attestations"},
    "github": {"contents", "id-token", "attestations"},
    "registry": {"id-token"},
}
"""Which job may write what; every other one only reads the code."""


def workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))
    return content


def jobs() -> dict[str, dict[str, Any]]:
    return {**workflow("ci")["jobs"], **workflow("release")["jobs"]}


def runs(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def made(text: str) -> set[str]:
    return set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_one_job_runs_what_a_change_must_pass_and_nothing_else() -> None:
    assert runs(workflow("ci")["jobs"]["landing"]) == ".ci/run"


def test_all_that_ci_run_makes_has_a_job_too_and_each_system_and_python_is_checked() -> None:
    rule = made((ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    found = workflow("ci")["jobs"]
    check = found["check"]

    assert "check" in rule
    assert rule <= {target for job in found.values() for target in made(runs(job))}
    assert {"check", "demo"} <= made(runs(check))
    assert check["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert check["runs-on"] == "${{ matrix.os }}"


def test_the_pythons_tried_are_those_the_package_says_it_runs_on() -> None:
    said = [found[1] for name in project()["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", name))]
    job = workflow("ci")["jobs"]["check"]

    assert job["strategy"]["matrix"]["python"] == said
    assert project()["requires-python"] == f">={said[0]}"
    assert "${{ matrix.python }}" in str(job["steps"])


def test_every_make_target_the_workflows_run_exists() -> None:
    assert {target for job in jobs().values() for target in made(runs(job))} <= make_targets()


def test_nothing_is_published_before_it_was_built_and_tested() -> None:
    release = workflow("release")["jobs"]

    assert (runs(release["test"]), release["build"]["needs"]) == (".ci/run", "test")
    assert "make package" in runs(release["build"])
    assert "sora2-mcp" in runs(release["try"])
    assert all({"build", "try"} <= {*release[name]["needs"]} for name in ("pypi", "image"))
    assert set(release["github"]["needs"]) == {"build", "pypi", "image"}
    assert set(release["registry"]["needs"]) == {"pypi", "image", "github"}
    assert workflow("release")["on"] == {"push": {"tags": ["v*"]}}


def test_what_is_uploaded_was_made_where_nothing_ran_that_no_hash_stands_for() -> None:
    release = workflow("release")["jobs"]
    uploading = {name for name, job in release.items() if "actions/upload-artifact@" in str(job["steps"])}

    assert uploading == {"build"}
    assert not re.search(r"\.ci/run|pip install|npm|npx|\buv\b", runs(release["build"]))
    for line in re.findall(r"^\t.*(?:\$\(PIP\)|pip install) .*$", MAKEFILE, re.MULTILINE):
        assert "--require-hashes" in line or "--no-deps" in line, line


def test_every_job_says_what_it_may_do_and_only_publishing_may_write() -> None:
    for name in ("ci", "release"):
        assert workflow(name)["permissions"] == {}
    for name, job in jobs().items():
        written = {scope for scope, right in job["permissions"].items() if right == "write"}
        assert written == WRITES.get(name, set()), name
        assert ("environment" in job) == bool(written), "what publishes waits for a person"


def test_every_action_is_pinned_to_a_commit_and_no_secret_is_asked_for() -> None:
    for path in WORKFLOWS.glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        for used in re.findall(r"uses: (.+)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)
        assert "secrets." not in text
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_every_workflow_has_the_shape_github_reads() -> None:
    schema = [str(LINTERS / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows"]
    run = subprocess.run([*schema, *WORKFLOWS.glob("*.yml")], capture_output=True, text=True, check=False)

    assert {path.name for path in WORKFLOWS.iterdir()} == {"ci.yml", "release.yml"}
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_linter_of_workflows_has_nothing_to_say() -> None:
    lint = [str(LINTERS / "zizmor"), "--offline", "--no-progress", "--persona", "pedantic", str(ROOT / ".github")]
    run = subprocess.run(lint, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout
