"""A notice goes through a notifier of Airflow's to a real mail server, with a connection by its id."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.model.notice import Notice, NoticeKind
from chaos_tasks.notifying.borrowed import BorrowedChannel
from chaos_tasks.notifying.channels import channels_of
from chaos_tasks.notifying.delivery import DeliveryError
from chaos_tasks.settings import BorrowedNotifier, read_settings
from chaos_tasks.testing.clock import FakeClock
from tests.doc_blocks import block
from tests.unit.notifying.mail_server import mail_server

ROOT = Path(__file__).resolve().parents[3]
NOTICE = Notice(
    kind=NoticeKind.UNREVERTED, about="run-1/write", sentence="a < b & {{ 1 }}", occurred_at=FakeClock().now()
)
hung = threading.Event()


class Hangs:
    """Never ends."""

    def render_template_fields(self, context: Any) -> None:
        """Nothing."""

    def notify(self, context: Any) -> None:
        """Wait."""
        hung.wait(60)


class Fails(Hangs):
    """Says a secret."""

    def notify(self, context: Any) -> None:
        """Raise."""
        raise RuntimeError("with a secret")


def channel(name: str, **more: Any) -> BorrowedChannel:
    return BorrowedChannel("test", BorrowedNotifier(notifier=f"{__name__}.{name}", **more))


def test_a_notice_is_mailed_as_the_page_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = block("mail", (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8"))
    (tmp_path / "squall.toml").write_text(text)
    notify = read_settings(tmp_path / "squall.toml", {}).notify
    mail = next(one for one in channels_of(notify, tmp_path, {}, FakeClock()) if one.name == "mail")
    with mail_server() as server:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "squall@example.org"}
        told = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(told))
        assert mail.send(NOTICE) == 1
    (message,) = server.taken
    (part,) = [one for one in message.walk() if one.get_content_type() == "text/html"]
    body = part.get_payload(decode=True)
    assert message["To"] == "oncall@example.org"
    assert message["Subject"] == "Squall: unreverted"
    assert body == b"<pre>unreverted: a &lt; b &amp; {{ 1 }}</pre>"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{__name__}.Missing", "there is no notifier .*Missing here"),
        ("no_such.package.Notifier", "install the package"),
        ("pathlib.Path", "is no notifier"),
    ],
)
def test_a_path_that_leads_nowhere_is_said(path: str, said: str) -> None:
    with pytest.raises(DeliveryError, match=said):
        BorrowedChannel("test", BorrowedNotifier(notifier=path)).send(NOTICE)


def test_a_notifier_that_fails_is_not_quoted_and_one_that_hangs_is_not_waited_for() -> None:
    with pytest.raises(DeliveryError, match=r"Fails failed \(RuntimeError\)$"):
        channel("Fails").send(NOTICE)
    with pytest.raises(DeliveryError, match=r"Hangs has not ended after 0.05 s"):
        channel("Hangs", timeout_s=0.05).send(NOTICE)
    hung.set()
