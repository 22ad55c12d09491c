"""What the program was started in, beside its own variables."""

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, warning
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.errors import ConfigurationError

NAME = "environment"
_ANY_LETTERS = "\u00fc\u4e09\U0001f98a"
_OWNER = 0o700


def check_environment(setup: Setup, given: Mapping[str, str]) -> Sequence[Finding]:
    """One finding for each thing that is in the way."""
    found = [*_about_home(setup, given), *_about_working_folder(), *_about_umask(), *_about_letters()]
    return found or [fine(NAME, "The home folder, the working folder, the umask and the output are as they should be.")]


def _about_home(setup: Setup, given: Mapping[str, str]) -> Iterator[Finding]:
    try:
        needed = (setup.settings.store_file, setup.settings.videos)
    except ConfigurationError as error:
        hint = "Set HOME to your home folder in the env of this server's entry in your host."
        yield problem(NAME, f"{error} The server does not start.", hint)
        return
    home = Path(given.get("HOME", "") or "/")
    try:
        is_file = not stat.S_ISDIR(home.stat().st_mode)
    except FileNotFoundError:
        yield warning(NAME, f"HOME names {home}, which is not there.", "See that HOME is the folder you meant.")
        return
    except OSError:
        # Whether anything can be kept there, other checks find out.
        return
    if is_file and any(place and place.is_relative_to(home) for place in needed):
        yield problem(NAME, "HOME names a file, so nothing can be kept below it.", "Set HOME to your home folder.")


def _about_working_folder() -> Iterator[Finding]:
    try:
        Path.cwd()
    except OSError:
        what = "The working folder is gone: relative paths lead nowhere."
        yield warning(NAME, what, "Start it in a folder that is there.")


def _about_umask() -> Iterator[Finding]:
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & _OWNER:
        what = f"The umask is {mask:03o}: this user cannot use the files it makes."
        yield problem(NAME, what, "Set it to 077 or 022 where the program is started: umask 077")


def _about_letters() -> Iterator[Finding]:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        _ANY_LETTERS.encode(encoding)
    except UnicodeEncodeError:
        what = f"What is shown is written in {encoding}, which lacks most letters: they are shown as question marks."
        yield warning(NAME, what, "Set PYTHONUTF8=1, and take PYTHONIOENCODING out, to see all of them.")
