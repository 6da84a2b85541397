"""Notifiers: objects that are given as a callback and send what has happened somewhere. Their texts are templates.

Nothing is imported for them before they are called, and nothing of theirs runs but in the process that calls them.
"""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tailrace.authoring.arguments.callbacks import addresses
from tailrace.authoring.context.current import Context
from tailrace.authoring.templates.fields import is_template, setup_of
from tailrace.model.plain_text import on_one_line
from tailrace.secrets.connection import Connection

#: How often sending is tried, and the pauses between, in seconds.
_PAUSES = (0.0, 1.0, 3.0)
_SECONDS = 10.0

#: What is said where nobody says what.
_TEXT = (
    "{{ event | replace('_callback', '') }}: {{ dag.dag_id }}{% if about == 'task_instance' %}.{{ ti.task_id }}"
    "{% endif %}{% if about == 'backfill' %}, backfill {{ backfill_id }}{% else %} {{ run_id }}{% endif %}"
    " is {{ state }}{% if reason and reason != state %}: {{ reason }}{% endif %}"
)
_SUBJECT = f"[tailrace] {_TEXT}"
_LONG_TEXT = (
    f"{_TEXT}\n\n"
    "{% if about != 'backfill' %}logical date: {{ ts }}\n{% endif %}"
    "{% if about == 'task_instance' %}try: {{ ti.try_number }} of {{ ti.max_tries }}\n"
    "log: {{ ti.log_url }}\n{% endif %}"
    "event: {{ event_id }}\n"
)
_TLS_PORT = 465
#: From this code on an SMTP server means it.
_REFUSED_FOR_GOOD = 500


class NotSent(Exception):
    """A notification that could not be sent, and why."""


class Notifier:
    """Something that is called with the context of an event: subclass it and define ``notify(context)``.

    ``template_fields`` names the attributes that are templates; ``self.rendered(context)`` has them rendered.
    """

    template_fields: Sequence[str] = ()

    def notify(self, context: Mapping[str, Any]) -> None:
        """Send what has happened."""
        raise TypeError(f"{type(self).__name__} does not define notify(context)")

    def __call__(self, context: Mapping[str, Any]) -> None:
        self.notify(context)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # what it sends may hold anything

    def rendered(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of ``template_fields``, by name, rendered with the context."""
        return {name: _rendered(getattr(self, name), context) for name in self.template_fields}


class ShellCommand(Notifier):
    """Runs a shell command. It finds the event in its environment: ``TAILRACE_EVENT``, ``TAILRACE_STATE``,
    ``TAILRACE_REASON``, ``TAILRACE_EVENT_ID``, and what a task finds there. What fails is said with its exit code.
    """

    template_fields = ("command",)

    def __init__(self, command: str) -> None:
        self.command = _text("command", command)

    def notify(self, context: Mapping[str, Any]) -> None:
        """Run the command; its output is that of the callback."""
        told = {"EVENT": context["event"], "STATE": context["state"], "REASON": context["reason"] or ""}
        environment = {**os.environ, **{f"TAILRACE_{name}": str(value) for name, value in told.items()}}
        sys.stdout.flush()
        ended = subprocess.run(["/bin/sh", "-c", self.rendered(context)["command"]], env=environment)
        if ended.returncode:
            how = f"exited {ended.returncode}" if ended.returncode > 0 else f"was killed by signal {-ended.returncode}"
            raise NotSent(f"the command {how}")


class Webhook(Notifier):
    """Sends what has happened as JSON by HTTP POST, and tries again where the other side is not there just now.

    Without a ``body`` it has the event's id, callback, DAG, run, task, map index, try number, state, reason and time.
    ``headers`` are added; values may be templates, as ``{{ conn.alerts.password }}``.
    """

    template_fields = ("url", "headers", "body")

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> None:
        self.url, self.headers, self.body = _text("url", url), dict(headers or {}), body

    def notify(self, context: Mapping[str, Any]) -> None:
        """Send it."""
        rendered = self.rendered(context)
        body = event_of(context) if self.body is None else rendered["body"]
        send_json(rendered["url"], body, {"Idempotency-Key": str(context["event_id"]), **rendered["headers"]})


class SlackWebhook(Notifier):
    """Sends a text to an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord's
    ``/slack`` addresses. ``more`` is sent beside the text: ``channel``, ``username``, ``blocks``.
    """

    template_fields = ("url", "text", "more")

    def __init__(self, url: str, text: str = _TEXT, **more: Any) -> None:
        self.url, self.text, self.more = _text("url", url), _text("text", text), more

    def notify(self, context: Mapping[str, Any]) -> None:
        """Send it."""
        rendered = self.rendered(context)
        send_json(rendered["url"], {"text": rendered["text"], **rendered["more"]}, {})


class SmtpEmail(Notifier):
    """Sends an e-mail by SMTP, by the Connection ``conn_id``: its host, port (465 is TLS from the start, any other
    STARTTLS where the server has it), login and password; in its extra ``from_email``, and ``disable_tls`` for a server
    that has none and wants a password all the same. ``to`` is one address or several.
    """

    template_fields = ("to", "subject", "text", "sender")

    def __init__(
        self,
        to: str | Sequence[str],
        subject: str = _SUBJECT,
        text: str = _LONG_TEXT,
        *,
        conn_id: str = "smtp_default",
        sender: str | None = None,
    ) -> None:
        self.to = addresses(to)
        if not self.to:
            raise TypeError("to must be one e-mail address or several")
        self.subject, self.text, self.sender = _text("subject", subject), _text("text", text), sender
        self.conn_id = _text("conn_id", conn_id)

    def notify(self, context: Mapping[str, Any]) -> None:
        """Send it."""
        found, rendered = Connection.get(self.conn_id), self.rendered(context)
        extra = found.extra_dejson
        sender = rendered["sender"] or extra.get("from_email") or (found.login if "@" in (found.login or "") else None)
        message = importlib.import_module("email.message").EmailMessage()
        message["Subject"] = on_one_line(rendered["subject"])
        message["From"] = sender or f"tailrace@{importlib.import_module('socket').gethostname()}"
        message["To"] = ", ".join(rendered["to"])
        message["Message-ID"] = f"<{context['event_id']}@tailrace>"
        message.set_content(rendered["text"])
        try_again(lambda: _mailed(found, extra, message))


def _mailed(found: Connection, extra: Mapping[str, Any], message: Any) -> str | None:
    smtp = importlib.import_module("smtplib")
    host, port = found.host or "localhost", found.port or 25
    where = f"{host}:{port}"
    kind = smtp.SMTP_SSL if port == _TLS_PORT else smtp.SMTP
    try:
        with kind(host, port, timeout=_SECONDS) as server:
            server.ehlo()
            tls = port == _TLS_PORT
            if not tls and not extra.get("disable_tls") and server.has_extn("starttls"):
                server.starttls(context=importlib.import_module("ssl").create_default_context())
                server.ehlo()
                tls = True
            if found.login and found.password:
                if not tls and not extra.get("disable_tls"):
                    raise NotSent(
                        f"{where} has no TLS, and a password is not sent without; "
                        '"disable_tls": true in the extra of the Connection allows it'
                    )
                server.login(found.login, found.password)
            server.send_message(message)
    except smtp.SMTPResponseException as refused:
        said = refused.smtp_error.decode(errors="replace") if isinstance(refused.smtp_error, bytes) else ""
        why = f"{where}: {refused.smtp_code} {on_one_line(said)}"
        if refused.smtp_code >= _REFUSED_FOR_GOOD:
            raise NotSent(why) from None
        return why
    except smtp.SMTPRecipientsRefused as refused:
        raise NotSent(f"{where} takes no mail for {', '.join(refused.recipients)}") from None
    except (smtp.SMTPException, OSError) as trouble:
        return f"{where}: {trouble}"
    return None


def notifier_of(text: str) -> Notifier:
    """The notifier that a text of ``[notify]`` in tailrace.toml means, by how it begins."""
    kind, _, rest = text.partition(":")
    kinds: Mapping[str, Callable[[str], Notifier]] = {
        "webhook": Webhook,
        "slack": SlackWebhook,
        "mailto": SmtpEmail,
        "shell": ShellCommand,
    }
    return kinds[kind](rest.strip()) if kind in kinds else Webhook(text)


def event_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """What a webhook is sent of an event, where nobody says what."""
    ti = context["ti"]
    of_task = context["about"] == "task_instance"
    of_run = context["about"] != "backfill"
    return {
        "event_id": context["event_id"],
        "event": context["event"],
        "about": context["about"],
        "dag_id": context["dag"].dag_id,
        "run_id": context["run_id"] if of_run else None,
        "logical_date": context["logical_date"].isoformat() if of_run else None,
        "task_id": ti.task_id if of_task else None,
        "map_index": ti.map_index if of_task else None,
        "try_number": ti.try_number if of_task else None,
        "backfill_id": context.get("backfill_id"),
        "state": context["state"],
        "reason": context["reason"],
        "text": _rendered(_TEXT, context),
    }


def send_json(url: str, body: Any, headers: Mapping[str, str]) -> None:
    """POST it, again after a moment where the other side is away or asks for that. Raises NotSent."""
    names = ("urllib.request", "urllib.error", "http.client", "json")
    request, error, client, json = map(importlib.import_module, names)
    if not url.startswith(("http://", "https://")):
        raise NotSent(f"{_place(url)}: the address must begin with http:// or https://")
    data = json.dumps(body, default=str).encode()
    wanted = {"Content-Type": "application/json", "User-Agent": "tailrace", **headers}

    def once() -> str | None:
        try:
            sent = request.Request(url, data, wanted, method="POST")
            with request.build_opener().open(sent, timeout=_SECONDS):  # urlopen would install one for all
                return None
        except error.HTTPError as refused:
            with refused:
                said = refused.read(300).decode(errors="replace")
            why = f"{_place(url)}: HTTP {refused.code} {refused.reason}: {on_one_line(said)}".rstrip(": ")
            if refused.code not in (408, 425, 429) and refused.code < 500:
                raise NotSent(why) from None
            return why
        except (error.URLError, OSError) as trouble:
            return f"{_place(url)}: {getattr(trouble, 'reason', None) or trouble}"
        except (ValueError, client.InvalidURL) as wrong:  # no address, or a header that is none
            raise NotSent(f"{_place(url)} cannot be sent to ({type(wrong).__name__})") from None
        except client.HTTPException as trouble:
            return f"{_place(url)}: {type(trouble).__name__}"

    try_again(once)


def try_again(once: Callable[[], str | None]) -> None:
    """Do it until it returns nothing; raises NotSent with what it returned last."""
    why = None
    for pause in _PAUSES:
        if why is not None:
            print(f"not sent, and tried again: {why}", flush=True)
            time.sleep(pause)
        why = once()
        if why is None:
            return
    raise NotSent(f"{why} ({len(_PAUSES)} times)")


def _place(url: str) -> str:
    """An address without what may be secret in it: those of Slack are passwords."""
    try:
        parts = importlib.import_module("urllib.parse").urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme and parts.netloc else "the webhook"
    except ValueError:
        return "the webhook"


def _rendered(value: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if not is_template(value):
            return value
        if isinstance(context, Context):
            context.completed()
        setup = setup_of(context["task"])._replace(native=False)
        templates = importlib.import_module("tailrace.authoring.templates.environment")
        return templates.render(setup, value, context, is_file=False, what="a notifier")
    if isinstance(value, Mapping):
        return {name: _rendered(each, context) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rendered(each, context) for each in value]
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} must be text that is not empty")
    return value
