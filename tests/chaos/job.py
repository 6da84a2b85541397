"""The product's own command line, with a lease shorter than people may set: a stopped process costs seconds then.

``python -m tests.chaos.job LEASE_SECONDS ARGUMENT …``
"""

import sys
from typing import Any

from msgspec.structs import replace

from tailrace.cli import main as command_line
from tailrace.runtime import settings as product


def shorten(lease_seconds: float) -> None:
    """From here on every command reads these settings as any others, but for the lease and the heartbeat."""
    load = product.load_settings

    def shortened(*given: Any, **named: Any) -> product.Settings:
        return replace(load(*given, **named), lease_seconds=lease_seconds, heartbeat_seconds=lease_seconds / 5)

    for module in list(sys.modules.values()):
        if getattr(module, "load_settings", None) is load:
            module.load_settings = shortened  # type: ignore[attr-defined]


if __name__ == "__main__":
    shorten(float(sys.argv[1]))
    sys.argv[:2] = ["tailrace"]
    command_line.main()
