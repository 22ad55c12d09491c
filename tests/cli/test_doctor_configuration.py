"""Variables that are wrong, unknown, placeholders or secret."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.report import Report, Verdict
from sora2_mcp.cli.doctor.setup import Source
from sora2_mcp.settings import Settings, variable_of
from tests.cli.conftest import Examined
from tests.cli.reading import found, outcome, the

pytestmark = pytest.mark.anyio


def shown(report: Report, variable: str) -> tuple[str, Source, str]:
    (setting,) = [setting for setting in report.settings if setting.variable == variable]
    return setting.value, setting.source, setting.allowed


async def test_every_setting_is_listed_with_its_value_and_where_it_comes_from(
    examined: Examined, tmp_path: Path
) -> None:
    report = await examined(
        offline=True,
        SORA2_POLL_SECONDS="0.5",
        SORA2_IDLE_POLL_SECONDS="",
        SORA2_API_BASE_URL="${user_config.base_url}",
        SORA2_AUTO_DOWNLOAD="true",
        SORA2_AUTH_TOKENS="ann:0123456789abcdef,bob:fedcba9876543210",
        SORA2_OAUTH_ISSUER="https://ann:s3cr3t@id.example/realm?token=s3cr3t",
    )

    assert [setting.variable for setting in report.settings] == [variable_of(name) for name in Settings.model_fields]
    assert {variable: shown(report, variable)[:2] for variable in map(variable_of, Settings.model_fields)} == {
        "SORA2_API_KEY": ("(hidden)", Source.ENVIRONMENT),
        "SORA2_API_BASE_URL": ("https://api.sora2api.ai/api/v1/sora2", Source.PLACEHOLDER),
        "SORA2_SERVICE": ("sora2api", Source.DEFAULT),
        "SORA2_MODEL": ("", Source.DEFAULT),
        "SORA2_MODEL_HD": ("", Source.DEFAULT),
        "SORA2_MODEL_INPUT": ("", Source.DEFAULT),
        "SORA2_REQUEST_FORMAT": ("multipart", Source.DEFAULT),
        "SORA2_VIDEO_SECONDS": ("0", Source.DEFAULT),
        "SORA2_IMAGE_DIR": ("", Source.DEFAULT),
        "SORA2_DAILY_COST": ("0", Source.DEFAULT),
        "SORA2_CALLBACK_SECRET": ("", Source.DEFAULT),
        "SORA2_SIMULATE": ("0", Source.DEFAULT),
        "SORA2_DATABASE_URL": (f"sqlite:///{tmp_path}/tasks.db", Source.ENVIRONMENT),
        "SORA2_VIDEO_DIR": (f"{tmp_path}/videos", Source.ENVIRONMENT),
        "SORA2_AUTO_DOWNLOAD": ("1", Source.ENVIRONMENT),
        "SORA2_MAX_WAIT_SECONDS": ("200", Source.DEFAULT),
        "SORA2_POLL_SECONDS": ("0.5", Source.ENVIRONMENT),
        "SORA2_IDLE_POLL_SECONDS": ("60", Source.EMPTY),
        "SORA2_MAX_REQUESTS_PER_SECOND": ("10", Source.DEFAULT),
        "SORA2_MAX_ACTIVE_TASKS": ("0", Source.DEFAULT),
        "SORA2_DAILY_LIMIT": ("0", Source.DEFAULT),
        "SORA2_DUPLICATE_WINDOW_SECONDS": ("60", Source.DEFAULT),
        "SORA2_CONFIRM": ("never", Source.DEFAULT),
        "SORA2_AUTH_TOKENS": ("ann:(hidden), bob:(hidden)", Source.ENVIRONMENT),
        "SORA2_OAUTH_ISSUER": ("https://…@id.example/realm?…", Source.ENVIRONMENT),
        "SORA2_OAUTH_AUDIENCE": ("", Source.DEFAULT),
        "SORA2_OAUTH_JWKS_URL": ("", Source.DEFAULT),
        "SORA2_ALLOWED_HOSTS": ("", Source.DEFAULT),
        "SORA2_ALLOWED_ORIGINS": ("", Source.DEFAULT),
        "SORA2_STATE_KEYS": ("", Source.DEFAULT),
        "SORA2_LINK_HOURS": ("24", Source.DEFAULT),
        "SORA2_MEDIA_HOSTS": ("", Source.DEFAULT),
        "SORA2_ADMIN_TOKEN": ("", Source.DEFAULT),
        "SORA2_PUBLIC_URL": ("", Source.DEFAULT),
        "SORA2_MAX_VIDEO_MB": ("2000", Source.DEFAULT),
        "SORA2_DOWNLOAD_NETWORKS": ("", Source.DEFAULT),
        "SORA2_LOG_LEVEL": ("INFO", Source.DEFAULT),
        "SORA2_LOG_FORMAT": ("text", Source.DEFAULT),
    }


async def test_a_placeholder_is_named_and_no_fault(examined: Examined) -> None:
    report = await examined(offline=True, SORA2_VIDEO_DIR="${user_config.videos}")

    assert outcome(report, "configuration") == (
        Verdict.OK,
        "2 of 38 settings are given, the others have their defaults; a placeholder counts as not set: SORA2_VIDEO_DIR.",
    )


@pytest.mark.parametrize(
    ("url", "value"),
    [
        ("postgresql://ann:s3cr3t@db.example:5432/tasks", "postgresql://…@db.example:5432/tasks"),
        ("postgresql://db/tasks?user=ann&password=s3cr3t", "postgresql://db/tasks?…"),
        ("postgresql:///tasks", "postgresql:///tasks"),
    ],
)
async def test_of_a_database_only_the_place_is_shown(examined: Examined, url: str, value: str) -> None:
    report = await examined(offline=True, SORA2_DATABASE_URL=url)

    assert shown(report, "SORA2_DATABASE_URL") == (value, Source.ENVIRONMENT, "")


async def test_an_address_that_cannot_be_taken_apart_is_not_shown_at_all(examined: Examined) -> None:
    report = await examined(offline=True, SORA2_OAUTH_ISSUER="https://id.example?token=s3c@r3t")

    assert shown(report, "SORA2_OAUTH_ISSUER") == ("(hidden)", Source.ENVIRONMENT, "")


async def test_all_bad_values_are_named_at_once_with_what_is_allowed_and_never_shown(examined: Examined) -> None:
    report = await examined(
        offline=True, SORA2_DAILY_LIMIT="s3cr3t", SORA2_CONFIRM="s3cr3t", SORA2_API_KEY="s3cr3t key"
    )

    assert [finding.what for finding in found(report, "configuration")] == [
        f"{variable} cannot be used, so the server does not start; allowed is {allowed}."
        for variable, allowed in (
            ("SORA2_API_KEY", "printable ASCII characters without spaces, as the vendor's page shows it"),
            ("SORA2_DAILY_LIMIT", "a whole number from 0 to 1,000,000 (0 = no limit)"),
            ("SORA2_CONFIRM", "never, hd or always"),
        )
    ]
    assert {finding.status for finding in found(report, "configuration")} == {Verdict.PROBLEM}
    assert outcome(report, "key") == (Verdict.SKIPPED, "SORA2_API_KEY cannot be used, so there is no key to ask with.")
    assert shown(report, "SORA2_CONFIRM") == ("", Source.ENVIRONMENT, "never, hd or always")
    assert "s3cr3t" not in json.dumps(report.as_json())


@pytest.mark.parametrize(
    ("variable", "check", "text"),
    [
        ("SORA2_DATABASE_URL", "store", "mysql://root:s3cr3t@db/x"),
        ("SORA2_VIDEO_DIR", "video_folder", "~nobody-s3cr3t/x"),
        ("SORA2_API_BASE_URL", "service", "https://s3cr3t@api.example"),
        ("SORA2_AUTH_TOKENS", "http", "ann:s3cr3t"),
    ],
)
async def test_what_goes_by_a_bad_value_is_not_looked_at_by_its_default(
    examined: Examined, variable: str, check: str, text: str
) -> None:
    report = await examined(**{variable: text})

    assert the(report, "configuration").what.startswith(f"{variable} cannot be used")
    status, what = outcome(report, check)
    assert (status, what.startswith(f"{variable} cannot be used, so ")) == (Verdict.SKIPPED, True)
    assert "s3cr3t" not in json.dumps(report.as_json())


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SORA2_API_KEYS", "SORA2_API_KEY"),
        ("SORA2_APIKEY", "SORA2_API_KEY"),
        ("SORA_API_KEY", "SORA2_API_KEY"),
        ("SORA2_VIDEOS_DIR", "SORA2_VIDEO_DIR"),
        ("sora2_poll_second", "SORA2_POLL_SECONDS"),
    ],
)
async def test_a_misspelt_variable_is_noticed_with_the_one_that_was_meant(
    examined: Examined, variable: str, meant: str
) -> None:
    report = await examined(offline=True, **{variable: "s3cr3t"})

    finding = the(report, "configuration")
    assert (finding.status, finding.what) == (
        Verdict.WARNING,
        f"{variable} is no setting and is not used; {meant} was probably meant.",
    )
    assert finding.hint == f"Did you mean {meant}? Rename {variable}, or take it out."
    assert finding.hint in report.next_steps
    assert "s3cr3t" not in json.dumps(report.as_json())


async def test_a_variable_like_no_other_is_noticed_and_other_programs_are_left_alone(examined: Examined) -> None:
    report = await examined(offline=True, SORA2_ZZZZ="1", SORAYA_HOME="1", SORA_ACCOUNTS_FILE="1")

    finding = the(report, "configuration")
    assert finding.what == "SORA2_ZZZZ is no setting and is not used."
    assert finding.hint == "Take SORA2_ZZZZ out; the README lists the variables there are."


async def test_names_of_variables_count_in_any_case_as_the_server_reads_them(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("sora2_daily_limit", "7")

    report = await examined(offline=True)

    assert shown(report, "SORA2_DAILY_LIMIT") == ("7", Source.ENVIRONMENT, "")
    assert the(report, "configuration").status is Verdict.OK


async def test_what_is_asked_for_on_the_command_line_wins_and_is_said_to(examined: Examined) -> None:
    report = await examined(simulate=True, SORA2_SIMULATE="0")

    assert shown(report, "SORA2_SIMULATE") == ("1", Source.OPTION, "")
    assert report.simulate


async def test_the_program_names_its_versions_and_finds_what_is_installed_allowed(examined: Examined) -> None:
    status, what = outcome(await examined(offline=True), "program")

    assert status is Verdict.OK
    assert f"Python {sys.version.split()[0]} ({sys.executable})" in what
    assert f"packages in versions that are allowed, among them mcp {version('mcp')}, httpx2 " in what


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SORA2_MODEL": "a/b"}, "SORA2_MODEL has no effect with SORA2_SERVICE=sora2api."),
        ({"SORA2_SERVICE": "kie", "SORA2_REQUEST_FORMAT": "json"}, "SORA2_REQUEST_FORMAT has no effect"),
        ({"SORA2_SERVICE": "kie", "SORA2_VIDEO_SECONDS": "30"}, "Its model takes 3 to 15."),
        ({"SORA2_DAILY_COST": "5"}, "SORA2_DAILY_COST has no effect"),
        ({"SORA2_CALLBACK_SECRET": "a-secret"}, "SORA2_CALLBACK_SECRET has no effect"),
    ],
)
async def test_a_setting_that_means_nothing_to_the_service_is_named(
    examined: Examined, variables: dict[str, str], words: str
) -> None:
    report = await examined(offline=True, **variables)

    status, what = outcome(report, "configuration")
    assert status is Verdict.WARNING
    assert words in what


@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"SORA2_SERVICE": "openai", "SORA2_API_BASE_URL": ""}, Verdict.PROBLEM, "SORA2_API_BASE_URL is not set"),
        ({"SORA2_SERVICE": "openrouter"}, Verdict.PROBLEM, "SORA2_MODEL is not set"),
        ({"SORA2_IMAGE_DIR": "/nowhere/at/all"}, Verdict.WARNING, "SORA2_IMAGE_DIR is no folder"),
        ({"SORA2_IMAGE_DIR": "images"}, Verdict.WARNING, "SORA2_IMAGE_DIR is relative"),
    ],
)
async def test_what_the_service_lacks_and_a_folder_that_is_none_are_named(
    examined: Examined, variables: dict[str, str], status: Verdict, words: str
) -> None:
    report = await examined(offline=True, **variables)

    found, what = outcome(report, "configuration")
    assert found is status
    assert words in what
