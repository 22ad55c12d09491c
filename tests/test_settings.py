import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import Settings, environment, variable_of

KEY = "no-key-0123456789"

DEFAULTS: dict[str, Any] = {
    "service": "sora2api",
    "api_key": SecretStr(""),
    "api_base_url": "",
    "model": "",
    "model_hd": "",
    "model_input": "",
    "request_format": "multipart",
    "video_seconds": 0,
    "simulate": False,
    "database_url": SecretStr(""),
    "video_dir": None,
    "image_dir": None,
    "auto_download": False,
    "max_wait_seconds": 200,
    "poll_seconds": 5,
    "idle_poll_seconds": 60,
    "max_requests_per_second": 10,
    "max_active_tasks": 0,
    "daily_limit": 0,
    "daily_cost": 0,
    "duplicate_window_seconds": 60,
    "confirm": "never",
    "auth_tokens": SecretStr(""),
    "oauth_issuer": "",
    "oauth_audience": "",
    "oauth_jwks_url": "",
    "allowed_hosts": "",
    "allowed_origins": "",
    "state_keys": SecretStr(""),
    "link_hours": 24,
    "media_hosts": "",
    "admin_token": SecretStr(""),
    "public_url": "",
    "callback_secret": SecretStr(""),
    "max_video_mb": 2000,
    "download_networks": "",
    "log_level": "INFO",
    "log_format": "text",
}

GOOD: list[tuple[str, str, Any]] = [
    ("SORA2_API_KEY", f"  {KEY}\n", SecretStr(KEY)),
    ("SORA2_SERVICE", "Kie", "kie"),
    ("SORA2_MODEL", "kling-3.0/video", "kling-3.0/video"),
    ("SORA2_MODEL_HD", "wan/2-7-text-to-video", "wan/2-7-text-to-video"),
    (
        "SORA2_MODEL_INPUT",
        '{"resolution": "480p", "nested": {"seed": 7}}',
        '{"resolution": "480p", "nested": {"seed": 7}}',
    ),
    ("SORA2_REQUEST_FORMAT", "JSON", "json"),
    ("SORA2_VIDEO_SECONDS", "8", 8),
    ("SORA2_DAILY_COST", "2.5", 2.5),
    ("SORA2_IMAGE_DIR", "/srv/images", Path("/srv/images")),
    ("SORA2_CALLBACK_SECRET", "a-secret-of-mine", SecretStr("a-secret-of-mine")),
    ("SORA2_STATE_KEYS", f"{'k' * 32}", SecretStr("k" * 32)),
    ("SORA2_LINK_HOURS", "0.5", 0.5),
    (
        "SORA2_MEDIA_HOSTS",
        "https://cdn.example, https://*.example.net:8443",
        "https://cdn.example, https://*.example.net:8443",
    ),
    ("SORA2_ADMIN_TOKEN", "0123456789abcdef", SecretStr("0123456789abcdef")),
    ("SORA2_API_BASE_URL", "http://localhost:8000/api/", "http://localhost:8000/api/"),
    ("SORA2_SIMULATE", "1", True),
    ("SORA2_SIMULATE", "0", False),
    ("SORA2_SIMULATE", "true", True),
    ("SORA2_DATABASE_URL", "sqlite:////var/lib/tasks.db", SecretStr("sqlite:////var/lib/tasks.db")),
    ("SORA2_DATABASE_URL", "sqlite:///C:/tasks.db", SecretStr("sqlite:///C:/tasks.db")),
    ("SORA2_DATABASE_URL", "sqlite:///d:\\my tasks\\t.db", SecretStr("sqlite:///d:\\my tasks\\t.db")),
    *(
        ("SORA2_DATABASE_URL", url, SecretStr(url))
        for url in (
            "postgresql://db/tasks",
            "postgres://ann:p%40ss@db.example:5432/tasks?sslmode=require",
            "postgresql://postgres:@/postgres?host=/tmp/socket",
            "postgresql://ann:secret@[::1]:5432,db2.example:5433/tasks",
            "postgresql:///tasks",
            "postgresql://ann@%2Fvar%2Frun%2Fpostgresql/tasks",
        )
    ),
    ("SORA2_VIDEO_DIR", "/srv/videos", Path("/srv/videos")),
    ("SORA2_AUTO_DOWNLOAD", "1", True),
    ("SORA2_MAX_WAIT_SECONDS", "0.05", 0.05),
    ("SORA2_POLL_SECONDS", "86400", 86_400),
    ("SORA2_IDLE_POLL_SECONDS", "1.5", 1.5),
    ("SORA2_MAX_REQUESTS_PER_SECOND", "1000", 1000),
    ("SORA2_MAX_ACTIVE_TASKS", "3", 3),
    ("SORA2_DAILY_LIMIT", "1000000", 1_000_000),
    ("SORA2_DUPLICATE_WINDOW_SECONDS", "0", 0),
    ("SORA2_CONFIRM", "Always", "always"),
    (
        "SORA2_AUTH_TOKENS",
        " ann:0123456789abcdef, bob.b-1:x:=y/z+0123456789 ",
        SecretStr("ann:0123456789abcdef, bob.b-1:x:=y/z+0123456789"),
    ),
    ("SORA2_OAUTH_ISSUER", "https://id.example/realm", "https://id.example/realm"),
    ("SORA2_OAUTH_AUDIENCE", "https://sora.example/mcp", "https://sora.example/mcp"),
    ("SORA2_OAUTH_JWKS_URL", "https://id.example/keys", "https://id.example/keys"),
    ("SORA2_ALLOWED_HOSTS", "sora.example, 10.0.0.5:8000,[fd00::1]", "sora.example, 10.0.0.5:8000,[fd00::1]"),
    ("SORA2_ALLOWED_ORIGINS", "https://chat.example,http://a:3000/", "https://chat.example,http://a:3000/"),
    *(
        ("SORA2_ALLOWED_ORIGINS", origin, origin)
        for origin in (
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://0d2a3f1c-5d9e-4c0f-8a55-0e8f3b1f7e11",
            "tauri://localhost",
            "app://obsidian.md",
            "vscode-webview://1n0qpu1b2cs5q",
        )
    ),
    ("SORA2_PUBLIC_URL", "https://mcp.example:8443/sora/", "https://mcp.example:8443/sora/"),
    ("SORA2_PUBLIC_URL", "http://[::1]:8080", "http://[::1]:8080"),
    ("SORA2_MAX_VIDEO_MB", "0.1", 0.1),
    ("SORA2_DOWNLOAD_NETWORKS", "198.18.0.0/15, fd00::/8,10.1.2.3", "198.18.0.0/15, fd00::/8,10.1.2.3"),
    ("SORA2_LOG_LEVEL", "debug", "DEBUG"),
    ("SORA2_LOG_FORMAT", "JSON", "json"),
]

SECONDS = "a number of seconds from 0.05 to 86,400"
COUNT = "a whole number from 0 to 1,000,000 (0 = no limit)"
PASTED = "s3cr3t-Pasted"

BAD: list[tuple[str, list[str], str]] = [
    (
        "SORA2_API_KEY",
        [f"{PASTED} key", f"{PASTED}-ключ", f"{PASTED}\x07"],
        "printable ASCII characters without spaces, as the vendor's page shows it",
    ),
    (
        "SORA2_API_BASE_URL",
        [
            PASTED,
            f"ftp://{PASTED}/",
            f"https://example.com/?key={PASTED}",
            f"https://example.com/#{PASTED}",
            f"https://user:{PASTED}@example.com/",
            f"https://{PASTED}@example.com/",
            f"https://example.com/@{PASTED}",
            f"https://bücher.example/{PASTED}",
            f"https://example.com/{PASTED}/ключ",
        ],
        "an http:// or https:// address, path included",
    ),
    ("SORA2_SERVICE", [PASTED, "sora"], "sora2api, kie, openai or openrouter"),
    ("SORA2_MODEL", [f"{PASTED} x"], "a model's id as the service spells it, without spaces"),
    ("SORA2_MODEL_HD", [f"{PASTED}\x07"], "a model's id as the service spells it, without spaces"),
    (
        "SORA2_MODEL_INPUT",
        [
            PASTED,
            f'["{PASTED}"]',
            f'{{"a": {PASTED}}}',
            '{"a": 1e999}',
            '{"a": NaN}',
            r'{"a": "\ud800"}',
            '{"a":' * 30_000,
        ],
        'a JSON object, such as {"resolution": "480p"}',
    ),
    ("SORA2_REQUEST_FORMAT", [PASTED], "multipart or json"),
    (
        "SORA2_VIDEO_SECONDS",
        [PASTED, "-1", "601", "1.5"],
        "a whole number of seconds from 0 to 600 (0 = the service's or the model's own)",
    ),
    ("SORA2_DAILY_COST", [PASTED, "-1", "nan", "1e9"], "a number from 0 to 1,000,000 (0 = no limit)"),
    ("SORA2_IMAGE_DIR", [f"~{PASTED}-nobody/images"], "a path of a folder, written out (~ is your home folder)"),
    ("SORA2_LINK_HOURS", [PASTED, "0", "8761", "nan"], "a number of hours from 0.1 to 8,760"),
    (
        "SORA2_MEDIA_HOSTS",
        [PASTED, "*", "https://*", "javascript://cdn.example", "https://cdn.example/videos", "https://a.*.example"],
        "origins, such as https://cdn.example.com or https://*.example.com, separated by commas",
    ),
    (
        "SORA2_ADMIN_TOKEN",
        ["short", f"{PASTED * 2} with spaces", f"{PASTED * 2},{PASTED * 2}"],
        "a token of at least 16 printable ASCII characters, without spaces and commas",
    ),
    ("SORA2_CALLBACK_SECRET", [f"{PASTED} x"], "printable ASCII characters without spaces"),
    ("SORA2_SIMULATE", [PASTED, "2"], "1 or 0"),
    (
        "SORA2_DATABASE_URL",
        [
            PASTED,
            f"mysql://root:{PASTED}@db/x",
            "sqlite://",
            "sqlite:///",
            "sqlite:////",
            "sqlite:///:memory:",
            f"sqlite:///{PASTED}.db",
            f"sqlite:///./{PASTED}.db",
            f"sqlite:///C:{PASTED}.db",
            f"sqlite:////srv/{PASTED}.db?mode=ro",
            f"sqlite:////srv/{PASTED}.db#1",
            f"sqlite:///C:/{PASTED}.db?mode=ro",
            f"sqlite+aiosqlite:////srv/{PASTED}.db",
            "postgresql://",
            f"postgresql+asyncpg://ann:{PASTED}@db/tasks",
            f"postgresql://ann:p@{PASTED}@db/tasks",
            f"postgresql://ann:p/{PASTED}@db/tasks",
            f"postgresql://ann@db:{PASTED}/tasks",
            f"postgresql://ann:{PASTED} @db/tasks",
            f"postgresql://ann:{PASTED}#@db/tasks",
        ],
        "sqlite:////absolute/path.db, sqlite:///~/path.db or postgresql://…",
    ),
    ("SORA2_VIDEO_DIR", [f"~{PASTED}-nobody/videos"], "a path of a folder, written out (~ is your home folder)"),
    ("SORA2_AUTO_DOWNLOAD", [PASTED, "2"], "1 or 0"),
    ("SORA2_MAX_WAIT_SECONDS", [PASTED, "0", "0.049", "-1", "86401", "nan", "inf"], SECONDS),
    ("SORA2_POLL_SECONDS", [PASTED, "0", "86401"], SECONDS),
    ("SORA2_IDLE_POLL_SECONDS", [PASTED, "0", "1e9"], SECONDS),
    ("SORA2_MAX_REQUESTS_PER_SECOND", [PASTED, "0", "1001", "nan"], "a number from 0.1 to 1,000"),
    ("SORA2_MAX_ACTIVE_TASKS", [PASTED, "-1", "1.5", "1000001"], COUNT),
    ("SORA2_DAILY_LIMIT", [PASTED, "-1", "1.5", "1000001"], COUNT),
    (
        "SORA2_DUPLICATE_WINDOW_SECONDS",
        [PASTED, "-1", "86401", "inf"],
        "a number of seconds from 0 to 86,400 (0 = off)",
    ),
    ("SORA2_CONFIRM", [PASTED, "1"], "never, hd or always"),
    (
        "SORA2_STATE_KEYS",
        [PASTED, f"{PASTED}{'k' * 32},short", f"{'k' * 32} {PASTED}", f"{PASTED}{'k' * 32},{PASTED}{'k' * 32}"],
        "keys of at least 32 characters, separated by commas, none of them twice",
    ),
    (
        "SORA2_AUTH_TOKENS",
        [
            f"{PASTED}{PASTED}",
            f"ann:{PASTED}",
            f"ann:{PASTED}-0123456789,ann:{PASTED}-9876543210",
            f"ann:{PASTED}-0123456789,bob:{PASTED}-0123456789",
            f"ann:{PASTED} 0123456789",
            f":{PASTED}-0123456789",
            f"ann b:{PASTED}-0123456789",
            f"ann:{PASTED}-0123456789,bob",
            f"ann:{PASTED}-ключ-0123456789",
        ],
        "name:token,name:token with tokens of at least 16 characters, none of them twice",
    ),
    ("SORA2_OAUTH_ISSUER", [PASTED], "an http:// or https:// address"),
    ("SORA2_OAUTH_AUDIENCE", [f"{PASTED} x", f"{PASTED}\x07"], "a text without spaces"),
    ("SORA2_OAUTH_JWKS_URL", [f"file:///{PASTED}"], "an http:// or https:// address"),
    (
        "SORA2_ALLOWED_HOSTS",
        ["*", f"https://{PASTED}", f"a.example/{PASTED}", f"a b,{PASTED}"],
        "host names, with or without a port, separated by commas",
    ),
    (
        "SORA2_ALLOWED_ORIGINS",
        ["*", "null", PASTED, f"https://a.example/{PASTED}"],
        "origins, such as https://app.example.com or tauri://localhost, separated by commas",
    ),
    (
        "SORA2_PUBLIC_URL",
        [
            PASTED,
            f"ftp://{PASTED}/",
            f"https://example.com/?key={PASTED}",
            f"https://example.com/#{PASTED}",
            f"https://user:{PASTED}@example.com/",
            f"https://example.com/a {PASTED}",
            f"https://bücher.example/{PASTED}",
        ],
        "an http:// or https:// address without ?, # and user name",
    ),
    (
        "SORA2_DOWNLOAD_NETWORKS",
        [PASTED, "10.0.0.0/33", "10.0.0.0/8 fd00::/8", "example.com", "*"],
        "networks such as 198.18.0.0/15 or fd00::/8, separated by commas",
    ),
    ("SORA2_MAX_VIDEO_MB", [PASTED, "0", "100001", "nan"], "a number from 0.1 to 100,000"),
    ("SORA2_LOG_LEVEL", [PASTED, "TRACE"], "DEBUG, INFO, WARNING or ERROR"),
    ("SORA2_LOG_FORMAT", [PASTED, "xml"], "text or json"),
]
VARIABLES = [variable_of(field) for field in DEFAULTS]


OPEN = [
    "${HOME}/%",
    "%/${HOME}",
    "$HOME/%",
    "$env:USERPROFILE/%",
    "%USERPROFILE%\\%",
    "{{home}}/%",
    "$(pwd)/%",
    "{env:HOME}/%",
    '"%"',
    "'%'",
    "\u201c%\u201d",
    ",",
    " , ,, ",
    ":",
]
"""What somebody should have filled in, around a value that is right."""


def test_without_any_variable_every_setting_has_its_default() -> None:
    assert Settings.load().model_dump() == DEFAULTS


@pytest.mark.parametrize(("variable", "text", "value"), GOOD)
def test_each_setting_comes_from_its_variable(
    variable: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)

    assert Settings.load().model_dump() == {**DEFAULTS, variable.removeprefix("SORA2_").lower(): value}


@pytest.mark.parametrize("text", ["", "   ", "\n", "${user_config.x}", " ${SORA2_KEY} ", "${}"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_or_an_unreplaced_placeholder_counts_as_not_set(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)

    assert Settings.load().model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [(variable, text, allowed) for variable, texts, allowed in BAD for text in texts],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_what_is_allowed_but_never_the_value(
    variable: str, text: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ConfigurationError) as raised:
        Settings.load()

    assert raised.value.variable == variable
    assert str(raised.value) == f"{variable} cannot be used; allowed is {allowed}."
    assert PASTED not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("text", OPEN)
@pytest.mark.parametrize(("variable", "good"), {variable: text.strip() for variable, text, _ in GOOD}.items())
def test_what_nobody_filled_in_is_refused_in_every_variable_and_never_shown(
    variable: str, good: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text.replace("%", good, 1) if "%USER" not in text else text[:-1] + good)

    with pytest.raises(ConfigurationError, match=f"^{variable} cannot be used; allowed is ") as raised:
        Settings.load()

    assert not [part for part in ("HOME", "USERPROFILE", "home}") if part in str(raised.value)]


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SORA2_API_KEY", "$SORA2_API_KEY"),
        ("SORA2_API_KEY", "%SORA2_API_KEY%"),
        ("SORA2_API_BASE_URL", "https://$HOST/api"),
        ("SORA2_DATABASE_URL", "postgresql://ann:$PASSWORD@db/tasks"),
        ("SORA2_DATABASE_URL", "postgresql://ann:word@%DB_HOST%/tasks"),
        ("SORA2_DATABASE_URL", "sqlite:////${HOME}/tasks.db"),
        ("SORA2_AUTH_TOKENS", "ann:$ANN_TOKEN_OF_SIXTEEN"),
        ("SORA2_AUTH_TOKENS", "ann:0123456789abcdef,bob:${BOB_TOKEN_OF_SIXTEEN}"),
        ("SORA2_STATE_KEYS", "${user_config.first_key_of_this_server},${user_config.second_key_of_this_server}"),
        ("SORA2_OAUTH_AUDIENCE", "https://{{host}}/mcp"),
        ("SORA2_VIDEO_DIR", "file:///home/ann/Videos"),
        ("SORA2_VIDEO_DIR", "sqlite:////srv/t.db"),
        ("SORA2_VIDEO_DIR", '"/srv/videos'),
    ],
)
def test_a_placeholder_in_one_part_of_a_value_is_refused(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ConfigurationError, match=f"^{variable} cannot be used; allowed is "):
        Settings.load()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SORA2_DATABASE_URL", "postgresql://ann:p%C3%A9pin%20x@db/tasks"),
        ("SORA2_DATABASE_URL", "postgresql://ann:$ecret@db/tasks"),
        ("SORA2_DATABASE_URL", "postgresql://ann@%2Fvar%2Frun%2Fpostgresql/tasks"),
        ("SORA2_API_BASE_URL", "https://a.example/%7Eann/%C3%A9t%C3%A9/v1"),
        ("SORA2_VIDEO_DIR", "/srv/100% mine/$5 (a) {b} #1?"),
        ("SORA2_AUTH_TOKENS", "ann:a$B{c}%d%e$F=0123456789"),
        ("SORA2_API_KEY", "sk-$a%b%c{d}"),
    ],
)
def test_marks_that_are_part_of_a_value_are_taken(variable: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, text)

    assert variable.removeprefix("SORA2_").lower() in Settings.load().model_fields_set


def test_every_setting_has_a_good_and_a_bad_value_tried_here_and_a_text_of_what_is_allowed() -> None:
    assert [*Settings.model_fields] == [*DEFAULTS]
    assert {variable for variable, *_ in GOOD} == {variable for variable, *_ in BAD} == {*VARIABLES}
    assert [*Settings.allowed] == [*DEFAULTS]
    assert all(field.description for field in Settings.model_fields.values())


def test_what_is_given_on_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORA2_SIMULATE", "0")
    monkeypatch.setenv("SORA2_DAILY_LIMIT", "7")

    settings = Settings.load(simulate=True)

    assert (settings.simulate, settings.daily_limit) == (True, 7)


def test_a_stray_env_file_is_nobodys_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SORA2_DAILY_LIMIT=7\n")

    assert Settings.load().daily_limit == 0


def test_settings_cannot_be_changed() -> None:
    settings = Settings.load()

    with pytest.raises(ValidationError, match="frozen"):
        settings.daily_limit = 7  # type: ignore[misc]


def test_a_base_url_is_used_without_its_last_slash() -> None:
    assert Settings.load(api_base_url="https://example.com/api//").base_url == "https://example.com/api"


def test_the_same_account_is_the_same_service_and_any_other_key_or_address_is_another() -> None:
    mine = Settings.load(api_key=KEY)

    assert mine.account == Settings.load(api_key=KEY, api_base_url=mine.base_url + "/").account
    assert mine.account != Settings.load(api_key=KEY + "0").account
    assert mine.account != Settings.load().account
    assert mine.account != Settings.load(api_key=KEY, api_base_url="https://api.sora2api.ai/api/v1/sora2api").account
    assert mine.account != Settings.load(api_key=KEY, api_base_url=mine.base_url, service="kie").account


def test_the_first_service_keeps_the_accounts_it_always_had_and_the_others_name_themselves() -> None:
    assert Settings.load(api_key=KEY).account.startswith("https://api.sora2api.ai/api/v1/sora2#")
    assert Settings.load(api_key=KEY, service="kie").account.startswith("kie https://api.kie.ai/api/v1#")
    assert Settings.load(service="openrouter", simulate=True).account == "simulator openrouter"


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "SORA2_API_KEY"),
        ({"api_key": KEY}, ""),
        ({"simulate": True}, ""),
        ({"service": "kie"}, "SORA2_API_KEY"),
        ({"service": "openai"}, "SORA2_API_BASE_URL"),
        ({"service": "openai", "api_base_url": "http://gpu:8000/v1"}, ""),
        ({"service": "openrouter"}, "SORA2_API_KEY"),
        ({"service": "openrouter", "api_key": KEY}, "SORA2_MODEL"),
        ({"service": "openrouter", "api_key": KEY, "model": "google/veo-3.1"}, ""),
    ],
)
def test_what_a_service_cannot_do_without_is_named(values: dict[str, Any], missing: str) -> None:
    assert Settings.load(**values).missing == missing


def test_a_services_name_is_its_address_and_sixteen_digits_that_do_not_give_the_key_away() -> None:
    address, _, account = Settings.load(api_key=KEY).account.partition("#")

    assert address == "https://api.sora2api.ai/api/v1/sora2"
    assert len(account) == 16
    assert int(account, 16)
    assert account not in KEY


def test_the_simulator_is_a_service_of_its_own_and_never_sees_the_users_key() -> None:
    settings = Settings.load(api_key=KEY, simulate=True)

    assert settings.account == "simulator"
    assert settings.key == "simulated"
    assert Settings.load(api_key=KEY).key == KEY


def test_tasks_and_videos_have_a_place_in_the_users_home_and_the_simulators_are_apart() -> None:
    real, simulated = Settings.load(), Settings.load(simulate=True)

    assert real.data_dir.is_relative_to(Path.home())
    assert real.data_dir.name == "sora2-mcp"
    assert simulated.data_dir == real.data_dir / "simulator"
    assert real.store_url == f"sqlite:///{real.data_dir}/tasks.db"
    assert simulated.store_url == f"sqlite:///{real.data_dir}/simulator/tasks.db"
    assert real.videos.is_relative_to(Path.home())
    assert real.videos.name == "sora2"
    assert simulated.videos == real.videos.parent / "sora2-simulated"


@pytest.mark.parametrize("simulate", [True, False])
def test_a_store_and_a_folder_that_are_named_are_used_as_they_are(simulate: bool) -> None:  # noqa: FBT001
    settings = Settings.load(
        simulate=simulate, database_url=SecretStr("sqlite:////srv/t.db"), video_dir=Path("/srv/videos")
    )

    assert settings.store_url == "sqlite:////srv/t.db"
    assert settings.videos == Path("/srv/videos")


def test_a_store_is_a_file_or_a_servers() -> None:
    assert Settings.load(database_url="sqlite:////srv/t.db").store_file == Path("/srv/t.db")
    assert Settings.load(database_url="sqlite:///C:/t.db").store_file == Path("C:/t.db")
    assert Settings.load().store_file == Settings.load().data_dir / "tasks.db"
    assert Settings.load(database_url="postgresql://db/tasks").store_file is None


def test_with_defaults_in_the_place_of_bad_values_all_of_them_are_named_and_the_rest_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {"CONFIRM": "maybe", "DAILY_LIMIT": "many", "POLL_SECONDS": "7", "API_KEY": KEY, "SIMULATE": "?"}
    for name, text in texts.items():
        monkeypatch.setenv(f"SORA2_{name}", text)

    settings, unusable = Settings.load_usable()

    assert unusable == {"confirm", "daily_limit", "simulate"}
    assert settings.model_dump() == {**DEFAULTS, "poll_seconds": 7, "api_key": SecretStr(KEY)}
    assert Settings.load_usable(simulate=True)[0].simulate
    assert Settings.load_usable(simulate=True)[1] == {"confirm", "daily_limit"}


def test_where_nothing_is_wrong_the_usable_settings_are_the_settings() -> None:
    assert Settings.load_usable() == (Settings.load(), frozenset())


def test_a_folder_may_be_relative_or_start_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SORA2_VIDEO_DIR", "clips")
    assert Settings.load().videos == tmp_path / "clips"

    monkeypatch.setenv("SORA2_VIDEO_DIR", "~/clips")
    assert Settings.load().videos == Path.home() / "clips"


def test_a_store_may_start_at_home_and_its_path_stands_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORA2_DATABASE_URL", "sqlite:///~/a%20b/t.db")

    assert Settings.load().store_file == Path.home() / "a%20b" / "t.db"


@pytest.mark.posix
@pytest.mark.parametrize("home", ["a%2Fb", "q?x", "q#x", "100% mine"])
def test_any_home_has_its_own_store(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / home))

    file = Settings.load().store_file
    assert file is not None
    assert file.is_relative_to(tmp_path / home)


def test_nothing_that_shows_settings_shows_a_key_or_a_database_password() -> None:
    password = "hunter2"
    settings = Settings.load(api_key=KEY, database_url=SecretStr(f"postgresql://ann:{password}@db/tasks"))

    for shown in (repr(settings), str(settings), settings.model_dump_json(), json.dumps(settings.account)):
        assert KEY not in shown
        assert password not in shown


def test_the_whole_environment_can_be_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORA2_DAILY_LIMIT", "7")

    handed = environment()

    assert handed["SORA2_DAILY_LIMIT"] == "7"
    handed["SORA2_DAILY_LIMIT"] = "8"
    assert Settings.load().daily_limit == 7


def test_tokens_hosts_and_origins_are_read_as_lists() -> None:
    settings = Settings.load(
        auth_tokens="ann:0123456789abcdef, bob:x:=0123456789abcdef,",
        state_keys=f"{'k' * 32}, {'old-' * 8}",
        allowed_hosts="Sora.example, [fd00::1]:80",
        allowed_origins="https://Chat.example:443/, http://a:8080, app://Obsidian.md",
    )

    assert settings.tokens == (("ann", "0123456789abcdef"), ("bob", "x:=0123456789abcdef"))
    assert settings.sealing_keys == ("k" * 32, "old-" * 8)
    assert settings.hosts == ("sora.example", "[fd00::1]:80")
    assert settings.origins == ("https://chat.example", "http://a:8080", "app://Obsidian.md")
    assert not [secret for secret in ("0123456789abcdef", "k" * 32, "old-old-") if secret in repr(settings)]
