"""A block that hangs ends its process; one that does not is left alone."""

import subprocess
import sys
import time

from synclora.deadline import deadline


def test_a_block_that_is_done_in_time_goes_on():
    with deadline(0.2):
        pass
    time.sleep(0.3)


def test_a_block_that_hangs_ends_its_process():
    program = "import time\nfrom synclora.deadline import deadline\nwith deadline(0.1):\n    time.sleep(30)"
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == 75
