"""docs/protocol.md, section 5, rule by rule."""

from __future__ import annotations

from chat.delivery import MAX_RUNS_AFTER, LogRead, ResumedRun
from tests.delivery_steps import check, connected, is_check_due, log, position, read_all, resume, texts, wake

# 5.1: runs above the baseline


def test_a_run_above_the_baseline_is_sent_as_it_is_heard() -> None:
    delivery = connected()
    assert wake(delivery, 11, 1, 2) == texts(11, 1, 2)
    assert wake(delivery, 11, 3, 3) == texts(11, 3, 3)
    assert delivery.next_read() is None


def test_a_run_above_the_baseline_is_followed_from_seq_1_whichever_event_is_heard_first() -> None:
    delivery = connected()
    assert wake(delivery, 11, 3, 4) == []
    assert delivery.next_read() == LogRead("run-11", after_seq=0)
    assert read_all(delivery, 4) == texts(11, 1, 4)
    assert wake(delivery, 11, 5, 5) == texts(11, 5, 5)


def test_runs_begin_in_the_order_of_their_numbers() -> None:
    delivery = connected()
    assert wake(delivery, 12, 1, 2) == []
    assert is_check_due(delivery)
    check(delivery, position(12, 2), position(11, 1))
    assert not is_check_due(delivery)
    assert wake(delivery, 12, 3, 3) == []
    assert delivery.log_page(LogRead("run-12", 0), log(12, 1, 3)).frames == []
    assert delivery.next_read() == LogRead("run-11", after_seq=0)
    assert delivery.log_page(LogRead("run-11", 0), log(11, 1, 1)).frames == texts(11, 1, 1)
    assert read_all(delivery, 3) == texts(12, 1, 3)


def test_a_run_heard_of_too_early_is_followed_once_the_one_before_it_has_begun() -> None:
    delivery = connected()
    assert wake(delivery, 12, 1, 1) == []
    assert wake(delivery, 11, 1, 1) == texts(11, 1, 1)
    assert wake(delivery, 12, 2, 2) == []
    assert not is_check_due(delivery)
    assert read_all(delivery, 2) == texts(12, 1, 2)


def test_a_number_whose_run_is_deleted_is_passed_over() -> None:
    delivery = connected()
    wake(delivery, 13, 1, 1)
    check(delivery, position(13, 1))
    assert read_all(delivery, 1) == texts(13, 1, 1)
    assert wake(delivery, 12, 1, 1) == []


def test_a_check_stays_due_when_a_later_run_is_heard_of_while_it_is_made() -> None:
    delivery = connected()
    wake(delivery, 12, 1, 1)
    running = delivery.check()
    wake(delivery, 14, 1, 1)
    delivery.positions(running, [position(12, 1)])
    assert is_check_due(delivery)
    check(delivery, position(12, 1))
    assert not is_check_due(delivery)


# 5.2, 5.3: what is withheld, and what is sent twice


def test_a_run_at_or_below_the_baseline_is_withheld_until_a_resume_names_it() -> None:
    delivery = connected()
    assert wake(delivery, 10, 5, 5) == []
    check(delivery, position(10, 5))
    assert delivery.next_read() is None
    assert resume(delivery, {"run-10": 3}, position(10, 5)) == {"run-10": ResumedRun(10, "running", 4, 5)}
    assert read_all(delivery, 5) == texts(10, 4, 5)
    assert wake(delivery, 10, 6, 6) == texts(10, 6, 6)


def test_cursor_0_means_all() -> None:
    delivery = connected()
    resume(delivery, {"run-9": 0}, position(9, 3, status="completed"))
    assert read_all(delivery, 3, end=3) == texts(9, 1, 3)


def test_runs_above_after_run_are_followed_without_being_named() -> None:
    delivery = connected()
    above = [position(9, 2, status="completed"), position(10, 1)]
    assert resume(delivery, {"run-9": 1}, above[0], above=above) == {
        "run-9": ResumedRun(9, "completed", 2, 2),
        "run-10": ResumedRun(10, "running", 1, 1),
    }
    assert delivery.log_page(LogRead("run-9", 1), log(9, 2, 2, end=2)).frames == texts(9, 2, 2)
    assert delivery.log_page(LogRead("run-10", 0), log(10, 1, 1)).frames == texts(10, 1, 1)


def test_more_than_200_runs_above_after_run_are_reloaded_and_not_followed() -> None:
    delivery = connected(baseline=500)
    above = [position(number, 1) for number in range(300, 301 + MAX_RUNS_AFTER)]
    answer = delivery.resume({"run-299": 1}, named=[position(299, 2)], above=above)
    assert answer.reload
    assert list(answer.runs) == ["run-299"]
    assert delivery.check().run_ids == ["run-299"]


def test_runs_above_the_baseline_do_not_count_as_missed() -> None:
    delivery = connected(baseline=300)
    above = [position(number, 1) for number in range(300, 301 + MAX_RUNS_AFTER)]
    answer = delivery.resume({}, named=[], above=above)
    assert not answer.reload
    assert list(answer.runs) == ["run-300"]


def test_a_resume_rewinds_a_run_before_its_first_ack_and_not_after() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 5)
    assert resume(delivery, {"run-11": 2}, position(11, 5)) == {"run-11": ResumedRun(11, "running", 3, 5)}
    assert read_all(delivery, 5) == texts(11, 3, 5)
    delivery.ack({"run-11": 1})
    assert resume(delivery, {"run-11": 2}, position(11, 5)) == {"run-11": ResumedRun(11, "running", 6, 5)}
    assert delivery.next_read() is None


def test_a_cursor_ahead_of_what_was_sent_moves_the_run_forward() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 2)
    resume(delivery, {"run-11": 6}, position(11, 8))
    assert read_all(delivery, 8) == texts(11, 7, 8)


def test_a_run_resumed_before_it_was_begun_comes_in_its_turn_from_seq_1() -> None:
    delivery = connected()
    assert resume(delivery, {"run-12": 4}, position(12, 5)) == {"run-12": ResumedRun(12, "running", 1, 5)}
    assert is_check_due(delivery)
    check(delivery, position(11, 1), position(12, 5))
    assert delivery.log_page(LogRead("run-11", 0), log(11, 1, 1)).frames == texts(11, 1, 1)
    assert read_all(delivery, 5) == texts(12, 1, 5)


def test_an_ended_run_that_was_sent_can_be_resumed_anew() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 3, end=3)
    delivery.ack({"run-11": 3})
    assert wake(delivery, 11, 2, 3, end=3) == []
    resume(delivery, {"run-11": 1}, position(11, 3, status="completed"))
    assert read_all(delivery, 3, end=3) == texts(11, 2, 3)


# 5.4: lost, repeated, delayed, reordered


def test_a_repeated_or_late_wake_up_is_dropped() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 3)
    assert wake(delivery, 11, 2, 3) == []
    assert wake(delivery, 11, 3, 4) == texts(11, 4, 4)
    assert delivery.next_read() is None


def test_a_gap_is_read_from_the_log() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    assert wake(delivery, 11, 4, 4) == []
    assert delivery.next_read() == LogRead("run-11", after_seq=1)
    assert read_all(delivery, 4) == texts(11, 2, 4)


def test_a_wake_up_without_frames_is_read_from_the_log() -> None:
    delivery = connected()
    assert delivery.wake("run-11", 11, [], last_seq=2) == []
    assert read_all(delivery, 2) == texts(11, 1, 2)


def test_a_page_that_a_wake_up_overtook_is_not_sent_twice() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    wake(delivery, 11, 3, 3)
    read = delivery.next_read()
    assert read is not None
    assert wake(delivery, 11, 2, 2) == texts(11, 2, 2)
    assert delivery.log_page(read, log(11, 2, 3)).frames == texts(11, 3, 3)


def test_the_position_check_finds_what_no_wake_up_told_of() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    assert delivery.check().run_ids == ["run-11"]
    assert delivery.check().above == 11
    check(delivery, position(12, 1), position(11, 3))
    assert delivery.next_read() == LogRead("run-12", after_seq=0)
    assert delivery.log_page(LogRead("run-12", 0), log(12, 1, 1)).frames == texts(12, 1, 1)
    assert read_all(delivery, 3) == texts(11, 2, 3)


def test_runs_that_are_behind_are_read_in_turn() -> None:
    delivery = connected()
    resume(delivery, {"run-9": 0, "run-10": 0}, position(9, 9), position(10, 9))
    order = []
    for _ in range(4):
        read = delivery.next_read()
        assert read is not None
        order.append(read.run_id)
        number = int(read.run_id.removeprefix("run-"))
        delivery.log_page(read, log(number, read.after_seq + 1, read.after_seq + 2))
    assert order == ["run-9", "run-10", "run-9", "run-10"]


def test_nothing_follows_the_terminal_event() -> None:
    delivery = connected()
    assert wake(delivery, 11, 1, 3, end=3) == texts(11, 1, 3)
    assert wake(delivery, 11, 1, 3, end=3) == []
    assert delivery.check().run_ids == []
    assert delivery.next_read() is None


def test_a_followed_run_that_the_check_does_not_find_is_deleted() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    wake(delivery, 11, 3, 3)
    check(delivery)
    assert delivery.next_read() is None
    assert wake(delivery, 11, 2, 3) == []


def test_a_forgotten_run_is_not_sent_any_more() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    delivery.forget("run-11")
    delivery.forget("run-unknown")
    assert wake(delivery, 11, 2, 2) == []


# 5.5: pruned parts, impossible cursors, what is gone


def test_a_page_that_begins_too_late_makes_a_snapshot_necessary() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    wake(delivery, 11, 9, 9)
    page = delivery.log_page(LogRead("run-11", 1), log(11, 8, 9))
    assert page.frames == []
    assert page.snapshot_required == ["run-11"]
    assert wake(delivery, 11, 2, 10) == []
    assert delivery.next_read() is None


def test_an_empty_page_where_events_must_be_makes_a_snapshot_necessary() -> None:
    delivery = connected()
    wake(delivery, 11, 2, 2)
    assert delivery.log_page(LogRead("run-11", 0), []).snapshot_required == ["run-11"]
    assert wake(delivery, 12, 1, 1) == texts(12, 1, 1)


def test_a_run_that_needed_a_snapshot_is_followed_again_after_a_resume() -> None:
    delivery = connected()
    wake(delivery, 11, 2, 5)
    delivery.log_page(LogRead("run-11", 0), log(11, 4, 5))
    resume(delivery, {"run-11": 5}, position(11, 6, first=4))
    assert read_all(delivery, 6) == texts(11, 6, 6)


def test_a_resume_into_a_pruned_part_or_beyond_the_end_is_answered_with_snapshot_required() -> None:
    delivery = connected()
    named = [position(7, 9, first=4), position(8, 9), position(9, 9, first=10, status="failed")]
    answer = delivery.resume({"run-7": 2, "run-8": 10, "run-9": 9}, named=named)
    assert answer.snapshot_required == ["run-7", "run-8"]
    assert answer.runs == {"run-9": ResumedRun(9, "failed", 10, 9)}
    assert delivery.next_read() is None


def test_a_run_that_is_not_found_is_gone_and_not_followed() -> None:
    delivery = connected()
    wake(delivery, 11, 1, 1)
    assert delivery.resume({"run-11": 1, "foreign": 0}, named=[]).gone == ["run-11", "foreign"]
    assert wake(delivery, 11, 2, 2) == []
