"""What has to be known of a host to give it a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sora2_mcp.errors import Sora2Error

System = Literal["linux", "macos", "windows"]


class HostError(Sora2Error):
    """A host's configuration cannot be read, understood or written; it was left as it is."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a host's entries spell what all of them hold. An empty text: there is no such key."""

    stdio: str = ""
    """The ``type`` of a program."""

    http: str = ""
    """The ``type`` of an address."""

    url: str = "url"
    """The key of an address; empty where the file takes programs only."""

    headers: str = "headers"
    env: str = "env"
    command_is_list: bool = False
    """The program and its arguments are one list, ``command``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, as its maker documents it."""

    id: str
    """What is typed."""

    title: str
    files: Mapping[System, tuple[str, ...]]
    """The user's file: the first that exists, else the last. Their first part is a place of ``place.py``."""

    section: str
    """The key of the file that holds the servers by name."""

    limit: str
    """How long the host lets a tool call last, and what follows for a wait of up to 200 s."""

    then: str
    """What the user has to do until the host knows the server."""

    project: tuple[str, ...] = ()
    """The same below a project's folder; empty where there is none."""

    format: Literal["json", "toml"] = "json"
    comments: bool = True
    """Whether the host itself reads JSON with comments and trailing commas."""

    shape: Shape = field(default_factory=Shape)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further keys worth setting, unless the user has set them."""

    start: Mapping[str, Any] = field(default_factory=dict)
    """The same about the start of a program: an address has none."""

    env: Mapping[str, str] = field(default_factory=dict)
    """Further variables worth setting, unless the user has set them."""

    reference: str = ""
    """What stands for the key in a file that is shared: the host fills it in from its own environment."""

    forwards: str = ""
    """The key of an entry that lists variables handed on from the host's environment, instead of ``reference``."""

    asks: bool = False
    """Whether the host asks for secrets and keeps them itself (VS Code's ``inputs``)."""
