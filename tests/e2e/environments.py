"""Odd environments that programs are started in, and every command in each of them."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.processes import PROGRAM, environment

PROMPT = "三只狐狸 [sim:seconds=0]"
_NOBODY = """\
import pwd


def nobody(_):
    raise KeyError("no such user")


pwd.getpwuid = pwd.getpwnam = nobody
"""
"""Python imports this when it starts: a user without a line in the system's list, which only root could become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """What a shell does before the program starts, what its streams lead to, and its variables; None takes one out."""

    first: str = ":"
    streams: str = ""
    variables: Mapping[str, str | None] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    """The exit codes of the commands that cannot do their work here; all others do it."""

    named: str = ""
    """How a line of the doctor's begins."""


_NO_HOME = {**dict.fromkeys(("serve", "serve-http", "demo", "generate", "tasks-list", "client-config"), 2), "doctor": 1}
_NO_STORE = dict.fromkeys(("demo", "generate", "tasks-list", "doctor"), 1)
_UNSEEN = {**_NO_STORE, "simulate": 1, "client-config": 1}


ODD = {
    "nobody": Odd(variables={"HOME": None, "PYTHONPATH": "{folder}/nobody"}, codes=_NO_HOME),
    "relative-home": Odd(variables={"HOME": "here", "PYTHONPATH": "{folder}/nobody"}, codes=_NO_HOME),
    "missing-home": Odd(variables={"HOME": "{folder}/missing"}),
    "home-is-a-file": Odd(variables={"HOME": "{folder}/file"}, codes=_NO_STORE),
    "home-with-marks": Odd(variables={"HOME": "{folder}/a%2Fb?c#d e"}),
    "folder-gone": Odd(first="mkdir gone && cd gone && rmdir ../gone"),
    "stdin-closed": Odd(streams="<&-"),
    "stdout-closed": Odd(streams=">&-"),
    "stderr-closed": Odd(streams="2>&-"),
    "all-closed": Odd(streams="<&- >&- 2>&-"),
    "stdout-full": Odd(streams=">/dev/full", codes=_UNSEEN),
    "stderr-full": Odd(streams="2>/dev/full"),
    "cp1252": Odd(variables={"PYTHONIOENCODING": "cp1252"}),
    "gbk": Odd(variables={"PYTHONIOENCODING": "gbk"}),
    "ascii": Odd(variables={"PYTHONIOENCODING": "ascii:strict"}),
    "plain-c": Odd(
        variables={"LANG": "C", "LC_ALL": "C", "LC_CTYPE": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ),
    "no-variables": Odd(variables={"LANG": None, "TERM": None, "SORA2_POLL_SECONDS": None}),
    "time-zone": Odd(variables={"TZ": "Nowhere/Nothing"}),
    "umask-077": Odd(first="umask 077"),
    # Root may use what it has taken its own rights to.
    "umask-777": Odd(first="umask 777", codes={"doctor": 1} if os.geteuid() == 0 else _NO_STORE),
    "dumb-terminal": Odd(variables={"TERM": "dumb", "FORCE_COLOR": "1", "COLUMNS": "0"}),
    "socks-proxy": Odd(
        variables={"ALL_PROXY": "socks://127.0.0.1:9/", "all_proxy": "socks://127.0.0.1:9/"},
        named="warning: network: all_proxy cannot be used",
    ),
    "quoted-proxy": Odd(
        variables={"HTTPS_PROXY": '"http://me:topsecret@127.0.0.1:9"'},
        named="warning: network: HTTPS_PROXY cannot be used",
    ),
    "certificates-gone": Odd(
        variables={"SSL_CERT_FILE": "/gone.pem"}, named='warning: network: SSL_CERT_FILE names "/gone.pem"'
    ),
    "networks-wrong": Odd(
        variables={"SORA2_DOWNLOAD_NETWORKS": "topsecret/99"},
        codes=_NO_HOME,
        named="problem: configuration: SORA2_DOWNLOAD_NETWORKS cannot be used",
    ),
    "unbuffered": Odd(variables={"PYTHONUNBUFFERED": "1"}),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "serve": ("serve", "--simulate"),
    "serve-http": ("serve", "--simulate", "--transport", "streamable-http", "--port", "{port}"),
    "simulate": ("simulate", "--port", "{port}"),
    "demo": ("demo", "--prompt", PROMPT),
    "generate": ("generate", PROMPT, "--simulate"),
    "tasks-list": ("tasks", "list", "--simulate"),
    "doctor": ("doctor", "--simulate", "--no-round-trip"),
    "client-config": ("client-config", "cursor", "--simulate"),
}
SERVING = {"serve-http": "/healthz", "simulate": "/api/v1/sora2/record-info"}
"""What a server is asked, to see that it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended; ``answered``: a server was there to answer."""

    code: int
    stdout: str
    stderr: str
    answered: bool = False


def ran(folder: Path, command: str, odd: Odd) -> Ran:
    """Runs the command in a working folder of its own below ``folder``."""
    for name in ("work", "nobody", "home"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "nobody" / "sitecustomize.py").write_text(_NOBODY)
    (folder / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in COMMANDS[command]]
    popen = subprocess.Popen(
        ["sh", "-c", f'{odd.first} && exec "$@" {odd.streams}', "sh", *PROGRAM, *words],
        env=_variables(folder, odd),
        cwd=folder / "work",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with popen:
        answered = command in SERVING and anyio.run(_answers, popen, f"http://127.0.0.1:{port}{SERVING[command]}")
        if command in SERVING and popen.poll() is None:
            popen.send_signal(signal.SIGTERM)
        written, said = popen.communicate(_HANDSHAKE if command == "serve" else None, PATIENCE_SECONDS)
    return Ran(
        code=popen.returncode,
        stdout=written.decode(errors="replace"),
        stderr=said.decode(errors="replace"),
        answered=answered,
    )


def end_well(folder: Path, command: str, odd: Odd) -> Ran:
    """Runs the command, which does its work or says in words why not; no file is where nobody looks for it."""
    run = ran(folder, command, odd)

    shown = run.stdout + run.stderr
    assert "Traceback" not in shown
    assert "Exception ignored" not in shown
    assert "topsecret" not in shown
    if command == "doctor" and odd.named:
        assert f"\n{odd.named}" in run.stdout
    assert run.code == odd.codes.get(command, 0), shown
    if run.code == 2 or (run.code == 1 and command != "doctor"):
        # What was wrong, and perhaps what to do about it.
        assert any(line.startswith("sora2-mcp: ") for line in run.stderr.splitlines()[-2:])
    if command in SERVING:
        assert run.answered == (run.code != 2)
    if command == "serve" and run.code == 0 and ">" not in odd.streams and "<" not in odd.streams:
        assert [json.loads(line)["id"] for line in run.stdout.splitlines()] == [1, 2]
    assert strange_files(folder) == []
    return run


def strange_files(folder: Path) -> list[str]:
    """What lies neither in the data folder nor in the videos folder of a home."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    homes = (".local/share/sora2-mcp/", "Videos/sora2-simulated/")
    return [
        str(path)
        for path in found
        if path.parts[0] not in ("nobody", "file")
        and (path.parts[0] == "work" or not "/".join(path.parts[1:]).startswith(homes))
    ]


def _variables(folder: Path, odd: Odd) -> dict[str, str]:
    usual = environment(folder / "home", **{name: text for name, text in odd.variables.items() if text is not None})
    return {
        name: text.replace("{folder}", str(folder))
        for name, text in usual.items()
        if odd.variables.get(name, "") is not None
    }


async def _answers(popen: subprocess.Popen[bytes], url: str) -> bool:
    async with httpx2.AsyncClient() as http:
        with anyio.move_on_after(PATIENCE_SECONDS):
            while popen.poll() is None:
                try:
                    await http.get(url)
                except httpx2.TransportError:
                    await anyio.sleep(0.05)
                else:
                    return True
    return False


_HANDSHAKE = b"".join(
    json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
    for message in (
        {
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        },
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list", "params": {}},
    )
)
