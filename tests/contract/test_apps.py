"""The documents that hosts and browsers show: small, whole in themselves, and no text in them can become markup."""

import json
import re
from pathlib import Path

import pytest

from sora2_mcp.server.apps import GALLERY, PLAYER, asset, in_one_file
from tests.servers import agent, settings_in
from tests.web import client_of, served
from tools.docs.catalogue import SERVICES, catalogue

pytestmark = pytest.mark.anyio

APPS = {PLAYER: "player.html", GALLERY: "gallery.html"}
PAGE = ("page.html", "look.css", "common.js", "cards.js", "web.js", "page.js")
_ELSEWHERE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"
    r"|\beval\b|new Function|setTimeout\(\s*[\"'`]|localStorage|sessionStorage|document\.cookie|indexedDB"
)
_HANDLER = re.compile(r"<[a-z][^>]*\son[a-z]+=|style=", re.IGNORECASE)


@pytest.mark.parametrize("name", APPS.values())
def test_an_app_is_one_document_of_30_kilobytes_at_most(name: str) -> None:
    document = in_one_file(name)

    assert len(document.encode()) < 30_000
    assert document.startswith("<!doctype html>")
    assert not re.search(r"<link|\ssrc=|assets/|@import|url\(", document)
    assert document.count("<script>") == asset(name).count("<script ") > 0


@pytest.mark.parametrize("name", [*APPS.values(), *PAGE])
def test_no_document_names_another_host_makes_markup_of_a_text_or_stores_anything(name: str) -> None:
    text = in_one_file(name) if name in APPS.values() else asset(name)

    assert len(text.encode()) < 30_000
    assert _ELSEWHERE.findall(text) == []
    assert _MARKUP.findall(text) == []
    if name.endswith(".html"):
        assert _HANDLER.findall(asset(name)) == []


async def test_the_page_allows_no_script_or_style_but_its_own_files(tmp_path: Path) -> None:
    async with served(settings_in(tmp_path)) as base, client_of(base) as http:
        page = await http.get("/")
        files = re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text)
        for answer in [page, *[await http.get(f"/{file}") for file in files]]:
            assert answer.status_code == 200
            policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
            assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
            assert policy["connect-src"] == "'self'"
            assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
            assert "unsafe" not in str(policy)
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert sorted(files) == sorted(f"assets/{name}" for name in PAGE if name != "page.html")
        assert (await http.get("/assets/player.html")).status_code == 404


async def test_what_an_app_asks_for_is_where_videos_are_and_nothing_else(tmp_path: Path) -> None:
    media = "https://cdn.example,https://*.video.example"
    async with agent(tmp_path, media_hosts=media, public_url="https://sora2.example/mcp-server") as one:
        for uri in APPS:
            (content,) = (await one.client.read_resource(uri)).contents
            assert content.mime_type == "text/html;profile=mcp-app"
            assert content.meta == {
                "ui": {
                    "csp": {
                        "resourceDomains": [
                            "https://*.aiquickdraw.com",
                            "https://sora2.example",
                            "https://cdn.example",
                            "https://*.video.example",
                        ]
                    },
                    "prefersBorder": True,
                }
            }


@pytest.mark.parametrize("service", SERVICES)
def test_what_names_a_tools_app_costs_a_model_at_most_30_tokens(service: str) -> None:
    shown = {tool["name"]: tool["_meta"] for tool in catalogue(service)["tools"] if "_meta" in tool}

    assert {meta["ui"]["resourceUri"] for meta in shown.values()} == {*APPS}
    assert {name for name, meta in shown.items() if meta["ui"]["resourceUri"] == GALLERY} == {"list_tasks"}
    for meta in shown.values():
        assert len(json.dumps(meta, separators=(",", ":"))) / 4 <= 30
        assert meta["ui/resourceUri"] == meta["ui"]["resourceUri"]
