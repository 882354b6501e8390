import threading
import time

import pytest

from breastseg.workflows.streaming import cases_at_once, in_order


def results(work, items, at_once):
    return [future.result() for future in in_order(work, items, at_once=at_once)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_the_order_is_that_of_the_items_whichever_is_done_first(at_once):
    def late_if_even(number):
        time.sleep(0.01 * (number % 2 == 0))
        return 10 * number

    assert results(late_if_even, range(9), at_once) == [10 * number for number in range(9)]


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_error_belongs_to_its_item(at_once):
    def inverse(number):
        return 1 / number

    first, second, third = in_order(inverse, [1, 0, 2], at_once=at_once)
    assert (first.result(), third.result()) == (1, 0.5)
    with pytest.raises(ZeroDivisionError):
        second.result()


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_error_of_the_items_comes_after_what_was_before_it(at_once):
    def items():
        yield from (1, 2)
        raise ValueError("no more")

    *done, failed = in_order(abs, items(), at_once=at_once)
    assert [future.result() for future in done] == [1, 2]
    with pytest.raises(ValueError, match="no more"):
        failed.result()


def test_work_is_done_together_and_no_more_than_was_said():
    both = threading.Barrier(2, timeout=10)
    assert results(lambda _: both.wait() >= 0, range(4), at_once=2) == [True] * 4


def test_no_more_items_are_taken_than_fit_into_memory():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    finished = in_order(abs, items(), at_once=2)
    assert taken == []
    for count in range(1, 4):
        next(finished)
        assert len(taken) == 3 + count
    finished.close()


def test_whoever_stops_waits_for_what_is_begun_and_begins_nothing_else():
    begun, done, go_on = [], [], threading.Event()

    def work(number):
        begun.append(number)
        if number:
            go_on.wait(10)
        done.append(number)

    finished = in_order(work, range(100), at_once=2)
    next(finished)
    go_on.set()
    finished.close()
    assert sorted(done) == sorted(begun)
    assert len(begun) <= 4
    assert not [each for each in threading.enumerate() if each.name.startswith("case")]


def test_one_thread_works_in_the_callers():
    (future,) = in_order(lambda _: threading.current_thread(), [0], at_once=1)
    assert future.result() is threading.current_thread()


def test_an_interruption_in_the_callers_thread_goes_through():
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(in_order(interrupt, [0], at_once=1))


def test_no_more_cases_than_threads():
    assert [cases_at_once(threads) for threads in (1, 2, 3, 64)] == [1, 2, 3, 3]
    assert 1 <= cases_at_once(None) <= 3
