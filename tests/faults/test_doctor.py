"""``sora2-mcp doctor`` before a database that says nothing."""

from pathlib import Path

import pytest

from tests.e2e.processes import completed
from tests.faults.hosts import service
from tests.promises.test_commands import silent

KEY = "no-key-0123456789"


@pytest.mark.parametrize(("form", "terminal"), [([], "1"), (["--json"], "")])
def test_no_secret_is_shown_anywhere(tmp_path: Path, form: list[str], terminal: str) -> None:
    secrets = {
        name: f"s3cr3t-{name}-0123456789" for name in ("key", "ann", "bob", "db", "user", "id", "unknown", "bad")
    }
    with silent() as nobody, service(tmp_path, "--api-key", KEY) as sora:
        run = completed(
            tmp_path,
            "doctor",
            "--no-round-trip",
            *form,
            FORCE_COLOR=terminal,
            HTTPS_PROXY=f"http://ann:{secrets['user']}@proxy.example",
            SORA2_API_BASE_URL=sora.base_url,
            SORA2_API_KEY=secrets["key"],
            SORA2_API_KEYS=secrets["unknown"],
            SORA2_AUTH_TOKENS=f"ann:{secrets['ann']},bob:{secrets['bob']}",
            SORA2_DATABASE_URL=f"postgresql://{secrets['user']}:{secrets['db']}@{nobody}/tasks?password={secrets['db']}",
            SORA2_OAUTH_ISSUER=f"https://{secrets['user']}:{secrets['id']}@id.example/?token={secrets['id']}",
            SORA2_LOG_FORMAT=secrets["bad"],
        )

    assert run.returncode == 1
    assert "s3cr3t" not in run.stdout + run.stderr
    assert "/tasks?" in run.stdout
