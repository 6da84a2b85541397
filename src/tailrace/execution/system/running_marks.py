"""Which of the workers of one zygote have a try running, in memory that they share.

When the zygote dies, all that runs in it is lost. Where a try was alone in it, that loss counts: as far as anybody can
know, it was the try's own doing. Where several ran, it may have been any of them (one killed its parent, or used all
the memory), and it counts for none.
"""

import mmap


class RunningMarks:
    """Marks of the workers of one zygote. A mark that was set as the zygote died stays set."""

    def __init__(self, workers: int) -> None:
        self._marks = mmap.mmap(-1, max(1, workers))

    def mark(self, number: int) -> "RunningMark":
        """The mark of one worker."""
        return RunningMark(self._marks, number)

    def count(self) -> int:
        """How many tries run, or ran as the zygote died."""
        return sum(self._marks[:])


class RunningMark:
    """One worker's mark among the others."""

    def __init__(self, marks: mmap.mmap, number: int) -> None:
        self._marks = marks
        self.number = number

    def runs(self, running: bool) -> None:
        """Say whether a try of this worker runs."""
        self._marks[self.number] = running

    @property
    def is_alone(self) -> bool:
        """Whether no try of another worker runs, or ran as the zygote died."""
        return not any(mark for number, mark in enumerate(self._marks[:]) if number != self.number)


def alone() -> RunningMark:
    """The mark of the only worker."""
    return RunningMarks(1).mark(0)
