"""The kind `email`: a message as plain text by SMTP, encrypted unless told otherwise."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr

from etlctl.notify import options
from etlctl.notify.message import Message, NotSent
from etlctl.settings import NotifySettings, Secret
from etlctl.text import printable, shortened

_PORT, _PORT_OF_TLS = 587, 465
_HERE = ("localhost", "127.0.0.1", "::1")
_MOST_SUBJECT = 150
_OPTIONS = {"host", "port", "from", "to", "user", "password", "starttls"}
_logger = logging.getLogger("etlctl")


class Mail:
    """Sends one mail a message, in a connection of its own."""

    def __init__(self, settings: NotifySettings) -> None:
        """SettingsError for what is missing or cannot be used; nothing is connected to."""
        options.check_names(settings, _OPTIONS)
        self._name = settings.name
        self._host = options.text(settings, "host")
        self._port = options.number(settings, "port", _PORT, 65_535)
        self._starttls = options.switch(settings, "starttls", default=self._port != _PORT_OF_TLS)
        self._from = _address(settings, "from", options.text(settings, "from"))
        self._to = [_address(settings, "to", one) for one in options.texts(settings, "to")]
        self._timeout_s = settings.timeout_s
        self._login: tuple[str, Secret] | None = None
        if "user" in settings.options:
            self._login = (options.text(settings, "user"), Secret(options.text(settings, "password")))
            if not self._is_encrypted and self._host not in _HERE:
                raise options.wrong(settings, "starttls", "is false: the password would travel in clear. Take it out.")

    @property
    def _is_encrypted(self) -> bool:
        return self._starttls or self._port == _PORT_OF_TLS

    def send(self, message: Message) -> None:
        """See Notifier. What the server has taken is sent, however the connection ends."""
        mail = self._mail(message)
        with self._told_as_not_sent(), self._connected() as server:
            refused = server.send_message(mail)
        if refused:
            _logger.warning("notify %s: %s took the mail, but not for %s", self._name, self._host, _listed(refused))

    def abort(self) -> None:
        """See Notifier."""

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = shortened(message.title, _MOST_SUBJECT)
        mail["From"] = self._from
        mail["To"] = self._to
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = make_msgid(message.id, domain=self._from.domain)
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers of people who are away
        mail.set_content(f"{message.title}\n\n{message.text}\n")
        return mail

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._opened()
        try:
            if self._starttls:
                if not server.has_extn("starttls"):
                    raise NotSent(
                        f"{self._host}:{self._port} offers no STARTTLS. Set port = {_PORT_OF_TLS} if it takes TLS "
                        "there, or starttls = false to send in clear",
                        can_retry=False,
                    )
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if self._login is not None:
                server.login(self._login[0], self._login[1].reveal())
            yield server
            with suppress(smtplib.SMTPException, OSError):  # the mail is with the server by now
                server.quit()
        finally:
            server.close()

    def _opened(self) -> smtplib.SMTP:
        server: smtplib.SMTP
        if self._port == _PORT_OF_TLS and not self._starttls:
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        server.ehlo_or_helo_if_needed()
        return server

    @contextmanager
    def _told_as_not_sent(self) -> Iterator[None]:
        place = f"{self._host}:{self._port}"
        try:
            yield
        except NotSent:
            raise
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise NotSent(
                f"{place} refuses {_listed(error.recipients)}", can_retry=all(400 <= code < 500 for code in codes)
            ) from error
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            shown = "refuses user or password" if isinstance(error, smtplib.SMTPAuthenticationError) else "refuses"
            raise NotSent(
                f"{place} {shown}: {error.smtp_code} {shortened(text, 200)}", can_retry=400 <= error.smtp_code < 500
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise NotSent(
                f"{place} has a certificate that cannot be verified ({error.verify_message})", can_retry=False
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                raise NotSent(f"{place} does not answer within {self._timeout_s:g} s") from error
            raise NotSent(f"{place} cannot be reached: {shortened(str(error) or type(error).__name__, 200)}") from error


def _address(settings: NotifySettings, option: str, text: str) -> Address:
    name, plain = parseaddr(text)
    try:
        if "@" not in plain or printable(text) != text:
            raise ValueError("no address")
        return Address(display_name=name, addr_spec=plain)
    except (ValueError, IndexError, MessageError, HeaderParseError) as error:
        raise options.wrong(settings, option, f"holds no e-mail address: {shortened(repr(text))}.") from error


def _listed(recipients: object) -> str:
    return shortened(", ".join(map(str, recipients)) if isinstance(recipients, dict) else str(recipients), 200)
