"""The kind `sentry`: an event for each failure of a run, so that a bug tracker groups, counts and assigns them.

The one file that knows sentry_sdk. Its client makes the event and the envelope, and nothing else of it is used: no
integration that hooks into the program, no transport of its own, which would drop what it cannot send without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etlctl.errors import UsageError
from etlctl.notify import options
from etlctl.notify.http import Endpoint, complaint
from etlctl.notify.message import Item, Message
from etlctl.settings import NotifySettings

MOST_EVENTS = 20
"""Of one message."""
_ENVELOPE = "application/x-sentry-envelope"  # https://develop.sentry.dev/sdk/foundations/transport/envelopes/
_CLIENT = "etlctl.notify"


class Sentry:
    """Sends events to one project of Sentry, or of what takes its envelopes."""

    def __init__(self, settings: NotifySettings) -> None:
        """UsageError without the extra, SettingsError for a DSN that is none."""
        options.check_names(settings, {"dsn"})
        name = "dsn" if "dsn" in settings.options else "url"
        dsn = options.url(settings, name)
        try:
            from sentry_sdk import Client
            from sentry_sdk.transport import Transport
            from sentry_sdk.utils import BadDsn, Dsn
        except ImportError as error:
            raise UsageError(
                f'{settings.place}: kind sentry needs the package sentry-sdk: pip install "etlctl[sentry]".'
            ) from error
        if wrong := complaint(dsn):
            raise options.wrong(settings, name, wrong)
        try:
            auth = Dsn(dsn).to_auth(_CLIENT)
        except (BadDsn, ValueError) as error:
            raise options.wrong(settings, name, "is no DSN, which is https://KEY@HOST/PROJECT.") from error
        endpoint = Endpoint(
            str(auth.get_api_url()), timeout_s=settings.timeout_s, headers={"X-Sentry-Auth": auth.to_header()}
        )

        class Straight(Transport):
            """Sends at once, and raises NotSent where it cannot."""

            def capture_envelope(self, envelope: Any) -> None:
                endpoint.post(envelope.serialize(), _ENVELOPE)

        self._client = Client(
            dsn=dsn,
            transport=Straight,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            send_client_reports=False,
            include_source_context=False,
            attach_stacktrace=False,
            max_value_length=8_192,
        )

    def send(self, message: Message) -> None:
        """See Notifier. Where one event fails all are sent again: Sentry knows them by their ids."""
        for number, (fingerprint, event) in enumerate(_events(message)):
            event_id = f"{message.id}{number:016x}"
            whole: Any = {**event, **_of_all(message), "event_id": event_id, "fingerprint": fingerprint}
            self._client.capture_event(whole)

    def abort(self) -> None:
        """See Notifier."""


def _events(message: Message) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """One for each family and error, with a list of its tasks; one for all where no task is told."""
    groups: dict[tuple[str, str, str], list[Item]] = {}
    for item in message.items:
        groups.setdefault((item.family, item.result, item.error), []).append(item)
    for key, items in list(groups.items())[:MOST_EVENTS]:
        first = items[0]
        labels = [item.task for item in items]
        text = f"{first.task}: {first.reason}" if first.reason else f"{first.task}: {first.result}"
        event: dict[str, Any] = {
            "level": "error" if first.result == "fail" else "warning" if message.is_bad else "info",
            "transaction": first.family,
            "extra": {"tasks": labels, "where": first.where, "command": first.command, "counts": dict(message.counts)},
        }
        if first.result == "fail":
            event["exception"] = {"values": [{"type": first.error or "Failure", "value": text, "module": first.family}]}
        else:
            event["logentry"] = {"formatted": text}
        yield ["etlctl", message.project, *key], event
    if not groups:
        level = "error" if message.is_bad else "info"
        yield (
            ["etlctl", message.project, message.kind, message.title],
            {"level": level, "logentry": {"formatted": f"{message.title}\n{message.text}"}},
        )


def _of_all(message: Message) -> dict[str, Any]:
    tags = {"project": message.project, "kind": message.kind, "run": message.run_id}
    return {
        "timestamp": message.at,
        "platform": "python",
        "logger": "etlctl",
        "server_name": message.host,
        "environment": message.profile or "default",
        "tags": {name: value for name, value in tags.items() if value},
    }
