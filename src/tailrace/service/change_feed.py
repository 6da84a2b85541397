"""What has changed since, for whoever shows it as it happens."""

from tailrace.metastore.views.changes import Change, ChangesRead, Horizon
from tailrace.service.stores import Stores

__all__ = ["Change", "ChangesRead", "newest_change", "read_changes"]


def newest_change(stores: Stores) -> int:
    """The greatest id of a change that is seen; 0 where nothing was ever written."""
    metastore = stores.reading()
    return 0 if metastore is None else metastore.newest_change()


def read_changes(stores: Stores, after: int, lacking: tuple[tuple[int, int], ...], limit: int) -> ChangesRead:
    """The first changes behind an id, or within ranges of ids that were lacking."""
    metastore = stores.reading()
    return ChangesRead((), Horizon(), 0) if metastore is None else metastore.read_changes(after, lacking, limit)
