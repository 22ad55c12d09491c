"""What hosts' files hold of this server, for those who only look."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sora2_mcp.cli.hosts.entry import API_KEY, is_reference, is_unset, servers_of, variables_of
from sora2_mcp.cli.hosts.file import HostError, document_of
from sora2_mcp.cli.hosts.machine import file_of, this_machine
from sora2_mcp.cli.hosts.table import HOSTS, Host
from sora2_mcp.errors import ConfigurationError

_OUR_NAMES = ("sora2-mcp", "sora2_mcp")
"""How an entry shows that it starts this program."""


def hosts_with_key(variables: Mapping[str, str]) -> Iterator[tuple[Host, Path]]:
    """The hosts whose user's file gives this server a key, with that file; nothing is kept of the key itself.

    Files that are missing or cannot be understood are passed over.
    """
    try:
        machine = this_machine(variables)
    except ConfigurationError:
        return
    for host in HOSTS:
        path = file_of(host, machine)
        try:
            servers = servers_of(host, document_of(host, path)).values()
        except (HostError, ValueError, RecursionError):
            continue
        ours = [
            entry for entry in servers if isinstance(entry, dict) and any(name in str(entry) for name in _OUR_NAMES)
        ]
        keys = [variables_of(host, entry).get(API_KEY, "") for entry in ours]
        # Whether a reference leads to a key, only the host knows.
        if any(not is_unset(key) and not is_reference(key) for key in keys):
            yield host, path
