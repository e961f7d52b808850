"""docs/protocol.md, section 5.6: the window, and the memory of a long connection."""

from __future__ import annotations

from chat.delivery import MARKS_PER_WINDOW, Frame, LogRead
from tests.delivery_steps import BIG, connected, log, position, read_all, resume, texts, wake


def test_events_stop_when_the_window_is_full_and_go_on_from_the_log_after_an_ack() -> None:
    delivery = connected(window=100)
    assert len(wake(delivery, 11, 1, 9, size=40)) == 3
    assert delivery.window_full
    assert wake(delivery, 11, 10, 10, size=40) == []
    assert delivery.next_read() is None
    delivery.ack({"run-11": 2})
    assert delivery.next_read() == LogRead("run-11", after_seq=3)
    assert len(delivery.log_page(LogRead("run-11", 3), log(11, 4, 10, size=40)).frames) == 2


def test_a_run_that_begins_while_the_window_is_full_is_read_from_the_log() -> None:
    delivery = connected(window=100)
    delivery.admit_reply(100)
    assert wake(delivery, 11, 1, 1) == []
    assert wake(delivery, 12, 1, 1) == []
    delivery.ack({}, received=1)
    assert read_all(delivery, 1) == ["11:1", "12:1"]


def test_a_frame_larger_than_the_window_is_admitted() -> None:
    delivery = connected(window=100)
    delivery.admit_reply(99)
    assert len(wake(delivery, 11, 1, 1, size=5000)) == 1
    assert delivery.outstanding == 5099


def test_bytes_are_counted_not_characters() -> None:
    delivery = connected()
    delivery.wake("run-11", 11, [Frame(1, "é", terminal=False)], last_seq=1)
    assert delivery.outstanding == 2


def test_replies_pass_a_full_window_up_to_a_quarter_more_and_notices_do_not() -> None:
    delivery = connected(window=100)
    assert delivery.admit_notice(100)
    assert not delivery.admit_notice(1)
    assert delivery.admit_reply(24)
    assert delivery.admit_reply(1)
    assert not delivery.admit_reply(1)
    assert delivery.outstanding == 125


def test_received_releases_every_frame_up_to_its_number() -> None:
    delivery = connected(window=100)
    delivery.admit_reply(10)
    wake(delivery, 11, 1, 1, size=20)
    delivery.admit_notice(30)
    delivery.ack({}, received=2)
    assert delivery.outstanding == 30
    delivery.ack({}, received=3)
    assert delivery.outstanding == 0


def test_a_client_that_only_pings_never_fills_its_window() -> None:
    delivery = connected(window=1000)
    for count in range(1, 2000):
        assert delivery.admit_reply(90)
        if count % 5 == 0:
            delivery.ack({}, received=count)


def test_a_cursor_releases_all_that_was_sent_before_its_event() -> None:
    delivery = connected(window=100)
    delivery.admit_reply(10)
    wake(delivery, 11, 1, 1, size=20)
    wake(delivery, 12, 1, 1, size=5)
    delivery.admit_reply(7)
    delivery.ack({"run-12": 1})
    assert delivery.outstanding == 7


def test_an_old_ack_releases_nothing() -> None:
    delivery = connected(window=100)
    wake(delivery, 11, 1, 2, size=20)
    delivery.ack({"run-11": 2}, received=2)
    wake(delivery, 11, 3, 3, size=20)
    delivery.ack({"run-11": 2}, received=2)
    assert delivery.outstanding == 20


def test_an_ack_of_what_was_never_sent_is_ignored() -> None:
    delivery = connected(window=100)
    wake(delivery, 11, 1, 2, size=20)
    delivery.ack({"run-11": 3, "run-12": 1, "": 0}, received=3)
    assert delivery.outstanding == 40
    resume(delivery, {"run-11": 0}, position(11, 2))
    assert read_all(delivery, 2) == texts(11, 1, 2)


def test_a_replay_is_not_released_by_an_ack_of_what_came_before_it() -> None:
    delivery = connected(window=1000)
    wake(delivery, 11, 1, 2, size=20)
    resume(delivery, {"run-11": 0}, position(11, 2))
    delivery.log_page(LogRead("run-11", 0), log(11, 1, 2, size=30))
    delivery.ack({"run-11": 2})
    assert delivery.outstanding == 60
    delivery.ack({}, received=4)
    assert delivery.outstanding == 0


def test_what_a_client_has_from_another_socket_releases_nothing_on_this_one() -> None:
    delivery = connected(window=1000)
    wake(delivery, 11, 1, 3, size=20)
    resume(delivery, {"run-11": 7}, position(11, 8))
    delivery.log_page(LogRead("run-11", 7), log(11, 8, 8, size=5))
    delivery.ack({"run-11": 7})
    assert delivery.outstanding == 65
    delivery.ack({"run-11": 8})
    assert delivery.outstanding == 0


def test_a_long_connection_keeps_nothing_of_ended_runs() -> None:
    delivery = connected(window=BIG)
    sent = 0
    for number in range(11, 100_011):
        sent += len(wake(delivery, number, 1, 3, end=3, size=200))
        if number % 100 == 0:
            delivery.ack({f"run-{number}": 3})
    assert sent == 300_000
    delivery.ack({}, received=sent)
    assert delivery.outstanding == 0
    assert not delivery._runs
    assert not delivery._ended
    assert wake(delivery, 500, 1, 3, end=3) == []


def test_the_bookkeeping_of_a_full_window_is_small() -> None:
    delivery = connected(window=BIG)
    seq = 0
    while not delivery.window_full:
        seq += 1
        wake(delivery, 11, seq, seq, size=150)
        delivery.admit_reply(50)
    while delivery.admit_reply(50):
        pass
    assert len(delivery._window._marks) <= 2 * 1.25 * MARKS_PER_WINDOW + 2
    assert len(delivery._runs) == 1
