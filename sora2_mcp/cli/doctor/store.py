"""Whether tasks can be kept, and which of them need somebody."""

from collections.abc import Sequence

import anyio.to_thread

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.folder import obstacle_to
from sora2_mcp.cli.doctor.readings import without_credentials
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.port import Survey
from sora2_mcp.tasks.store.survey import survey

NAME = "store"


async def check_store(setup: Setup) -> tuple[Sequence[Finding], Survey | None]:
    """What the store holds, without creating or migrating it: that is left to the server's start."""
    settings = setup.settings
    if variable := setup.unusable("database_url"):
        return [skipped(NAME, f"{variable} cannot be used, so there is no store to look at.")], None
    try:
        found = await survey(settings.store_url, settings.account, setup.clock)
    except StoreError as error:
        return [problem(NAME, f"{setup.blot(str(error))} ({_place(setup)}).", _hint_of(setup, error))], None
    obstacle = found.obstacle if found else ""
    if settings.store_file and not obstacle:
        # Beside its file SQLite writes others.
        obstacle = await anyio.to_thread.run_sync(obstacle_to, settings.store_file.parent, abandon_on_cancel=True)
    if obstacle:
        return [
            problem(NAME, f"Nothing can be written to {_place(setup)}: {setup.blot(obstacle)}.", _hint(setup))
        ], found
    return _findings(setup, found), found


def _hint_of(setup: Setup, error: StoreError) -> str:
    """The error's own hint where it has one, which is meant for more than a call that may be repeated."""
    return _hint(setup) if error.hint.startswith("Check ") else error.hint


def _hint(setup: Setup) -> str:
    file = setup.settings.store_file
    if file is None:
        return "Check SORA2_DATABASE_URL, and that its server answers and lets its user in and write."
    return (
        f"See that this user may write to {file.parent} and what lies in it; a file that is damaged or no store is "
        "best replaced by a copy, or moved away: the server then begins a new one."
    )


def _place(setup: Setup) -> str:
    file = setup.settings.store_file
    return f"the file {file}" if file else without_credentials(setup.settings.store_url)


def _findings(setup: Setup, found: Survey | None) -> Sequence[Finding]:
    place = _place(setup)
    if found is None:
        return [fine(NAME, f"Tasks are kept in {place}, which the server makes when it starts.")]
    if not found.has_tables:
        return [fine(NAME, f"Tasks are kept in {place}, which is empty; the server makes its tables when it starts.")]
    if not found.is_current:
        return [fine(NAME, f"Tasks are kept in {place}; the server brings its tables up to date when it starts.")]
    return [fine(NAME, f"Tasks are kept in {place}: {_counts(setup, found)}."), *_attention(found)]


def _counts(setup: Setup, found: Survey) -> str:
    if not setup.settings.key:
        return f"{found.tasks + found.others} of any key"
    others = f"; {found.others} more belong to another key or address" if found.others else ""
    return f"{found.tasks}, of which {found.unsaved} not saved and {found.unconfirmed} unconfirmed{others}"


def _attention(found: Survey) -> Sequence[Finding]:
    wanted = []
    if found.unconfirmed:
        what = f"Orders nobody knows the outcome of, which may have been charged: {found.unconfirmed}."
        hint = (
            "See them with: sora2-mcp tasks list --status unconfirmed. Then look in your account what became of them."
        )
        wanted.append(warning(NAME, what, hint))
    if found.expiring:
        what = f"Videos not saved that the service deletes within three days: {found.expiring}."
        wanted.append(warning(NAME, what, "Save them: sora2-mcp tasks download --all"))
    return wanted
