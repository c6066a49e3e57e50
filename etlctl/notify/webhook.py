"""The kinds `webhook` and `slack`: a message as JSON by HTTP."""

from __future__ import annotations

import json
from typing import Any

from etlctl.notify import options
from etlctl.notify.http import Endpoint, complaint, header_complaint
from etlctl.notify.message import Message
from etlctl.settings import NotifySettings

_JSON = "application/json"
_MOST_SLACK = 3_000
"""Letters of a text; Slack cuts what is longer than 4,000."""


class Webhook:
    """POSTs the document of a message to an address of one's own."""

    def __init__(self, settings: NotifySettings) -> None:
        """SettingsError for an address or a header that cannot be used."""
        options.check_names(settings, {"headers"})
        self._endpoint = endpoint(settings)

    def send(self, message: Message) -> None:
        """See Notifier."""
        self._endpoint.post(_as_json(message.document()), _JSON)

    def abort(self) -> None:
        """See Notifier."""


class Slack:
    """POSTs `{"text": …}`: what Slack takes, and Mattermost, Rocket.Chat and others after it."""

    def __init__(self, settings: NotifySettings) -> None:
        """SettingsError for an address or a header that cannot be used."""
        options.check_names(settings, {"headers"})
        self._endpoint = endpoint(settings)

    def send(self, message: Message) -> None:
        """See Notifier."""
        self._endpoint.post(_as_json({"text": slack_text(message)}), _JSON)

    def abort(self) -> None:
        """See Notifier."""


def endpoint(settings: NotifySettings) -> Endpoint:
    """The endpoint that `url` and `headers` of the settings mean."""
    url = options.url(settings)
    if wrong := complaint(url):
        raise options.wrong(settings, "url", wrong)
    headers = options.table(settings, "headers")
    for name, value in headers.items():
        if wrong := header_complaint(name, value):
            raise options.wrong(settings, f"headers.{name}", wrong)
    return Endpoint(url, timeout_s=settings.timeout_s, headers=headers)


def slack_text(message: Message) -> str:
    """The message in Slack's own marks. Nothing in it is a mention or a link: `<`, `>` and `&` are escaped, and what
    stands in a block of code is shown as it is."""
    mark = ":x:" if message.is_bad else ":white_check_mark:"
    head = f"{mark} *{_escaped(message.title).replace('*', '')}*".replace("@", "@\u200b")
    if not message.text:
        return head
    body = _escaped(message.text.replace("```", "'''"))
    if len(body) > _MOST_SLACK:
        body = body[: _MOST_SLACK - 1].rpartition("\n")[0] + "\n…"
    return f"{head}\n```\n{body}\n```"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _as_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
