"""The protocol of the zygote and its workers: fixed messages of a few bytes.

Not JSON: each page of memory that the zygote touches between two forks is copied for it, and a codec touches many.
"""

import math
import struct
from typing import Final

#: To the zygote: the pid of a running task's leader (0: none), a signal for its group (0: none), and until when it may
#: go on without another order, on the monotonic clock, which all processes share (NaN: no change; infinite: for ever).
#: A moment, not a time from now: a zygote that is held up must not give more. With a descriptor: park a process on it.
ORDER: Final = struct.Struct("=iid")

#: To a worker: what has happened (below), a pid, and two numbers about it.
EVENT: Final = struct.Struct("=iiqi")

PARKED: Final = 1  # its start time
REFUSED: Final = 2  # the errno of what could not be had for it
ENDED: Final = 3  # its exit code (negative: the signal), and 1 if it was killed because its deadline had passed

NO_CHANGE: Final = math.nan


#: A descriptor as it travels beside an order.
DESCRIPTOR: Final = struct.Struct("=i")
