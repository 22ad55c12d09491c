"""Nothing that is let in holds up the others for 50 ms: not a caller's input, a service's answer or a video's body.

While the nastiest input there is goes through each door, another client asks for `/healthz` (over stdio: sends `ping`)
as fast as it can: the longest it waits for an answer is the longest pause of the event loop, and a bit more.
"""

import gzip
import http.client
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import pytest

from sora2_mcp.server.messages import LONGEST_CALL_BYTES
from sora2_mcp.services.exchange import BODY_LIMIT_BYTES
from tests.e2e.processes import Process
from tests.e2e.test_http import address
from tests.promises.heartbeat import LONGEST_PAUSE_UNITS, measured_unit
from tests.server.test_bodies import HEADERS, META

TRIES = 3
"""A machine's own hiccup is not the program's: the best of so many counts."""

CALLER = httpx2.Client(trust_env=False, timeout=30)
"""Made once: each client reads the certificate authorities, and for so long the watch in this process stands still."""

FOX, MARKS = "\U0001f98a", "e" + "\u0301" * 1900
ROOM = LONGEST_CALL_BYTES - 2000


class Watch:
    """Asks for `/healthz` as fast as it can, in a thread, and keeps the longest time an answer took."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self._over = threading.Event()
        self.longest_seconds = 0.0
        self.count = 0
        self._ask()
        self.longest_seconds = 0.0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        while not self._over.is_set():
            self._ask()

    def _ask(self) -> None:
        began = time.monotonic()
        self._connection.request("GET", "/healthz")
        self._connection.getresponse().read()
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
        self.count += 1


def check_goes_on(base: str, act: Callable[[], object]) -> None:
    """Fails unless others were answered in time while it was done, in the best of some tries."""
    longest = []
    for _ in range(TRIES):
        unit_seconds = measured_unit()
        with Watch(base) as watch:
            before = watch.count
            act()
            while watch.count < before + 20:
                time.sleep(0.001)
        longest.append(watch.longest_seconds / unit_seconds)
        if longest[-1] <= LONGEST_PAUSE_UNITS:
            return
    waits = ", ".join(f"{each:.1f}" for each in longest)
    pytest.fail(f"others waited {waits} units; allowed are {LONGEST_PAUSE_UNITS:g}")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on the simulator that takes callbacks."""
    folder = tmp_path_factory.mktemp("server")
    variables = {"SORA2_PUBLIC_URL": "http://127.0.0.1:1", "SORA2_MAX_REQUESTS_PER_SECOND": "1000"}
    options = ("serve", "--transport", "streamable-http", "--port", "0", "--simulate")
    with Process(folder, *options, **variables) as process:
        yield address(process)


def posted(base: str, body: str | bytes, **headers: str) -> httpx2.Response:
    content = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    return CALLER.post(f"{base}/mcp", content=content, headers={**HEADERS, **headers})


def called(base: str, method: str, shown: str, /, **parameters: Any) -> httpx2.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**parameters, "_meta": META}}
    body = json.dumps(message, ensure_ascii=False)
    return posted(base, body, **{"mcp-method": method, "mcp-name": shown})


def tool(base: str, name: str, /, **arguments: Any) -> httpx2.Response:
    return called(base, "tools/call", name, name=name, arguments=arguments)


def nested(levels: int) -> Any:
    inner: Any = 1
    for _ in range(levels):
        inner = {"a": [inner]}
    return inner


INPUTS: dict[str, Callable[[str], object]] = {
    "the largest order": lambda base: tool(
        base,
        "generate_video",
        prompt=FOX * 5000,
        image_urls=[f"http://{FOX * 1980}.x/"] * 10,
        watermark=FOX * 200,
        callback_url="http://x/" + FOX * 1980,
        idempotency_key=FOX * 200,
    ),
    "hosts of marks": lambda base: tool(
        base, "generate_video", prompt="x", image_urls=[f"http://{MARKS}/"] * 10, callback_url=f"http://{MARKS}/"
    ),
    "a prompt over its limit": lambda base: tool(base, "generate_video", prompt="\u0301" * (ROOM // 2)),
    "50,000 pictures": lambda base: tool(base, "generate_video", prompt="x", image_urls=[7] * 50_000),
    "20,000 arguments": lambda base: tool(base, "list_tasks", **{f"a{number}": number for number in range(20_000)}),
    "names close to real ones": lambda base: tool(base, "generate_video", **{f"promt{n}": 1 for n in range(5000)}),
    "arguments nested deep": lambda base: tool(base, "list_tasks", limit=nested(90)),
    "a long file name": lambda base: tool(base, "download_video", task_id="x", filename="\u0301/" * (ROOM // 4)),
    "a long id": lambda base: tool(base, "get_task_status", task_id="\u202e" * (ROOM // 4)),
    "a long cursor": lambda base: tool(base, "list_tasks", cursor="QUFB" * (ROOM // 4)),
    "a long tool's name": lambda base: tool(base, "x" * 8000),
    "a long address of a resource": lambda base: called(
        base, "resources/read", "x", uri="sora2://tasks/" + "%41/" * (ROOM // 4)
    ),
    "a long wish for completion": lambda base: called(
        base,
        "completion/complete",
        "x",
        ref={"type": "ref/resource", "uri": "sora2://tasks/{task_id}"},
        argument={"name": "task_id", "value": "\u0301" * (ROOM // 4)},
    ),
    "a prompt's long argument": lambda base: called(
        base, "prompts/get", "storyboard", name="storyboard", arguments={"idea": "\u0301" * (ROOM // 4)}
    ),
    "brackets": lambda base: posted(base, "[" * ROOM),
    "objects": lambda base: posted(base, '{"a":' * (ROOM // 5)),
    "numbers": lambda base: posted(base, "[" + "1," * (ROOM // 2) + "1]"),
    "a long number": lambda base: posted(base, "9" * ROOM),
    "escapes": lambda base: posted(base, '"' + r"\ud800" * (ROOM // 6) + '"'),
    "keys": lambda base: posted(base, "{" + ",".join(f'"{number}":1' for number in range(ROOM // 12)) + "}"),
    "twenty at once": lambda base: [posted(base, "[" + "1," * (ROOM // 2) + "1]") for _ in range(20)],
    "callbacks": lambda base: [CALLER.post(f"{base}/callbacks/{'x' * 40}", content=b"[" * 65_000) for _ in range(50)],
    "long headers": lambda base: posted(
        base, "{}", **{"x-request-id": "x" * 8000, "baggage": "a=b," * 2000, "origin": "http://" + "x" * 8000}
    ),
}


@pytest.mark.parametrize("door", INPUTS)
def test_no_callers_input_holds_up_the_others(base: str, door: str) -> None:
    check_goes_on(base, lambda: INPUTS[door](base))


class Hostile(http.server.BaseHTTPRequestHandler):
    """A service, and a video's host, that answers with what a test has put into ``look``, ``order`` and ``video``."""

    protocol_version = "HTTP/1.1"
    order = look = b""
    coding = ""
    video: tuple[bytes, int] = (b"", 1)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._give(self.order)

    def do_GET(self) -> None:
        if not self.path.endswith(".mp4"):
            self._give(self.look)
            return
        piece, times = self.video
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        if self.coding:
            self.send_header("content-encoding", self.coding)
        self.end_headers()
        chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        with suppress(OSError):
            # Many small ones at a time, and no large copy that would hold up this process's own watch.
            at_once = max(1, 100_000 // len(chunk))
            for _ in range(times // at_once):
                self.wfile.write(chunk * at_once)
            self.wfile.write(b"0\r\n\r\n")

    def _give(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        if body.startswith(b"\x1f\x8b"):
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def customer(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose service is hostile."""
    folder = tmp_path_factory.mktemp("customer")
    variables = {
        "SORA2_API_BASE_URL": f"{service}/v1",
        "SORA2_API_KEY": "key-of-a-test+/&",
        "SORA2_MAX_REQUESTS_PER_SECOND": "1000",
        "SORA2_DUPLICATE_WINDOW_SECONDS": "0",
        "SORA2_VIDEO_DIR": str(folder / "videos"),
    }
    with Process(folder, "serve", "--transport", "streamable-http", "--port", "0", **variables) as process:
        yield address(process)


def envelope(data: object) -> bytes:
    return json.dumps({"code": 200, "msg": "success", "data": data}).encode()


def texts_within_texts(levels: int) -> str:
    inner = "https://x.example/y.mp4"
    while len(inner) < BODY_LIMIT_BYTES // 2 and levels:
        inner, levels = json.dumps([inner]), levels - 1
    return inner


ANSWERS: dict[str, bytes] = {
    "brackets": b"[" * (BODY_LIMIT_BYTES - 1),
    "numbers": b"[" + b"1," * (BODY_LIMIT_BYTES // 2 - 2) + b"1]",
    "escaped texts": b'{"code":200,"data":"' + rb"\u0073\u006b-" * (BODY_LIMIT_BYTES // 14) + b'"}',
    "beginnings of the key": envelope("key-of-a-test+/" * (BODY_LIMIT_BYTES // 25)),
    "backslashes": b'{"code":200,"msg":"' + b"\\" * (BODY_LIMIT_BYTES - 100) + b'"}',
    "a long message": json.dumps({"code": 400, "msg": "<\u202e" * 40_000}).encode(),
    "texts within texts": envelope(
        {"taskId": "t", "successFlag": 1, "response": {"resultUrls": texts_within_texts(14)}}
    ),
    "50,000 addresses": envelope({"taskId": "t", "successFlag": 1, "response": {"resultUrls": ["h:"] * 50_000}}),
    "an address of marks": envelope({"taskId": "t", "successFlag": 1, "response": {"imageUrl": f"http://{MARKS}/"}}),
    "a long address": envelope(
        {"taskId": "t", "successFlag": 1, "response": {"imageUrl": "https://x/" + "a" * 240_000}}
    ),
    "a long order": envelope({"taskId": "t", "successFlag": 0, "paramJson": json.dumps({"prompt": "\u202e" * 30_000})}),
    "packed": gzip.compress(b"[" * 100_000_000),
    "utf-32": ("{" + '"a":1,' * 8000 + '"b":1}').encode("utf-32"),
    "a web page": b"<html>" + b"<b>" * 80_000,
    "too much": b" " * 5_000_000,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_answer_of_the_services_holds_up_the_others(customer: str, answer: str) -> None:
    Hostile.order = Hostile.look = ANSWERS[answer]

    def ask() -> None:
        tool(customer, "generate_video", prompt=f"x {time.monotonic()}")
        tool(customer, "get_task_status", task_id=f"t-{time.monotonic()}")

    check_goes_on(customer, ask)


START = b"\0\0\0\x10ftypmp42\0\0\0\0"
VIDEOS: dict[str, tuple[bytes, int, str]] = {
    "pieces of one byte": (b"\0", 60_000, ""),
    "pieces of a frame's size": (START + bytes(60_000), 500, ""),
    "packed": (gzip.compress(START + bytes(60_000_000)), 100, "gzip"),
    "packed nothing": (b"\0\0\0\xff\xff", 60_000, "deflate"),
    "packed twice": (gzip.compress(gzip.compress(bytes(10_000_000))), 100, "gzip, gzip"),
    "large pieces": (START + bytes(5_000_000), 100, ""),
}


@pytest.mark.parametrize("video", VIDEOS)
def test_no_videos_body_holds_up_the_others(customer: str, service: str, video: str) -> None:
    Hostile.video, Hostile.coding = VIDEOS[video][:2], VIDEOS[video][2]

    def save() -> None:
        task_id = f"v-{time.monotonic()}"
        response = {"imageUrl": f"{service}/x.mp4"}
        Hostile.look = envelope({"taskId": task_id, "successFlag": 1, "response": response})
        tool(customer, "get_task_status", task_id=task_id)
        # Answered at the latest after 25 s; the watch goes on meanwhile.
        tool(customer, "download_video", task_id=task_id)

    check_goes_on(customer, save)
