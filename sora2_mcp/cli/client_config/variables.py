"""The variables that go into an entry: those that the user names, and those of this shell that it cannot do without."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from pydantic import SecretStr

from sora2_mcp.cli.hosts.entry import (
    API_KEY,
    DAILY_LIMIT,
    OF_SERVICE,
    SERVICE,
    YOUR_KEY,
    YOUR_SECRET,
    Wanted,
    is_reference,
    is_unset,
)
from sora2_mcp.domain.configured import DEFAULT_SERVICE, counts_as_set
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import Settings, environment, variable_of

_SIMULATE = "SORA2_SIMULATE"
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
NETWORK = (*_PROXIES, "NO_PROXY", *_AUTHORITIES)
"""The variables of others that this program goes by."""

_SETTINGS = {variable_of(name): name for name in Settings.model_fields}
_KNOWN = (*_SETTINGS, *NETWORK)
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_SUGGESTED_LIMIT = "20"


def is_secret(name: str, value: str) -> bool:
    """Whether a variable's value is for its owner alone: a key, a token, an address with a password in it."""
    field = Settings.model_fields.get(_SETTINGS.get(name, ""))
    has_login = "@" in value and ("://" in value or name in _PROXIES)
    return has_login or (field is not None and isinstance(field.default, SecretStr))


def chosen_variables(arguments: argparse.Namespace) -> dict[str, str]:
    """What the user named with ``--env``, by its usual name.

    Raises:
        ConfigurationError: it cannot go into this entry. The text never holds the value, which may be a secret.
    """
    if arguments.env and arguments.http:
        raise ConfigurationError("--env", "does not go with --http: that server has settings of its own")
    shell = _shell()
    chosen = dict[str, str]()
    for word in arguments.env:
        name, value = _pair(word, shell)
        _check_place(name, value, arguments)
        _check_network(name, value)
        chosen[name] = value
    if arguments.service and chosen.get(SERVICE, arguments.service) != arguments.service:
        raise ConfigurationError(f"--env {SERVICE}", f"and --service {arguments.service} name two services; take one")
    return chosen


def given_variables(arguments: argparse.Namespace, chosen: Mapping[str, str]) -> dict[str, str]:
    """What the entry needs: the key, the service it is for and its model, of this shell; and all that was chosen.

    Raises:
        ConfigurationError: a value cannot be used; or the service needs an address or a model, and none is set.
    """
    # The entry says itself whether it is for the simulator, which lacks nothing.
    overrides: dict[str, str | bool] = {"simulate": False}
    overrides |= {_SETTINGS[name]: value for name, value in chosen.items() if name in _SETTINGS}
    overrides |= {"service": arguments.service} if arguments.service else {}
    settings = Settings.load(**overrides)
    missing = [variable for variable in settings.lacking if variable != API_KEY]
    if missing and not (arguments.simulate or arguments.http):
        raise ConfigurationError(missing[0], f"is not set, and {settings.service} needs it: set it and run this again.")
    given = {} if is_unset(settings.key) else {API_KEY: settings.key}
    if arguments.service or settings.service != DEFAULT_SERVICE:
        given[SERVICE] = settings.service
    set_values = settings.model_dump(exclude_defaults=True, mode="json")
    named = {variable_of(name): value for name, value in set_values.items()}
    return {**given, **{name: str(named[name]) for name in OF_SERVICE if name in named and name != SERVICE}, **chosen}


def suggested_limit() -> str:
    """The daily limit for an entry without one; empty where the user has set one here, and so has thought of it."""
    return "" if DAILY_LIMIT in _shell() else _SUGGESTED_LIMIT


def printable(wanted: Wanted) -> Wanted:
    """The same without secrets: what is printed may end up in a chat or a ticket."""
    hidden = {name: YOUR_KEY if name == API_KEY else YOUR_SECRET for name in wanted.given}
    safe = {name: hidden[name] if is_secret(name, value) else value for name, value in wanted.given.items()}
    return replace(wanted, given=safe)


def left_behind(wanted: Wanted, carried: Mapping[str, object]) -> Sequence[str]:
    """The variables that are set here, and that the entry could carry but does not, or with another value."""
    if wanted.url:
        return []
    there = {name.upper(): str(value) for name, value in carried.items()}
    # The simulator has no address, no model and no key, and is on this machine.
    idle = {API_KEY, _SIMULATE, *((*OF_SERVICE, *NETWORK) if wanted.simulate else ())}
    shell = {name: value for name, value in _shell().items() if not (wanted.project and is_secret(name, value))}
    return [name for name in _KNOWN if name in shell and name not in idle and _differs(there.get(name), shell[name])]


def _differs(there: str | None, here: str) -> bool:
    # A secret that is not printed, and a reference that the host fills in, are the user's business.
    return there != here and there != YOUR_SECRET and not (there and is_reference(there))


def key_is_set() -> bool:
    """Whether this shell has an API key."""
    return not is_unset(_shell().get(API_KEY, ""))


def simulate_is_set() -> bool:
    """Whether this shell has what runs the program itself on the simulator."""
    return _shell().get(_SIMULATE, "0") not in ("0", "false", "no", "off")


def _shell() -> dict[str, str]:
    """What is set here, by its usual name: names of our variables and of proxies count in any case."""
    return {name.upper(): text.strip() for name, text in environment().items() if counts_as_set(text)}


def _pair(word: str, shell: Mapping[str, str]) -> tuple[str, str]:
    spelled, mark, value = word.partition("=")
    name = spelled.strip().upper()
    nearest = get_close_matches(name, _KNOWN, n=1)
    if not _NAME.fullmatch(name) or not (mark or nearest):
        # What stands there instead of a name may be the secret itself.
        raise ConfigurationError("--env", "needs NAME=VALUE, or NAME alone for the value that is set here")
    if name not in _KNOWN:
        hint = f"did you mean {nearest[0]}?" if nearest else f"it takes SORA2_… settings and {', '.join(NETWORK)}."
        raise ConfigurationError("--env", f"knows no {name}; {hint}")
    if not mark and name not in shell:
        raise ConfigurationError(f"--env {name}", f"needs a value, since none is set here: --env {name}=…")
    value = value.strip() if mark else shell[name]
    if not counts_as_set(value) or is_unset(value):
        raise ConfigurationError(f"--env {name}", "has no value: give it one, or leave the option out.")
    return name, value


def _check_place(name: str, value: str, arguments: argparse.Namespace) -> None:
    if name == _SIMULATE:
        raise ConfigurationError(f"--env {name}", "is not needed: --simulate makes an entry for the simulator.")
    if name == API_KEY and arguments.simulate:
        raise ConfigurationError(f"--env {name}", "does not go with --simulate, which needs no key.")
    if arguments.project and is_secret(name, value):
        problem = "holds a secret, and --project writes a file that is shared: leave it out, and set it where the host"
        raise ConfigurationError(f"--env {name}", f"{problem} is started.")


def _check_network(name: str, value: str) -> None:
    if name not in NETWORK:
        return
    from sora2_mcp.services.proxies import PROXY, is_proxy  # noqa: PLC0415 - brings httpx2, which few entries need
    from sora2_mcp.services.tls import CAFileError, check_authorities  # noqa: PLC0415 - as above

    if name in _PROXIES and not is_proxy(value):
        raise ConfigurationError(f"--env {name}", f"cannot be used; allowed is {PROXY}.")
    if name in _AUTHORITIES:
        if not Path(value).is_absolute():
            problem = "is relative to whatever folder a host starts the server in: give it a whole path."
            raise ConfigurationError(f"--env {name}", problem)
        try:
            check_authorities(name, Path(value))
        except CAFileError as error:
            raise ConfigurationError("--env", f"is refused: {error}.") from error
