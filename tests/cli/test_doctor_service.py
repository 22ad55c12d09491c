"""Whether the service answers and accepts the key, over real sockets; and whether this machine's clock agrees."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sora2_mcp.cli.doctor.report import Report, Verdict
from sora2_mcp.clock import SystemClock
from sora2_mcp.services.probe import ANSWER_SECONDS
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.cli.conftest import Examined
from tests.cli.reading import outcome, the
from tests.clocks import FakeClock, eventually
from tests.servers import KEY
from tests.tasks.core import closed_address
from tests.web import listening

pytestmark = pytest.mark.anyio

SOURCE = " The key is the one of SORA2_API_KEY in the environment."
ADDRESS_HINT = (
    "Check SORA2_API_BASE_URL, path included (the vendor's is https://api.sora2api.ai/api/v1/sora2); if it is right, "
    "something on the way answers in the service's place: a proxy, or the network's login page."
)


@asynccontextmanager
async def answering(unasked: Response, asked: Response | None = None) -> AsyncIterator[str]:
    """A service that answers so without a key, and with one; gives its base URL."""

    async def look(request: Request) -> Response:
        return asked if asked is not None and "authorization" in request.headers else unasked

    async with listening(Starlette(routes=[Route("/{path:path}", look)])) as address:
        yield f"{address}/api/v1/sora2"


def envelope(code: int, words: str = "", status: int = 200) -> Response:
    return JSONResponse({"code": code, "msg": words, "data": None}, status_code=status)


async def test_a_service_that_answers_and_takes_the_key_is_only_looked_at(examined: Examined) -> None:
    simulator = Simulator(api_key=KEY)
    async with running(simulator) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert the(report, "service").status is Verdict.OK
    assert the(report, "service").what.startswith(f"{base_url} answers in ")
    assert the(report, "key").status is Verdict.OK
    assert the(report, "key").what.startswith("The key is accepted (asked without spending, ")
    assert the(report, "key").what.endswith(SOURCE)
    assert [(request.method, request.code) for request in simulator.received] == [("GET", 401), ("GET", 404)]
    assert (report.status, report.next_steps) == (Verdict.OK, [])


async def test_a_key_that_is_refused_is_a_problem_with_where_to_correct_it(examined: Examined) -> None:
    simulator = Simulator(api_key="sk-another")
    async with running(simulator) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "key") == (
        Verdict.PROBLEM,
        (
            'The service does not accept the key (401, the service says "You do not have access permissions: '
            'the API key is missing or wrong"). The key is the one of SORA2_API_KEY in the environment.'
        ),
    )
    assert report.next_steps == [
        (
            "Correct SORA2_API_KEY in the env of this server's entry in your host (and SORA2_API_BASE_URL, if the key "
            "is of another gateway)."
        )
    ]
    assert {request.method for request in simulator.received} == {"GET"}


async def test_words_of_the_service_that_repeat_the_key_are_shown_without_it(examined: Examined) -> None:
    async with answering(envelope(401), envelope(401, f"Unknown key {KEY}, <b>go away</b>\n")) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert the(report, "key").what == (
        'The service does not accept the key (401, the service says "Unknown key ***, go away"). '
        "The key is the one of SORA2_API_KEY in the environment."
    )


async def test_a_key_that_stands_in_hosts_files_alone_is_found_there_and_not_shown(
    examined: Examined, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    ours = {"command": "/opt/sora2-mcp", "args": ["serve"]}
    servers = {
        ".config/Claude/claude_desktop_config.json": {"mcpServers": {"films": {**ours, "env": {"SORA2_API_KEY": KEY}}}},
        ".config/zed/settings.json": {"context_servers": {"x": {"command": {**ours, "env": {"SORA2_API_KEY": KEY}}}}},
        ".cursor/mcp.json": {"mcpServers": {"sora2": {**ours, "env": {"SORA2_API_KEY": "your-key"}}}},
        ".gemini/settings.json": {"mcpServers": {"other": {"command": "x", "env": {"SORA2_API_KEY": KEY}}}},
        ".lmstudio/mcp.json": {"mcpServers": {"sora2": {**ours, "env": {"SORA2_API_KEY": "${env:KEY}"}}}},
        ".claude.json": {"mcpServers": [KEY]},
    }
    for name, document in servers.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(json.dumps(document))
    async with running(Simulator()) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url, SORA2_API_KEY="")

    assert outcome(report, "key") == (
        Verdict.PROBLEM,
        (
            "SORA2_API_KEY is empty, which counts as not set: nothing can be ordered without a key. An entry has one, "
            f"which only its host sees: Claude Desktop ({home}/.config/Claude/claude_desktop_config.json), "
            f"Zed ({home}/.config/zed/settings.json)."
        ),
    )
    assert KEY not in json.dumps(report.as_json())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty, which counts as not set"),
        ("${user_config.api_key}", "holds a placeholder that the host did not fill in, which counts as not set"),
    ],
)
async def test_a_missing_key_is_a_problem_with_both_ways_out_and_the_service_is_still_asked(
    examined: Examined, text: str, why: str
) -> None:
    simulator = Simulator()
    async with running(simulator) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url, SORA2_API_KEY=text)

    assert outcome(report, "key") == (
        Verdict.PROBLEM,
        f"SORA2_API_KEY {why}: nothing can be ordered without a key.",
    )
    assert report.next_steps == [
        (
            "Set SORA2_API_KEY in the env of this server's entry in your host (if it is there, run this with it: "
            "SORA2_API_KEY=… sora2-mcp doctor), or try it without an account: sora2-mcp serve --simulate."
        )
    ]
    assert the(report, "service").status is Verdict.OK
    assert len(simulator.received) == 1


async def test_a_wrong_path_is_recognised_though_the_service_answers_in_its_own_way(examined: Examined) -> None:
    simulator = Simulator(api_key=KEY)
    async with running(simulator) as base_url:
        wrong = base_url.replace("/v1/", "/v2/")
        report = await examined(SORA2_API_BASE_URL=wrong)

    assert outcome(report, "service") == (
        Verdict.PROBLEM,
        f'{wrong} answers, but not at this path (404, the service says "No such path: GET /api/v2/sora2/record-info").',
    )
    assert the(report, "key").status is Verdict.SKIPPED
    assert report.next_steps == [ADDRESS_HINT]
    assert len(simulator.received) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HTMLResponse("<h1>Not Found</h1>", 404), "HTTP 404 with a web page; SORA2_API_BASE_URL may be wrong"),
        (HTMLResponse("<h1>Please log in</h1>"), "HTTP 200 with a web page"),
        (HTMLResponse("<h1>Bad Gateway</h1>", 502), "HTTP 502 with a web page"),
        (Response(b""), "HTTP 200 with an empty body"),
    ],
)
async def test_what_answers_otherwise_than_the_service_gets_no_key(
    examined: Examined, answer: Response, kind: str
) -> None:
    async with answering(answer, envelope(404)) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "service") == (Verdict.PROBLEM, f"{base_url} did not answer as Sora2API does: {kind}.")
    assert outcome(report, "key") == (
        Verdict.SKIPPED,
        "SORA2_API_KEY is set in the environment; it was not shown to a service that did not answer as it should.",
    )
    assert report.next_steps == [ADDRESS_HINT]


async def test_a_service_that_cannot_be_reached_is_told_with_the_proxies_that_may_stand_in_the_way(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://ann:s3cr3t@proxy.example:8080")
    monkeypatch.setenv("HTTP_PROXY", "")
    base_url = closed_address()

    report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "service") == (
        Verdict.PROBLEM,
        f"{base_url} could not be reached: the connection was refused.",
    )
    assert report.next_steps == [
        "Check the network and SORA2_API_BASE_URL. Proxies are set in https_proxy: they may stand in the way."
    ]


async def test_a_service_that_never_answers_holds_up_nothing_but_its_own_check(examined: Examined) -> None:
    clock, reports = FakeClock(SystemClock().now()), list[Report]()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base_url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        async def ask() -> None:
            reports.append(await examined(SORA2_API_BASE_URL=base_url, clock=clock))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            connection, _ = await anyio.to_thread.run_sync(silent.accept)
            with connection:
                # The request has come: now only its answer is missing.
                await anyio.to_thread.run_sync(connection.recv, 65_536)
                await clock.advance(ANSWER_SECONDS)
                await eventually(lambda: bool(reports))

    (report,) = reports
    assert the(report, "service").status is Verdict.PROBLEM
    assert the(report, "service").what.endswith("did not answer as Sora2API does: no answer within 8 s.")
    assert the(report, "service").seconds == ANSWER_SECONDS
    assert {the(report, name).status for name in ("program", "configuration", "http")} == {Verdict.OK}


@pytest.mark.parametrize("code", [429, 455, 500, 503])
async def test_a_service_that_cannot_work_just_now_leaves_the_key_open(examined: Examined, code: int) -> None:
    async with answering(envelope(code, "Later")) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "service") == (
        Verdict.WARNING,
        f'{base_url} answers, but cannot work just now ({code}, the service says "Later").',
    )
    assert outcome(report, "key") == (
        Verdict.WARNING,
        f'Whether the key is accepted is not known ({code}, the service says "Later").{SOURCE}',
    )
    assert report.status is Verdict.WARNING


@pytest.mark.parametrize("answer", [envelope(404), envelope(200), envelope(400), envelope(422)])
async def test_any_other_answer_means_that_the_key_was_accepted(examined: Examined, answer: Response) -> None:
    async with answering(envelope(401), answer) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert the(report, "key").status is Verdict.OK


async def test_an_account_without_credits_is_a_warning(examined: Examined) -> None:
    async with answering(envelope(401), envelope(402, "Insufficient credits")) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "key") == (
        Verdict.WARNING,
        (
            "The key is accepted, but the account has no credits left (402, the service says "
            f'"Insufficient credits").{SOURCE}'
        ),
    )
    assert report.next_steps == ["Top up the account."]


async def test_a_service_that_asks_for_no_key_says_nothing_of_it(examined: Examined) -> None:
    async with answering(envelope(200)) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "key") == (
        Verdict.SKIPPED,
        "The service answers looks without a key too: whether it takes yours, an order will show.",
    )


async def test_an_answer_to_the_key_that_cannot_be_read_leaves_it_open(examined: Examined) -> None:
    async with answering(envelope(401), HTMLResponse("<h1>Bad Gateway</h1>", 502)) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url)

    assert outcome(report, "key") == (
        Verdict.WARNING,
        "Whether the key is accepted is not known: HTTP 502 with a web page.",
    )


async def test_offline_nobody_is_asked_and_a_missing_key_is_still_told(examined: Examined) -> None:
    simulator = Simulator()
    async with running(simulator) as base_url:
        given = await examined(offline=True, SORA2_API_BASE_URL=base_url)
        missing = await examined(offline=True, SORA2_API_BASE_URL=base_url, SORA2_API_KEY="")

    assert outcome(given, "service") == (Verdict.SKIPPED, "Not asked, because of --offline.")
    assert the(given, "key").status is Verdict.SKIPPED
    assert the(missing, "key").status is Verdict.PROBLEM
    assert simulator.received == ()


async def test_on_the_simulator_the_service_is_left_alone_and_no_key_is_needed(examined: Examined) -> None:
    simulator = Simulator()
    async with running(simulator) as base_url:
        report = await examined(simulate=True, SORA2_API_BASE_URL=base_url, SORA2_API_KEY="")

    status, what = outcome(report, "service")
    assert status is Verdict.OK
    assert what.startswith("The built-in simulator stands in for the service; http://127.0.0.1:")
    assert outcome(report, "key") == (Verdict.SKIPPED, "The simulator needs none.")
    assert simulator.received == ()


@pytest.mark.parametrize(
    ("ahead", "status", "how_far"),
    [
        (timedelta(0), Verdict.OK, "as the service's does"),
        (timedelta(seconds=-90), Verdict.WARNING, " s behind the service's"),
        (timedelta(minutes=5), Verdict.WARNING, "5 min ahead of the service's"),
        (timedelta(hours=-30), Verdict.PROBLEM, "30.0 h behind the service's"),
    ],
)
async def test_the_clock_is_compared_with_the_services(
    examined: Examined, ahead: timedelta, status: Verdict, how_far: str
) -> None:
    clock = FakeClock(SystemClock().now() + ahead)
    async with answering(envelope(401), envelope(404)) as base_url:
        report = await examined(SORA2_API_BASE_URL=base_url, clock=clock)

    assert the(report, "clock").status is status
    assert how_far in the(report, "clock").what


async def test_a_clock_that_was_never_set_is_a_problem(examined: Examined) -> None:
    report = await examined(offline=True, clock=FakeClock(SystemClock().now().replace(year=2000)))

    status, what = outcome(report, "clock")
    assert (status, what.endswith(" UTC, which is long past.")) == (Verdict.PROBLEM, True)
