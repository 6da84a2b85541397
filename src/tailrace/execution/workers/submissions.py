"""The submissions that an executor keeps until a worker may soon take them, the most important first."""

import heapq
from dataclasses import dataclass, field

from tailrace.effects.tries import Submission


@dataclass(slots=True)
class WaitingSubmissions:
    """Submissions not yet put into the queue, the most important first, then in the order they came."""

    heap: list[tuple[int, int, Submission]] = field(default_factory=list)
    count: int = 0

    def push(self, submission: Submission) -> None:
        """Keep one more."""
        heapq.heappush(self.heap, (-submission.priority, self.count, submission))
        self.count += 1

    def pop(self) -> Submission:
        """Take the first away."""
        return heapq.heappop(self.heap)[2]
