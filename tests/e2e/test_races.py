"""Two server processes on one file; tests/faults has every engine, and more that they race for."""

from tests.faults.test_two_processes import test_twenty_racing_orders_over_both_are_one_order

__all__ = ["test_twenty_racing_orders_over_both_are_one_order"]
