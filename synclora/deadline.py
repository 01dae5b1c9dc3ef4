"""A limit on native code that hangs: nothing inside the process can interrupt it, so the process ends.

with deadline(600):
    outputs = pipeline(...)
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process, with status 75, if the block takes longer. What it worked on counts one attempt (`synclora.attempts`)."""
    timer = threading.Timer(seconds, os._exit, (75,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
