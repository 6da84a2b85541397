"""Where a metastore is: a SQLite file, or a database on a PostgreSQL server. The one place that reads such an address.

A path is a path, whatever is in it: what follows ``sqlite:///`` is never decoded. A password is read here and nowhere
shown: an address prints itself without it, one that cannot be read is not repeated, and what a driver says goes through
``hide_secrets``. Imports no database library: settings are read before the zygote is forked.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

from msgspec import Struct, field

from tailrace.errors import CommandError

EXPECTED = "sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"

_SQLITE = "sqlite"
_POSTGRES = ("postgresql+psycopg", "postgresql", "postgres")

#: The options of libpq whose values may be shown.
_OPEN_OPTIONS = frozenset(
    "host hostaddr port dbname user passfile application_name fallback_application_name connect_timeout "
    "client_encoding sslmode sslcert sslrootcert sslcrl sslcrldir sslsni sslcertmode sslnegotiation "
    "sslcompression requiressl ssl_min_protocol_version ssl_max_protocol_version min_protocol_version "
    "max_protocol_version channel_binding require_auth requirepeer target_session_attrs load_balance_hosts "
    "keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout gssencmode gsslib "
    "gssdelegation krbsrvname service servicefile".split()
)
#: Those whose values may not. An option that is neither is refused: it may be a piece of a password.
_SECRET_OPTIONS = frozenset(
    "password sslpassword sslkey sslkeylogfile options scram_client_key scram_server_key".split()
)

#: What SQLAlchemy or SQLite would take behind a file's name, and what people write there by mistake.
_SQLITE_OPTIONS = re.compile(
    r"[?&](?:[^=&/]*(?:mode|cache|vfs|nolock|immutable|psow|uri|timeout|isolation_level|detect_types|check_same_thread"
    r"|cached_statements|options|user|host|port|auth)[^=&/]*=[^/]*\Z|[^=&/]*(?:pass|pwd|secret|token|key)[^=&/]*=)",
    re.IGNORECASE,
)
#: A relative path that looks like more than a path is taken for what it looks like; ``./`` before it makes it one.
_NO_PATH = re.compile(r"(?!/|\./)(?:[^/]*:.*@|.*\?\w+=)", re.DOTALL)

_PLACE = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[\w.%,~-]*)(?::([0-9]*))?")

_HIDDEN = "(not repeated here: it may hold a password)"
_ENCODE = "an @, /, ?, # or & in a user name or password is written %40, %2F, %3F, %23 or %26"


class Address(Struct, frozen=True):
    """A metastore's address. ``file`` is set for SQLite; everything else belongs to PostgreSQL."""

    file: Path | None = None
    user: str | None = None
    password: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    options: Mapping[str, str | tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def postgres(self) -> bool:
        """Whether it is PostgreSQL's."""
        return self.file is None

    def __str__(self) -> str:
        """Safe to print: the address without its secrets."""
        if self.file is not None:
            return f"sqlite:///{self.file}"
        login = "" if self.user is None else quote(self.user, safe="")
        login += "" if self.password is None else ":***"
        host = self.host or ""
        host = f"[{host}]" if ":" in host else quote(host, safe=",")
        place = f"{login}@{host}" if login else host
        port = "" if self.port is None else f":{self.port}"
        name = "" if self.database is None else f"/{quote(self.database, safe='')}"
        shown = "&".join(
            f"{quote(option)}={quote(each, safe='/:,@') if option in _OPEN_OPTIONS else '***'}"
            for option, value in self.options.items()
            for each in _each(value)
        )
        return f"postgresql+psycopg://{place}{port}{name}" + (f"?{shown}" if shown else "")

    __repr__ = __str__

    def hide_in(self, text: str) -> str:
        """What a library said, without any secret of this address that it repeats."""
        hidden = [value for option, value in self.options.items() if option in _SECRET_OPTIONS]
        return _hide(text, _forms(self.password or "", *(each for value in hidden for each in _each(value))))


def sqlite_address(file: Path) -> Address:
    """The address of a SQLite file."""
    return Address(file=Path(os.path.abspath(file)))


def read_address(text: str, folder: Path | None = None) -> Address:
    """The address that ``text`` says; a relative path is relative to ``folder`` (default: the working folder).

    Raises CommandError, whose text goes on from what the address is called, and never repeats it: nobody knows where in
    it a password is.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise CommandError(f"is not a URL {_HIDDEN}; expected {EXPECTED}")
    if scheme == _SQLITE:
        return _sqlite(rest, folder or Path.cwd())
    if scheme in _POSTGRES:
        return _postgres(rest)
    raise CommandError(f"names another kind of database {_HIDDEN}; a metastore is SQLite or PostgreSQL: {EXPECTED}")


def address_named(text: str) -> Address:
    """The same of a text that no setting gave. Raises CommandError."""
    try:
        return read_address(text)
    except CommandError as mistake:
        raise CommandError(f"the metastore's address {mistake}") from None


def _sqlite(rest: str, folder: Path) -> Address:
    name = rest.removeprefix("/")
    if name in ("", ":memory:"):
        raise CommandError(f"names a metastore in memory, which workers cannot share; expected {EXPECTED}")
    if not rest.startswith("/") or _NO_PATH.match(name):
        raise CommandError(f"gives SQLite more than a path {_HIDDEN}; expected sqlite:///PATH")
    if _SQLITE_OPTIONS.search(name):
        raise CommandError(f"gives SQLite options behind its path {_HIDDEN}; expected sqlite:///PATH")
    return Address(file=Path(os.path.normpath(folder / os.path.expanduser(name))))


def _postgres(rest: str) -> Address:
    authority, mark, behind = re.fullmatch(r"([^/?#]*)([/?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in behind or authority.count("@") > 1 or mark == "#" or "#" in behind:
        raise CommandError(f"cannot be read {_HIDDEN}; {_ENCODE}")
    login, at, place = authority.rpartition("@")
    user, colon, password = login.partition(":")
    _remember(password)
    found = _PLACE.fullmatch(place)
    if found is None or (found[2] and not 0 < int(found[2]) < 65536):
        raise CommandError(f"has no host or no port number {_HIDDEN}; expected {EXPECTED}; {_ENCODE}")
    name, _, query = behind.partition("?") if mark == "/" else ("", "", behind if mark == "?" else "")
    if re.search("[&=;]", name):
        raise CommandError(f"has options without a ? before them {_HIDDEN}; expected {EXPECTED}; {_ENCODE}")
    options: dict[str, str | tuple[str, ...]] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        former = options.get(option)
        options[option] = value if former is None else (*_each(former), value)
        if option not in _OPEN_OPTIONS:
            _remember(value)
        if option not in _OPEN_OPTIONS | _SECRET_OPTIONS:
            raise CommandError(f"has an option that PostgreSQL's library does not know {_HIDDEN}; {_ENCODE}")
    return Address(
        user=unquote(user) if at and user else None,
        password=unquote(password) if colon else None,
        host=unquote(found[1].strip("[]")) or None,
        port=int(found[2]) if found[2] else None,
        database=unquote(name) or None,
        options=MappingProxyType(options),
    )


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


# --- secrets -----------------------------------------------------------------------------------------------

#: Those of every address that this process has read, for tracebacks, which may hold any of them.
_secrets: set[str] = set()


def hide_secrets(text: str) -> str:
    """``text`` without any secret of any address that was read here, in whatever form a library repeats one."""
    return _hide(text, _secrets)


def _remember(*secrets: str) -> None:
    _secrets.update(_forms(*secrets))


def _forms(*secrets: str) -> set[str]:
    forms = set()
    for plain in {change(secret) for secret in secrets for change in (str, unquote, unquote_plus)}:
        forms |= {
            plain,
            quote(plain, safe=""),
            quote(plain),
            quote(plain, safe=" +"),
            quote_plus(plain),
            repr(plain)[1:-1],
        }
    return forms - {""}


def _hide(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
