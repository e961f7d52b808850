"""The signals that end a process, as its event loop hears them: for certain."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heed(call: Callable[[], object]) -> None:
    """Make the call on the running loop at each of them, in the main thread.

    asyncio hears of a signal by a byte in the pipe by which other threads wake it. A few hundred threads that are done
    in one turn of the loop fill it: then the byte is lost, and with it the signal. A handler of Python's runs
    regardless; the byte wakes the loop for it, and of a full pipe it wakes anyway.
    """
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _woken)
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
        signal.siginterrupt(number, False)
    # A byte that has no room is nothing to tell of: the loop is about to wake.
    signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)


def end_by_them() -> None:
    """From here on each of them ends the process at once, as one that heeds none."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


def _woken() -> None:
    """What is to be called, the handler has said."""
