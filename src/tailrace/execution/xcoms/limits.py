"""How long an XCom may be, and where XComs and their frames are kept: as the settings say, found in the environment."""

import os

from tailrace.execution.messages.channel import LONGEST_MESSAGE

#: The variables of the settings.
MAX_BYTES, FRAMES = "TAILRACE_MAX_XCOM_BYTES", "TAILRACE_XCOM_FRAMES"
BACKEND = "TAILRACE_XCOM_BACKEND"


def longest_xcom() -> int:
    """In bytes of its JSON."""
    text = os.environ.get(MAX_BYTES, "")
    return min(int(text), LONGEST_MESSAGE) if text.isdecimal() else LONGEST_MESSAGE


def frames_folder() -> str:
    """The folder, or the URL of fsspec's, in which frames are kept; "" for the one in the home."""
    return os.environ.get(FRAMES, "")
