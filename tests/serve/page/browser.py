"""Debian's Chromium, driven by its own DevTools protocol: one browser, a fresh profile, a page per test.

with Chromium(folder) as browser:
    page = browser.page(width=1280, height=900)
    page.go("http://127.0.0.1:8000/")
    page.wait("document.querySelector('#adapter').length")
"""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
KEYS = {  # name -> DOM code, Windows' virtual key, text
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
}
SHIFT = 8


def find_chromium() -> str | None:
    """Its path, or None where there is none."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Chromium:
    """A running browser; a context manager that ends it."""

    def __init__(self, profile: Path) -> None:
        self.profile = profile

    def __enter__(self) -> "Chromium":
        command = [str(find_chromium()), *FLAGS, f"--user-data-dir={self.profile}"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = self.profile / "DevToolsActivePort"
        until(lambda: told.exists() and len(told.read_text().split()) == 2, "Chromium's port", 30)
        port, path = told.read_text().split()
        self.wire = Wire(connect(f"ws://127.0.0.1:{port}{path}", max_size=None))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.wire.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def page(self, width: int = 1280, height: int = 900, *, dark: bool = False, phone: bool = False) -> "Page":
        """An empty page with a storage of its own."""
        context = self.wire.call("Target.createBrowserContext")["browserContextId"]
        target = self.wire.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.wire.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self.wire, session, context, width, height, dark=dark, phone=phone)


def until(true: Callable[[], Any], what: str, timeout_s: float) -> Any:
    """Wait for something; what it gave."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.03)
    raise TimeoutError(f"{what}: not within {timeout_s:g} s")


class Wire:
    """The protocol: calls by number, events by session."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)


class Page:
    """One page: what a person does at it, what it shows, what it asked for and complained of."""

    def __init__(self, wire: Wire, session: str, context: str, width: int, height: int, *, dark: bool, phone: bool) -> None:
        self.wire, self.session, self.context = wire, session, context
        self.allowed = r"status of 4\d\d"  # the browser reports every refusal
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone
        )
        if phone:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def call(self, method: str, **parameters: Any) -> Any:
        return self.wire.call(method, self.session, **parameters)

    def close(self) -> None:
        self.wire.call("Target.disposeBrowserContext", browserContextId=self.context)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def eval(self, expression: str) -> Any:
        """The value of an expression, awaited when it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", expression))
        return answer["result"].get("value")

    def wait(self, expression: str, timeout_s: float = 15) -> Any:
        """Wait until an expression is true; its value."""

        def value() -> Any:
            with contextlib.suppress(RuntimeError):  # the element is not there yet, or the page is being left
                return self.eval(expression)

        return until(value, expression, timeout_s)

    def visible(self, selector: str, timeout_s: float = 15) -> None:
        """Wait until it is shown."""
        self.wait(f"document.querySelector({selector!r})?.checkVisibility()", timeout_s)

    def text(self, selector: str) -> str:
        return str(self.eval(f"document.querySelector({selector!r}).innerText")).strip()

    def files(self, selector: str, *paths: Path) -> None:
        """Choose files, as in the file dialogue."""
        element = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=element)

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Press the mouse at a place of the element, as shares of its box; it is scrolled to first."""
        self.eval(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.eval(
            f"(({{x, y, width, height}}) => [x, y, width, height])(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        at = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def press(self, key: str, *, shift: bool = False) -> None:
        """One stroke of a key at what has the focus."""
        code, number, text = KEYS[key]
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": SHIFT if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def downloads(self, folder: Path) -> None:
        """Where they go."""
        self.wire.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), browserContextId=self.context)

    def picture(self, path: Path, *, full: bool = True) -> None:
        """A screenshot as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=full, fromSurface=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _events(self, method: str) -> Iterator[dict[str, Any]]:
        self.eval("0")  # what is on the wire comes in
        yield from (
            event["params"] for event in self.wire.events if event.get("sessionId") == self.session and event["method"] == method
        )

    def awaited(self, method: str, timeout_s: float = 10) -> list[dict[str, Any]]:
        """Events of this kind, as soon as there is one."""
        return list(until(lambda: list(self._events(method)), method, timeout_s))

    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Errors in the console: uncaught ones, logged ones, and the browser's own (a blocked style, a failed request)."""
        uncaught = [
            event["exceptionDetails"].get("exception", {}).get("description", "")
            for event in self._events("Runtime.exceptionThrown")
        ]
        logged = [
            str(event["args"]) for event in self._events("Runtime.consoleAPICalled") if event["type"] in ("error", "warning")
        ]
        own = [event["entry"]["text"] + " " + event["entry"].get("url", "") for event in self._events("Log.entryAdded")]
        return [text for text in (*uncaught, *logged, *own) if not re.search(self.allowed, text)]

    def forgive(self, pattern: str) -> None:
        """Complaints of this form are what the test is about."""
        self.allowed += f"|{pattern}"
