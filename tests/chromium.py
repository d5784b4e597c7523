"""A headless Chromium driven over its DevTools protocol, through a pair of pipes: no port, no further package."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from debian import program


class Browser:
    """One page of a headless Chromium without network; its console errors and requests are kept."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def take_pipes() -> None:
            # Chromium reads commands from descriptor 3 and writes to 4; duplicates first, since the numbers may cross.
            spare_in, spare_out = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(spare_in, 3)
            os.dup2(spare_out, 4)

        command = [
            program("chromium", "chromium"),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]
        command += ["--remote-debugging-pipe", "--window-size=1500,950", f"--user-data-dir={profile}"]
        command += ["--disable-background-networking", "--proxy-server=127.0.0.1:9", "about:blank"]
        self._log = (profile.parent / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            command, preexec_fn=take_pipes, close_fds=False, stdout=self._log, stderr=self._log
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._count, self._rest, self._session = 0, b"", None
        self.errors: list[str] = []
        self.requests: list[str] = []
        page = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict:
        """The answer to one command of the protocol."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._rest:
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium ended; see chromium.log")
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(parameters["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if parameters["type"] == "error":
                self.errors.append(json.dumps(parameters["args"])[:500])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.errors.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    @contextmanager
    def within(self) -> Iterator[None]:
        """What is run or waited for meanwhile is so in the page that the page shows within it."""
        own, address, found = self._session, self.run("document.querySelector('iframe').src"), []
        end = time.monotonic() + 60
        while not found and time.monotonic() < end:
            targets = self.call("Target.getTargets")["targetInfos"]
            found = [target["targetId"] for target in targets if target["url"] == address]
        self._session = self.call("Target.attachToTarget", targetId=found[0], flatten=True)["sessionId"]
        try:
            yield
        finally:
            self._session = own

    def wait(self, script: str, seconds: float = 180) -> Any:
        """The expression's value once it is true; fails after ``seconds``."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {script}\n{self.run('document.body.innerText')[:2000]}")
            time.sleep(0.1)
        return value

    def click(self, text: str, within: str = "a, button") -> None:
        """Click the first visible element of the selector ``within`` whose text is ``text``."""
        found = f"[...document.querySelectorAll({within!r})].find(e => e.textContent.trim() === {text!r})"
        self.wait(f"!!{found}")
        self.run(f"{found}.click()")

    def screenshot(self, path: Path) -> None:
        """Save the window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        self._log.close()
