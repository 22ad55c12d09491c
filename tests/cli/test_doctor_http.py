"""What the settings for HTTP mean, and whether they fit together."""

import pytest

from sora2_mcp.cli.doctor.report import Verdict
from tests.cli.conftest import Examined
from tests.cli.reading import found, outcome

pytestmark = pytest.mark.anyio

TOKENS = "ann:0123456789abcdef,bob:fedcba9876543210"
OAUTH = {
    "SORA2_OAUTH_ISSUER": "https://ann:s3cr3t@id.example/realm",
    "SORA2_OAUTH_AUDIENCE": "https://sora.example/mcp",
    "SORA2_OAUTH_JWKS_URL": "https://id.example/keys",
}


async def test_without_any_setting_nothing_is_open_but_this_machine(examined: Examined) -> None:
    assert outcome(await examined(offline=True), "http") == (
        Verdict.OK,
        "Nothing is set for HTTP: stdio needs nothing, and over HTTP only this machine is served.",
    )


async def test_what_fits_together_is_told_by_what_it_means_and_without_its_secrets(examined: Examined) -> None:
    report = await examined(
        offline=True,
        SORA2_AUTH_TOKENS=TOKENS,
        SORA2_ALLOWED_HOSTS="videos.example.com,10.0.0.5:8000",
        SORA2_ALLOWED_ORIGINS="https://chat.example",
        SORA2_PUBLIC_URL="https://videos.example.com/sora/",
        **OAUTH,
    )

    assert outcome(report, "http") == (
        Verdict.OK,
        (
            "Over HTTP these may call, each with tasks of their own: ann, bob. "
            "Bearer JWTs of https://…@id.example/realm are taken. "
            "Served as videos.example.com, 10.0.0.5:8000 and by this machine's own names. "
            "Pages of https://chat.example may call. "
            "The service calls back at https://videos.example.com/sora/callbacks/."
        ),
    )


async def test_pages_may_be_let_in_without_tokens(examined: Examined) -> None:
    assert outcome(await examined(offline=True, SORA2_ALLOWED_ORIGINS="https://chat.example"), "http") == (
        Verdict.OK,
        "Over HTTP only this machine is served, for there are no tokens. Pages of https://chat.example may call.",
    )


@pytest.mark.parametrize(
    ("variables", "words", "hint"),
    [
        (
            {"SORA2_OAUTH_ISSUER": "https://id.example"},
            "SORA2_OAUTH_AUDIENCE is not set; issuer, audience and JWKS address go together.",
            "Set what is missing, or take SORA2_OAUTH_AUDIENCE and what goes with it out.",
        ),
        (
            {"SORA2_ALLOWED_HOSTS": "videos.example.com"},
            "SORA2_ALLOWED_HOSTS lets other machines connect, which needs tokens",
            "Set what is missing, or take SORA2_ALLOWED_HOSTS and what goes with it out.",
        ),
    ],
)
async def test_what_stops_a_start_over_http_is_a_problem(
    examined: Examined, variables: dict[str, str], words: str, hint: str
) -> None:
    report = await examined(offline=True, **variables)

    status, what = outcome(report, "http")
    assert status is Verdict.PROBLEM
    assert what.startswith(words)
    assert what.endswith(" The server does not start over HTTP; over stdio it does.")
    assert report.next_steps == [hint]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"SORA2_PUBLIC_URL": "http://127.0.0.1:8000", "SORA2_AUTH_TOKENS": TOKENS},
            "The service cannot reach SORA2_PUBLIC_URL (http://127.0.0.1:8000), so no callback arrives.",
        ),
        (
            {"SORA2_PUBLIC_URL": "https://nas", "SORA2_AUTH_TOKENS": TOKENS},
            "The service cannot reach SORA2_PUBLIC_URL (https://nas), so no callback arrives.",
        ),
        (
            {"SORA2_PUBLIC_URL": "http://videos.example.com", "SORA2_AUTH_TOKENS": TOKENS},
            "SORA2_PUBLIC_URL is http://: tokens and callbacks cross the net for anybody to read.",
        ),
        (
            {"SORA2_PUBLIC_URL": "https://videos.example.com"},
            "SORA2_PUBLIC_URL without tokens: the service may call back, and other machines may not call.",
        ),
        (OAUTH, "Clients are not told whose tokens are taken, because SORA2_PUBLIC_URL is not set."),
        (
            {
                **OAUTH,
                "SORA2_OAUTH_JWKS_URL": "http://id.example/keys",
                "SORA2_PUBLIC_URL": "https://videos.example.com",
            },
            "SORA2_OAUTH_JWKS_URL is http://: anyone on the network path can let others in.",
        ),
    ],
)
async def test_what_starts_and_is_probably_not_meant_so_is_a_warning(
    examined: Examined, variables: dict[str, str], words: str
) -> None:
    report = await examined(offline=True, **variables)

    assert [(finding.status, finding.what) for finding in found(report, "http")] == [(Verdict.WARNING, words)]
    assert len(report.next_steps) == 1


async def test_a_public_address_on_this_machine_suits_a_service_on_it(examined: Examined) -> None:
    report = await examined(
        offline=True,
        SORA2_API_BASE_URL="http://127.0.0.1:8901/api/v1/sora2",
        SORA2_PUBLIC_URL="http://127.0.0.1:8000",
        SORA2_AUTH_TOKENS=TOKENS,
    )

    assert outcome(report, "http")[0] is Verdict.OK
