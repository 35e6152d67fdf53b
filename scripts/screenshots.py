"""Takes the README's pictures from the running stack (`make up`, after a night) with a headless Chromium.

`make screenshots` writes docs/images/*.png.  Needs `chromium` on the PATH.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket

from chaos_tasks.composition import build
from chaos_tasks.lab.state import LabState, load_state
from chaos_tasks.model.record import Note, RecordKind
from chaos_tasks.settings import find_settings

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PORT = 29222
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    f"--remote-debugging-port={PORT}", "--remote-debugging-address=127.0.0.1", "--remote-allow-origins=*",
)  # fmt: skip


@dataclass
class Browser:
    """One page, driven over Chromium's debugging protocol."""

    socket: websocket.WebSocket
    asked: int = 0

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """One command and its answer."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": params}))
        while True:
            answer: dict[str, Any] = json.loads(self.socket.recv())
            if answer.get("id") == self.asked:
                result: dict[str, Any] = answer.get("result", {})
                return result

    def shoot(self, url: str, name: str, wait_s: float = 9.0, script: str = "") -> None:
        """Open a page, let it draw, and keep a picture of it."""
        self.call("Page.navigate", url=url)
        time.sleep(wait_s)
        if script:
            self.call("Runtime.evaluate", expression=script, awaitPromise=True)
            time.sleep(3)
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        (IMAGES / name).write_bytes(base64.b64decode(picture))
        sys.stdout.write(f"{IMAGES / name}\n")


@contextmanager
def chromium(width: int = 1440, height: int = 860) -> Iterator[Browser]:
    """A browser with a profile of its own, ended with all its processes."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("screenshots: no chromium on the PATH\n  -> install the package chromium")
    profile = tempfile.mkdtemp(prefix="squall-chromium-")
    command = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        browser = Browser(websocket.create_connection(_page(), timeout=60))
        browser.call("Page.enable")
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        yield browser
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(profile, ignore_errors=True)


def _page() -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):
            tabs = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/json").read())
            return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
        time.sleep(0.2)
    sys.exit("screenshots: the browser did not start\n  -> run `chromium --headless` by hand to see why")


def log_in(browser: Browser, known: LabState) -> None:
    """Airflow takes its token as a cookie."""
    password = known.airflow_password.get_secret_value()
    body = json.dumps({"username": known.airflow_user, "password": password}).encode()
    request = urllib.request.Request(
        f"{known.airflow_url}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    token = json.loads(urllib.request.urlopen(request).read())["access_token"]
    browser.call("Network.enable")
    browser.call("Network.setCookie", name="_token", value=token, url=known.airflow_url)


def published(experiment: str) -> tuple[str, str]:
    """Run id and MLflow page of the last published run of an experiment."""
    with build() as squall:
        notes = [
            (stored.record.run_id, stored.record.payload.text)
            for stored in squall.ledger.records(kinds=(RecordKind.RUN_PUBLISHED,))
            if stored.record.experiment == experiment and isinstance(stored.record.payload, Note)
        ]
    if not notes:
        sys.exit(f"screenshots: {experiment} was never published\n  -> run a night first: make nightly, then make up")
    return notes[-1]


def main() -> None:
    """All pictures of the README."""
    settings = find_settings()
    known = load_state(settings.home)
    if known is None:
        sys.exit("screenshots: nothing runs\n  -> make up")
    IMAGES.mkdir(parents=True, exist_ok=True)
    run_id, page = published("trainer-killed")
    report = settings.home / "reports" / run_id.partition(".")[0] / "report.html"
    with chromium() as browser:
        log_in(browser, known)
        dag = f"{known.airflow_url}/dags/chaos_trainer-killed/runs/{run_id}"
        browser.shoot(dag, "experiment-dag.png", 12)
        form = "[...document.querySelectorAll('button')].find(b => /trigger/i.test(b.textContent))?.click()"
        browser.shoot(f"{known.airflow_url}/dags/chaos_on_demand", "on-demand-form.png", 10, form)
        browser.shoot(page, "mlflow-run.png", 12)
        if report.exists():
            browser.shoot(report.as_uri(), "night-report.png", 2)


if __name__ == "__main__":
    main()
