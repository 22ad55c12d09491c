"""Two people on one server process, the way most clients come; tests/faults has every way, and more that they try."""

import pytest

from tests.faults.test_principals import (
    test_whatever_is_tried_with_anothers_ids_is_answered_as_for_ids_nobody_has,
)

__all__ = ["test_whatever_is_tried_with_anothers_ids_is_answered_as_for_ids_nobody_has"]

pytestmark = pytest.mark.anyio
