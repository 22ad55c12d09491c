"""Whether what is installed fits together."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sora2_mcp import __version__
from sora2_mcp.cli.doctor.finding import Finding, fine, problem, warning
from sora2_mcp.cli.doctor.setup import Setup

NAME = "program"
_PACKAGE = "sora2-mcp"
_POSTGRES = "postgres"
_NAMED = ("mcp", "httpx2", "pydantic", "SQLAlchemy")


def check_program(setup: Setup) -> Finding:
    """Versions of Python and of every package that is needed, directly or by another."""
    about = f"sora2-mcp {__version__}, Python {platform.python_version()} ({sys.executable})"
    extras = {_POSTGRES} if setup.settings.database_url.get_secret_value().startswith("postgres") else set()
    try:
        packages = Packages(_PACKAGE, frozenset(extras))
    except PackageNotFoundError:
        hint = "Install it, with pip or with make setup, to be sure that it has the packages it needs."
        return warning(NAME, f"{about}, which runs without being installed: what it needs is not known.", hint)
    if packages.faults:
        wanted = "; ".join(dict.fromkeys(packages.faults))
        return problem(
            NAME, f"{about}: {wanted}.", f"Install it anew: {sys.executable} -m pip install --upgrade sora2-mcp"
        )
    named = ", ".join(f"{name} {version(name)}" for name in _NAMED)
    return fine(NAME, f"{about}, {packages.count} packages in versions that are allowed, among them {named}.")


class Packages:
    """What an installed package needs, all the way down.

    Raises:
        PackageNotFoundError: it is not installed itself.
    """

    def __init__(self, name: str, extras: frozenset[str] = frozenset()) -> None:
        self.faults: list[str] = []
        self._seen: dict[str, set[str]] = {}
        self._walk(distribution(name), {"", *extras})

    @property
    def count(self) -> int:
        """How many packages were looked at, itself included."""
        return len(self._seen)

    def _walk(self, package: Distribution, extras: set[str]) -> None:
        name = canonicalize_name(package.metadata["Name"])
        seen = self._seen.setdefault(name, set())
        new = extras - seen
        seen |= extras
        for requirement in _requirements(package, new):
            try:
                found = distribution(requirement.name)
            except PackageNotFoundError:
                self.faults.append(f"{requirement.name} is missing, which {name} needs")
                continue
            if not requirement.specifier.contains(found.version, prereleases=True):
                allowed = f"{requirement.name} {found.version} is installed, {name} needs {requirement.specifier}"
                self.faults.append(allowed)
            self._walk(found, {"", *requirement.extras})


def _requirements(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    """What the package needs here with one of the ``extras``; an empty one stands for the package itself."""
    for text in package.requires or ():
        requirement = Requirement(text)
        if any(requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement
