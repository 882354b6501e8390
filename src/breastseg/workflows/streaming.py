"""Several cases at a time: one is read and another written while the network sees a third."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_AT_ONCE = 3
"""While the network sees one case, one is read and one written: more would wait for it."""


def cases_at_once(threads: int | None) -> int:
    """Return how many cases are worked at together where a caller wants that many threads.

    >>> cases_at_once(1)
    1
    """
    return min(threads or os.cpu_count() or 1, MOST_AT_ONCE)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, at_once: int
) -> Generator[Future[Result], None, None]:
    """Do work on each item in threads, and yield what became of it in the order of the items.

    At most twice `at_once` items are begun and not yet handed out, so that memory does not grow
    with their number. Whoever stops early closes the iterator, which waits for what is being
    worked at and begins nothing else.

    Args:
        work: done in another thread, unless one is worked at at a time.
        items: taken in the caller's thread. An error of theirs comes as the last future, after
            what came before it.
        at_once: 1 or more; 1 does each when it is asked for.

    >>> [future.result() for future in in_order(abs, [-3, -1, -2], at_once=2)]
    [3, 1, 2]
    """
    if at_once == 1:
        yield from _submitted(_Here(), work, items)
        return
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="case")
    begun: deque[Future[Result]] = deque()
    try:
        for future in _submitted(pool, work, items):
            begun.append(future)
            if len(begun) == 2 * at_once:
                yield _finished(begun.popleft())
        while begun:
            yield _finished(begun.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Work in the caller's thread; what is no Exception, such as Ctrl-C, goes through."""

    def submit(
        self, work: Callable[..., Result], /, *args: object, **kwargs: object
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _submitted(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Future[Result]]:
    try:
        for item in items:
            yield pool.submit(work, item)
    except Exception as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed


def _finished(future: Future[Result]) -> Future[Result]:
    """Wait for a future; its error is for whoever asks for its result."""
    future.exception()
    return future
