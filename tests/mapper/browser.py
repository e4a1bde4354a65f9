"""A headless Chromium, driven as DevTools does, by messages through two pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_browser():
    """Return the program that `TOPODL_CHROMIUM` names, or one on the path; None where none can be driven."""
    if os.name != "posix":  # pipes are handed over by their numbers
        return None
    named = os.environ.get("TOPODL_CHROMIUM")
    return (
        named if named and os.access(named, os.X_OK) else next(filter(None, map(shutil.which, NAMES)), None)
    )


class Browser:
    """One page; `close` ends the program."""

    def __init__(self, program, profile):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
        command = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        arguments = [program, *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", *arguments],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._received, self._number, self._session = b"", 0, None
        self.messages = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._next(lambda each: each.get("id") == self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self, is_wanted, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while b"\0" in self._received:
                text, _, self._received = self._received.partition(b"\0")
                message = json.loads(text)
                if is_wanted(message):
                    return message
                self.messages.append(message)
            if select.select([self._read], [], [], end - time.monotonic())[0]:
                part = os.read(self._read, 1 << 20)
                if not part:
                    raise RuntimeError("the browser ended")
                self._received += part
        raise TimeoutError("the browser did not answer")

    def open(self, path, *, width=1280, height=800, scripts=True, dark=False):
        """Open a file in a window of a size, and wait until it is loaded."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.set_dark(dark)
        self.messages.clear()
        self.call("Page.navigate", url=path.as_uri())
        loaded = [each for each in self.messages if each.get("method") == "Page.loadEventFired"]
        if not loaded:
            self.messages.append(self._next(lambda each: each.get("method") == "Page.loadEventFired"))
        if scripts:
            self.settle()

    def set_dark(self, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def settle(self):
        """Wait until the page has drawn what it was told."""
        twice = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"
        self.call("Runtime.evaluate", expression=twice, awaitPromise=True)

    def evaluate(self, expression):
        """Return the value of an expression, which may be a promise."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def mouse(self, kind, x, y, *, modifiers=0, clicks=1):
        """Send "Moved", "Pressed" or "Released" at a place of the window."""
        button = {} if kind == "Moved" and not self._pressed else {"button": "left", "buttons": 1}
        self._pressed = {"Pressed": True, "Released": False}.get(kind, self._pressed)
        self.call(
            "Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y,
            modifiers=modifiers, clickCount=clicks, **button,
        )  # fmt: skip

    _pressed = False

    def click(self, x, y, *, modifiers=0, clicks=1):
        self.mouse("Moved", x, y, modifiers=modifiers)
        for number in range(1, clicks + 1):
            self.mouse("Pressed", x, y, modifiers=modifiers, clicks=number)
            self.mouse("Released", x, y, modifiers=modifiers, clicks=number)
        self.settle()

    def drag(self, line, *, modifiers=0):
        self.mouse("Moved", *line[0], modifiers=modifiers)
        self.mouse("Pressed", *line[0], modifiers=modifiers)
        for place in line[1:]:
            self.mouse("Moved", *place, modifiers=modifiers)
        self.mouse("Released", *line[-1], modifiers=modifiers)
        self.settle()

    def key(self, key):
        code = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, whole=False):
        """Return a PNG file of the window, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def faults(self):
        """Return exceptions, errors of the console, and addresses other than the file's own."""
        self.call("Runtime.evaluate", expression="0")
        faults = []
        for message in self.messages:
            method, said = message.get("method"), message.get("params", {})
            if method == "Runtime.exceptionThrown":
                faults.append(said["exceptionDetails"])
            elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
                faults.append(said["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = said["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:")):
                    faults.append(url)
        return faults

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
