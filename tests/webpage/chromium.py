"""Chromium without a window, driven over a pair of pipes: no other package is needed, only the browser itself."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60


def browser() -> str | None:
    """The browser's program: named by XSTILTS_CHROMIUM, or the first of ``NAMES`` there is."""
    named = os.environ.get("XSTILTS_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page. ``console`` and ``requests`` are what it said and asked for since it was opened."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._last, self._session = write, read, b"", 0, ""
        self.console: list[str] = []
        self.requests: list[str] = []

    def start(self) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(
        self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True
    ) -> None:
        """Load a file at a width, light or dark, with or without its script."""
        self.console, self.requests = [], []
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", media="", features=scheme)
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._call("Emulation.setScriptExecutionDisabled", value=not script)
        self._loaded = False
        self._call("Page.navigate", url=file.resolve().as_uri())
        while not self._loaded:
            self._event(self._message())
        self._call("Emulation.setScriptExecutionDisabled", value=False)  # of the page's own; ours must run

    def run(self, code: str) -> Any:
        """The value of an expression, promises awaited."""
        found = self._call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release a key."""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9}
        more = {"text": "\r"} if name == "Enter" else {}
        at = {"key": name, "code": name, "windowsVirtualKeyCode": codes[name]}
        self._call("Input.dispatchKeyEvent", type="keyDown", **at, **more)
        self._call("Input.dispatchKeyEvent", type="keyUp", **at)

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """What is seen, as PNG."""
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        said: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            said["sessionId"] = self._session
        os.write(self._write, json.dumps(said).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._last:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self._event(message)

    def _event(self, message: dict[str, Any]) -> None:
        method, of = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.consoleAPICalled":
            self.console.append(str(of["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(str(of["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(of["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not of["request"]["url"].startswith("data:"):
            self.requests.append(of["request"]["url"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise AssertionError("the browser ended")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def tab() -> Iterator[Tab]:
    """A fresh browser with a profile of its own, gone afterwards."""
    program = browser()
    assert program is not None
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="xstilts-browser-", ignore_cleanup_errors=True) as home:
        # The browser reads its commands from 3 and answers on 4; the shell puts our pipes there.
        command = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
        quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
        with subprocess.Popen(
            ["bash", "-c", command, program, *flags, *quiet, f"--user-data-dir={home}", "--remote-debugging-pipe"],
            pass_fds=(to_browser, from_browser),
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(to_browser)
            os.close(from_browser)
            try:
                found = Tab(from_us, to_us)
                found.start()
                yield found
            finally:
                process.kill()
                os.close(from_us)
                os.close(to_us)
