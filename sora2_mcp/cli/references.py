"""Which task a person means: by its id, or by a beginning that no other id has."""

from collections.abc import Sequence

from sora2_mcp.domain.task import LOCAL, LOCAL_PREFIX, Task
from sora2_mcp.errors import Sora2Error, UnknownTaskError
from sora2_mcp.tasks.tasks import Tasks
from sora2_mcp.words import quoted

_SHOWN = 10
_PROMPT_SHOWN = 40


class AmbiguousIdError(Sora2Error):
    """More than one task's id begins so."""

    def __init__(self, beginning: str, candidates: Sequence[Task], *, more: bool) -> None:
        count = f"more than {len(candidates)}" if more else f"{len(candidates)}"
        super().__init__(f"{quoted(beginning[:80])} is the beginning of {count} ids; type more of the one you mean:")
        self.hint = "\n".join(f"  {_id(task, beginning)}  {_prompt(task)}".rstrip() for task in candidates)


async def resolved(tasks: Tasks, reference: str) -> str:
    """The id that is meant; one that no task here has is given as it is, as it may be known to the service.

    Raises:
        AmbiguousIdError: several ids begin so. StoreError.
    """
    beginning = reference.strip()
    try:
        return (await tasks.find(beginning, LOCAL)).reference
    except UnknownTaskError:
        found = await tasks.beginning_with(beginning, LOCAL, _SHOWN + 1)
    if len(found) > 1:
        raise AmbiguousIdError(beginning, found[:_SHOWN], more=len(found) > _SHOWN)
    return found[0].reference if found else reference


def _id(task: Task, beginning: str) -> str:
    """In the form that was begun: every task has a ``local-…`` id too."""
    return LOCAL_PREFIX + task.id if beginning.startswith(LOCAL_PREFIX) else task.reference


def _prompt(task: Task) -> str:
    return quoted(task.request.prompt, _PROMPT_SHOWN) if task.request.prompt else ""
