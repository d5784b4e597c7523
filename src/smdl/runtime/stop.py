"""A run on this machine that is asked to stop does so within seconds: its jobs are warned, chains save, and all end.

Snakemake itself answers SIGTERM by waiting for the end of what runs, which may be hours, and so does it SIGINT where
the jobs were not sent it as well. A job that starts plainly is a shell's child, which no signal to the shell reaches.
"""

import atexit
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A terminal sends SIGINT to all, and make and the warm process pass SIGTERM on: what comes so close is the same wish.
SAME_WISH_SECONDS = 2.0


def told(number: int) -> str:
    """The last line of a run that was ended by a signal."""
    return f"Stopped by {signal.Signals(number).name}. What is done is kept: the same command goes on from here."


def heed(handler: Callable[[int], None]) -> None:
    """Call ``handler`` on every signal that asks for an end, except those that whoever started us has us ignore."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: handler(number))


def end_jobs_when_asked(start_no_more: Callable[[], None]) -> None:
    """In Snakemake's process: on the first signal start no more jobs and warn those that run; on a second kill them."""
    asked: list[float] = []

    def handler(number: int) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            atexit.register(lambda: print(told(number), file=sys.stderr, flush=True))
            # In a thread, since Snakemake takes a lock for it that this thread may hold right now.
            threading.Thread(target=_end, args=[start_no_more, asked], daemon=True).start()

    heed(handler)


def _end(start_no_more: Callable[[], None], asked: list[float]) -> None:
    """Warn each process below this one once, those too that are only being started; runs until Snakemake ends."""
    start_no_more()
    warned: set[psutil.Process] = set()
    while True:
        kill = asked[-1] - asked[0] > SAME_WISH_SECONDS
        for process in psutil.Process().children(recursive=True):
            if kill or process not in warned:
                warned.add(process)
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        time.sleep(0.2)
