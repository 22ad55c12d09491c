"""The documents people read, and what is in them."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.docs.files import ROOT

ANNOUNCED_TARGETS = ("hosts",)
"""Not in the Makefile yet; each leaves this list as it comes."""

_SHELLS = ("console", "sh", "bash", "shell", "powershell")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=.*")
_STARTERS = ("uvx", "--", "run")
_REFERENCES = re.compile(r"""\b(?:href|src|srcset)="([^"]+)\"""")
_IDS = re.compile(r"""\b(?:id|name)="([^"]+)\"""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; ``line`` is where it begins."""

    language: str
    text: str
    line: int


class Document:
    """One Markdown file, as a reader sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(
                language=token.info.split()[0] if token.info.strip() else "", text=token.content, line=token.map[0] + 1
            )
            for token in self._tokens
            if token.type == "fence" and token.map
        ]

    @property
    def prose(self) -> str:
        """All that is no fenced block."""
        return "\n".join(token.content for token in self._tokens if token.type in ("inline", "html_block"))

    @property
    def words(self) -> list[str]:
        """What stands between single backticks."""
        return [token.content for token in self._inline() if token.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        """Where links and pictures lead, in Markdown and in HTML."""
        attributes = (token.attrGet("href") or token.attrGet("src") for token in self._inline())
        in_html = (found for html in self._html() for found in _REFERENCES.findall(html))
        return [str(link) for link in (*attributes, *in_html) if link]

    @property
    def anchors(self) -> set[str]:
        """What a link into this document may end in, as GitHub makes it from headings."""
        return {*_anchors(self._headings()), *(found for html in self._html() for found in _IDS.findall(html))}

    @property
    def command_lines(self) -> list[list[str]]:
        """The words of each command line in a block for a shell, without variables set in front of it."""
        return [words for block in self.blocks if block.language in _SHELLS for words in _command_lines(block.text)]

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()

    def _html(self) -> Iterator[str]:
        yield from (token.content for token in self._tokens if token.type == "html_block")
        yield from (token.content for token in self._inline() if token.type == "html_inline")

    def _headings(self) -> Iterator[str]:
        for opening, inline in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type == "heading_open":
                yield "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def make_targets() -> set[str]:
    """What can be made."""
    found = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return {*found, *ANNOUNCED_TARGETS}


def program_arguments(words: list[str], program: str) -> list[str] | None:
    """What follows a program's name where a command line runs it, else None."""
    for place, word in enumerate(words):
        is_program = word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") == program
        if is_program and (place == 0 or words[place - 1] in _STARTERS):
            return words[place + 1 :]
    return None


def split(line: str) -> list[str]:
    """The words of one command line, without variables set in front of it, comments, and what a pipe or file gets."""
    command, *_ = re.split(r"\s(?:\||>|&&?|2>)(?:\s|$)", line)
    words = shlex.split(command, comments=True)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        del words[0]
    return words


def _command_lines(text: str) -> Iterator[list[str]]:
    for line in re.sub(r"[\\`^]\n\s*", " ", text).splitlines():
        try:
            yield split(line.strip().removeprefix("$ "))
        except ValueError:
            # A line of a longer text in quotes, which is none of ours.
            continue


def _anchors(headings: Iterable[str]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1
