"""Variables and Connections for tasks that are tried out: as a worker replies, but nothing that they set is written."""

from tailrace.secrets.lookup import Lookup
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import SecretFound, SecretReply, SecretRequest, VariableChange


class UnwrittenVariables:
    """Replies by ``lookup``, and for the Variables that tasks have set or deleted by what they made of them."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._set: dict[str, str | None] = {}

    @property
    def is_any_set(self) -> bool:
        """Whether a task has set or deleted one."""
        return bool(self._set)

    def reply(self, request: SecretRequest) -> SecretReply:
        """The reply. What goes before the metastore goes before what a task has set, too."""
        if isinstance(request, VariableChange):
            self._set[request.name] = request.value
            return SecretFound(None)
        if request.kind is SecretKind.VARIABLE and request.name in self._set:
            return self._lookup.outside(request) or SecretFound(self._set[request.name])
        return self._lookup.reply(request)
