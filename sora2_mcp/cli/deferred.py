"""Builds the SDK's models when they are first used: it defines hundreds, of which a session uses a few."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter

_DEFERRED = ConfigDict(defer_build=True)


@contextmanager
def models_built_on_demand() -> Iterator[None]:
    """Defers models and type adapters that are defined in the block, which saves a tenth of the SDK's import."""
    # pydantic has ``defer_build`` for this, but no way to set it for another package. To be removed when the SDK defers
    # its own (docs/decisions.md).
    config, make = BaseModel.model_config, TypeAdapter.__init__

    def make_deferred(adapter: TypeAdapter[Any], type: Any, **options: Any) -> None:
        try:
            make(adapter, type, **{"config": _DEFERRED, **options})
        except PydanticUserError:
            # A type with a config of its own takes no other; a model among these is deferred by its own.
            make(adapter, type, **options)

    BaseModel.model_config = _DEFERRED
    TypeAdapter.__init__ = make_deferred  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        BaseModel.model_config = config
        TypeAdapter.__init__ = make  # type: ignore[method-assign]
