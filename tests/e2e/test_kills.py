"""kill -9 at every step of an order, with its tasks in a file; tests/faults has every engine, and downloads."""

from tests.faults.test_kills import (
    test_killed_after_the_save_the_order_is_listed_under_the_services_id,
    test_killed_before_the_intent_nothing_was_ordered_and_the_repeat_orders_once,
    test_killed_between_answer_and_save_the_order_is_listed_and_never_sent_again,
    test_killed_between_intent_and_post_the_order_is_listed_and_never_sent_by_itself,
    test_killed_during_the_post_the_order_is_listed_and_never_sent_again,
    test_killed_when_the_post_was_sent_but_had_not_arrived_the_order_is_listed,
)

__all__ = [
    "test_killed_after_the_save_the_order_is_listed_under_the_services_id",
    "test_killed_before_the_intent_nothing_was_ordered_and_the_repeat_orders_once",
    "test_killed_between_answer_and_save_the_order_is_listed_and_never_sent_again",
    "test_killed_between_intent_and_post_the_order_is_listed_and_never_sent_by_itself",
    "test_killed_during_the_post_the_order_is_listed_and_never_sent_again",
    "test_killed_when_the_post_was_sent_but_had_not_arrived_the_order_is_listed",
]
