"""E-mail: what is in it, encryption, authentication, and what a server refuses."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import logging
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from etlctl import notify
from etlctl.errors import SettingsError
from etlctl.settings import NotifySettings, Secret
from notify.house import Load, failed, said, settings, summary
from notify.receivers import MailServer, mail_server


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of 127.0.0.1 with its key, which Python trusts for the test."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(made.public_bytes(pem) + private)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(made.public_bytes(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return path


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A receiver in clear."""
    with mail_server() as kept:
        yield kept


def at(server: MailServer, **more: Any) -> NotifySettings:
    """Settings that reach `server`."""
    told = {
        "host": "127.0.0.1",
        "port": server.port,
        "from": "etl@example.com",
        "to": ["a@example.com", "b@example.com"],
    }
    return settings("email", options={**told, **more})


def tell(told: NotifySettings, tmp_path: Path, reason: str = "no") -> None:
    """One failure, to the end."""
    opened = notify.opened({"ops": told}, project=tmp_path, profile="production")
    opened.run_finished(summary(failed(Load(), reason)))
    opened.close(timeout_s=20)


def test_mail_is_plain_text_to_all_recipients(server: MailServer, tmp_path: Path) -> None:
    """One mail; the subject is the title; umlauts arrive; nobody's absence answers it."""
    tell(at(server, starttls=False, **{"from": "ETL Läufe <etl@example.com>"}), tmp_path, "Größe fehlt")

    ((sender, recipients, mail),) = server.mails
    assert sender == "etl@example.com" and recipients == ["a@example.com", "b@example.com"]
    assert mail["Subject"] == f"etlctl {tmp_path.name} (production): 1 failed: Load()"
    assert "ETL Läufe" in str(mail["From"]) and mail["Auto-Submitted"] == "auto-generated"
    assert "Größe fehlt" in mail.get_content() and mail.get_content_type() == "text/plain"
    assert parsedate_to_datetime(mail["Date"]).tzinfo is not None and mail["Message-ID"]


def test_mail_goes_by_starttls_and_logs_in_there(certificate: Path, tmp_path: Path) -> None:
    """The default: the password travels encrypted, the certificate is verified."""
    with mail_server(certificate) as server:
        tell(at(server, user="etl", password=Secret("S3cr3t")), tmp_path)

        assert len(server.mails) == 1
        ((how, words),) = (login.split() for login in server.logins)
    assert how == "tls"
    assert base64.b64decode(words) == b"\0etl\0S3cr3t"


def test_mail_is_not_sent_to_a_certificate_that_nobody_vouches_for(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither is the password."""
    monkeypatch.setenv("SSL_CERT_FILE", ssl.get_default_verify_paths().openssl_cafile)
    with mail_server(certificate) as server, caplog.at_level(logging.WARNING, "etlctl"):
        tell(at(server, user="etl", password=Secret("S3cr3t")), tmp_path)

        assert server.mails == [] and server.logins == []
    assert "certificate that cannot be verified" in said(caplog.records)


def test_mail_is_not_sent_in_clear_unless_told(
    server: MailServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that offers no STARTTLS (or somebody between who takes the offer out) gets nothing."""
    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(at(server), tmp_path)

    assert server.mails == []
    assert "offers no STARTTLS" in said(caplog.records)


@pytest.mark.parametrize(("answer", "tries"), [("450 later", 2), ("550 never", 1)])
def test_mail_that_is_refused_for_now_is_tried_again(
    server: MailServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str, tries: int
) -> None:
    """A 4xx may go well later, a 5xx does not."""
    server.refuses = answer

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(at(server, starttls=False)._replace(retries=1), tmp_path)

    assert answer in said(caplog.records)
    assert ("tried 2 times" in said(caplog.records)) == (tries == 2)


def test_mail_that_some_recipients_get_is_sent(
    server: MailServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; the warning names who does not get it."""
    server.refused_recipient = "b@example.com"

    with caplog.at_level(logging.WARNING, "etlctl"):
        tell(at(server, starttls=False)._replace(retries=2), tmp_path)

    ((_, recipients, _),) = server.mails
    assert recipients == ["a@example.com"]
    assert "not for b@example.com" in said(caplog.records)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"to": ["nobody"]}, "notify.ops.to' holds no e-mail address"),
        ({"to": ["a@example.com\r\nBcc: all@example.com"]}, "notify.ops.to' holds no e-mail address"),
        ({"from": "etl@"}, "notify.ops.from' holds no e-mail address"),
        ({"port": 0}, "notify.ops.port' must be a whole number"),
        ({"user": "etl"}, "notify.ops.password' is missing"),
        (
            {"host": "mail.example.com", "user": "etl", "password": Secret("S3cr3t"), "starttls": False},
            "travel in clear",
        ),
        ({"subject": "x"}, "is nothing that kind email takes"),
    ],
)
def test_mail_settings_that_cannot_work_are_one_sentence(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    """Found when it is opened, before anything runs."""
    with pytest.raises(SettingsError) as raised:
        notify.opened({"ops": at(MailServer(25), **given)}, project=tmp_path, profile=None)

    assert words in str(raised.value) and "S3cr3t" not in str(raised.value)
