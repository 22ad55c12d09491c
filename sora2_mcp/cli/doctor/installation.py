"""Whether the program is installed, set and started so that it can run."""

import ipaddress
import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from urllib.parse import urlsplit

from sora2_mcp import __version__
from sora2_mcp.cli.doctor.report import Result, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.setup import LIKE_OURS, Setup, Source, without_credentials
from sora2_mcp.domain.configured import DEFAULT_SERVICE
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.services.chosen import service_of
from sora2_mcp.settings import PREFIX, Settings, variable_of

_NAMED = ("mcp", "httpx2", "pydantic", "SQLAlchemy")
_ANY_LETTERS = "\u00fc\u4e09\U0001f98a"
_OWNER = 0o700
_HTTP = (
    *("auth_tokens", "oauth_issuer", "oauth_audience", "oauth_jwks_url"),
    *("allowed_hosts", "allowed_origins", "public_url"),
)
"""The settings that matter over HTTP alone."""


async def check_program(setup: Setup) -> Sequence[Result]:
    """Versions of Python and of every package that is needed, directly or by another."""
    about = f"sora2-mcp {__version__}, Python {platform.python_version()} ({sys.executable})"
    extras = {"postgres"} if setup.settings.database_url.get_secret_value().startswith("postgres") else set[str]()
    try:
        faults, count = faults_of_packages("sora2-mcp", extras)
    except PackageNotFoundError:
        hint = "Install it, with pip or with make setup, to be sure that it has the packages it needs."
        return [warning(f"{about}, which runs without being installed: what it needs is not known.", hint)]
    if faults:
        hint = f"Reinstall it: {sys.executable} -m pip install --upgrade sora2-mcp"
        return [problem(f"{about}: {'; '.join(dict.fromkeys(faults))}.", hint)]
    named = ", ".join(f"{name} {version(name)}" for name in _NAMED)
    return [fine(f"{about}, {count} packages in versions that are allowed, among them {named}.")]


def faults_of_packages(name: str, extras: set[str] | None = None) -> tuple[list[str], int]:
    """What is missing or has a wrong version of all that a package needs, and how many packages these are, with it.

    Raises:
        PackageNotFoundError: the package is not installed itself.
    """
    # Imported here, as in all checks: a package that is missing or broken stops only the check that needs it.
    from packaging.requirements import Requirement  # noqa: PLC0415
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    faults, seen = list[str](), dict[str, set[str]]()

    def walk(package: Distribution, extras: set[str]) -> None:
        name = canonicalize_name(package.metadata["Name"])
        new = extras - seen.setdefault(name, set())
        seen[name] |= extras
        for needed in map(Requirement, package.requires or ()):
            if not any(needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in new):
                continue
            try:
                found = distribution(needed.name)
            except PackageNotFoundError:
                faults.append(f"{needed.name} is missing, which {name} needs")
                continue
            if not needed.specifier.contains(found.version, prereleases=True):
                faults.append(f"{needed.name} {found.version} is installed, {name} needs {needed.specifier}")
            walk(found, {"", *needed.extras})

    # The empty extra stands for the package itself.
    walk(distribution(name), {"", *(extras or ())})
    return faults, len(seen)


async def check_configuration(setup: Setup) -> Sequence[Result]:
    """One result for each variable that is wrong, or one that none is."""
    unusable = [
        problem(
            f"{setting.variable} cannot be used, so the server does not start; allowed is {setting.allowed}.",
            f"Set {setting.variable} to {setting.allowed}, or take it out.",
        )
        for setting in setup.shown
        if setting.allowed
    ]
    found = [*unusable, *_missing(setup), *_images(setup), *_unknown(setup.variables), *_ineffective(setup)]
    if found:
        return found
    count = sum(setting.is_set for setting in setup.shown)
    left = [setting.variable for setting in setup.shown if setting.source is Source.PLACEHOLDER]
    # Hosts leave a placeholder for what may stay open, so it is no fault.
    placeholders = f"; a placeholder counts as not set: {', '.join(left)}" if left else ""
    return [fine(f"{count} of {len(setup.shown)} settings are given, the others have their defaults{placeholders}.")]


def _missing(setup: Setup) -> Iterator[Result]:
    """What the service needs besides a key, which has a check of its own."""
    for variable in setup.settings.lacking:
        if variable != variable_of("api_key") and not setup.unusable(variable.removeprefix(PREFIX).lower()):
            yield problem(
                f"{variable} is not set, and SORA2_SERVICE={setup.settings.service} cannot do without it.",
                f"Set {variable}; docs/services.md says to what.",
            )


def _images(setup: Setup) -> Iterator[Result]:
    folder = setup.settings.image_dir
    if folder is not None and not (folder.is_absolute() and folder.is_dir()):
        why = "is no folder" if folder.is_absolute() else "is relative to whatever folder a host starts this in"
        yield warning(f"SORA2_IMAGE_DIR {why}: {folder}.", "Set SORA2_IMAGE_DIR to a whole path of a folder.")


def _unknown(variables: Mapping[str, str]) -> Iterator[Result]:
    """Variables that look as if they were meant for this program, which does not read them."""
    known = [variable_of(name) for name in Settings.model_fields]
    for name in sorted(variables):
        ours = name.upper().startswith(PREFIX)
        if name.upper() in known or not name.upper().startswith(LIKE_OURS):
            continue
        # Another program's variables may begin alike: only a near miss is taken for a mistake.
        nearest = get_close_matches(name.upper(), known, n=1, cutoff=0.6 if ours else 0.85)
        if nearest:
            yield warning(
                f"{name} is no setting and is not used; {nearest[0]} was probably meant.",
                f"Did you mean {nearest[0]}? Rename {name}, or take it out.",
            )
        elif ours:
            hint = f"Take {name} out; the README lists the variables there are."
            yield warning(f"{name} is no setting and is not used.", hint)


def _ineffective(setup: Setup) -> Iterator[Result]:
    """Settings that are set and mean nothing to the service that is chosen."""
    settings = setup.settings
    service = service_of(settings)
    can = service.capabilities()
    ineffective = {
        "model": settings.service == DEFAULT_SERVICE,
        "model_hd": settings.service == DEFAULT_SERVICE,
        "model_input": settings.service == DEFAULT_SERVICE,
        "request_format": settings.service != "openai",
        "video_seconds": settings.video_seconds not in (0, *can.seconds),
        "callback_secret": not service.signs_callbacks,
        "daily_cost": not can.tells_costs,
    }
    for name in (name for name, is_ineffective in ineffective.items() if is_ineffective):
        if setup.setting(name).is_set:
            variable = variable_of(name)
            allowed = f" Its model takes {can.lengths}." if name == "video_seconds" and can.lengths else ""
            yield warning(
                f"{variable} has no effect with SORA2_SERVICE={settings.service}.{allowed}",
                f"Take {variable} out, or choose the service it is for; docs/services.md says what each takes.",
            )


async def check_environment(setup: Setup) -> Sequence[Result]:
    """One result for each thing beside the settings that stands in the way."""
    found = [*_home(setup), *_surroundings()]
    return found or [fine("The home folder, the working folder, the umask and the output are as they should be.")]


def _home(setup: Setup) -> Iterator[Result]:
    try:
        needed = (setup.settings.store_file, setup.settings.videos)
    except ConfigurationError as error:
        hint = "Set HOME to your home folder in the env of this server's entry in your host."
        yield problem(f"{error} The server does not start.", hint)
        return
    home = Path(setup.variables.get("HOME", "") or "/")
    try:
        is_file = not stat.S_ISDIR(home.stat().st_mode)
    except FileNotFoundError:
        yield warning(f"HOME names {home}, which is not there.", "See that HOME is the folder you meant.")
        return
    except OSError:
        # Other checks find out whether files can be kept there.
        return
    if is_file and any(place and place.is_relative_to(home) for place in needed):
        yield problem("HOME names a file, so nothing can be kept below it.", "Set HOME to your home folder.")


def _surroundings() -> Iterator[Result]:
    """The working folder, the umask and the output."""
    try:
        Path.cwd()
    except OSError:
        what = "The working folder is gone: relative paths lead nowhere."
        yield warning(what, "Start it in a folder that is there.")
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & _OWNER:
        what = f"The umask is {mask:03o}: this user cannot use the files it makes."
        yield problem(what, "Set it to 077 or 022 where the program is started: umask 077")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        _ANY_LETTERS.encode(encoding)
    except UnicodeEncodeError:
        what = f"What is shown is written in {encoding}, which lacks most letters: they are shown as question marks."
        yield warning(what, "Set PYTHONUTF8=1, and take PYTHONIOENCODING out, to see all of them.")


async def check_http(setup: Setup) -> Sequence[Result]:
    """What would hold for ``serve --transport streamable-http``; other transports ignore it."""
    from sora2_mcp.server.web.auth import token_verifier  # noqa: PLC0415 - brings mcp and Starlette
    from sora2_mcp.server.web.gate import check_reach  # noqa: PLC0415

    settings = setup.settings
    if variable := setup.unusable(*_HTTP):
        return [skipped(f"{variable} cannot be used, so the settings for HTTP make no whole.")]
    if not (settings.tokens or any(getattr(settings, field) for field in _HTTP if field != "auth_tokens")):
        return [fine("Nothing is set for HTTP: stdio needs nothing, and over HTTP only this machine is served.")]
    try:
        token_verifier(settings, setup.clock)
        check_reach(settings, None)
    except ConfigurationError as error:
        what = f"{error} The server does not start over HTTP; over stdio it does."
        return [problem(what, f"Set what is missing, or take {error.variable} and what goes with it out.")]
    return [*_doubts(settings)] or [fine(" ".join(_meanings(settings)))]


def _meanings(settings: Settings) -> Iterator[str]:
    if names := ", ".join(name for name, _ in settings.tokens):
        yield f"Over HTTP these may call, each with tasks of their own: {names}."
    if settings.oauth_issuer:
        yield f"Bearer JWTs of {without_credentials(settings.oauth_issuer)} are taken."
    if not settings.has_access_control:
        yield "Over HTTP only this machine is served, for there are no tokens."
    if served := [*settings.hosts, *settings.public_host]:
        yield f"Served as {', '.join(dict.fromkeys(served))} and by this machine's own names."
    if settings.origins:
        yield f"Pages of {', '.join(settings.origins)} may call."
    if settings.public_url:
        yield f"The service calls back at {settings.public_url.rstrip('/')}/callbacks/."


def _doubts(settings: Settings) -> Iterator[Result]:
    """Settings that the server starts with, though they are probably a mistake."""
    public_url = settings.public_url
    if public_url and _is_private(public_url) and not _is_private(settings.base_url):
        what = f"The service cannot reach SORA2_PUBLIC_URL ({public_url}), so no callback arrives."
        yield warning(what, "Set SORA2_PUBLIC_URL to an address the world can reach, or take it out.")
    elif _is_plain_on_the_net(public_url):
        what = "SORA2_PUBLIC_URL is http://: tokens and callbacks cross the net for anybody to read."
        yield warning(what, "Have a reverse proxy speak TLS, and set SORA2_PUBLIC_URL to its https:// address.")
    if public_url and not settings.has_access_control:
        what = "SORA2_PUBLIC_URL without tokens: the service may call back, and other machines may not call."
        yield warning(what, "Have the proxy pass on /callbacks/ only, or set SORA2_AUTH_TOKENS=name:token.")
    if settings.oauth_issuer and not public_url:
        what = "Clients are not told whose tokens are taken, because SORA2_PUBLIC_URL is not set."
        yield warning(what, "Set SORA2_PUBLIC_URL to this server's address, unless your clients know the issuer.")
    if _is_plain_on_the_net(settings.oauth_jwks_url):
        what = "SORA2_OAUTH_JWKS_URL is http://: anyone on the network path can let others in."
        yield warning(what, "Use the issuer's https:// address.")


def _is_plain_on_the_net(url: str) -> bool:
    return urlsplit(url).scheme == "http" and not _is_private(url)


def _is_private(url: str) -> bool:
    """Whether only this machine or its own network reaches an address, as far as its host's name shows."""
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
