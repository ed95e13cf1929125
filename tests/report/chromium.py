"""A headless Chromium, spoken to through its debugging pipe; and what may be wrong with a page in it."""

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

# Everything that can be measured in the laid-out page, as a list of complaints.
MEASURE = """(() => {
  const faults = [], root = document.documentElement;
  const words = e => (e.getAttribute('aria-label') || e.textContent || '').trim().slice(0, 40);
  const named = e => `<${e.tagName.toLowerCase()} ${e.getAttribute('class') || ''}> ${words(e)}`;
  if (root.scrollWidth > root.clientWidth)
    faults.push(`the page is ${root.scrollWidth} px wide in ${root.clientWidth} px`);
  for (const box of document.querySelectorAll('body *')) {
    if (box.closest('.scroll') || box.closest('svg') || box.tagName === 'WBR') continue;
    const r = box.getBoundingClientRect();
    if (r.right > root.clientWidth + 0.5) faults.push(`beyond the right edge: ${named(box)}`);
  }
  for (const e of document.querySelectorAll('svg, img')) {
    const r = e.getBoundingClientRect();
    if (!(r.width > 0 && r.height > 0)) faults.push(`no size: ${named(e)}`);
    if (e.tagName === 'IMG' && !(e.complete && e.naturalWidth > 0)) faults.push(`not loaded: ${named(e)}`);
  }
  for (const svg of document.querySelectorAll('svg.figure')) {
    const r = svg.getBoundingClientRect(), scale = r.width / svg.viewBox.baseVal.width;
    for (const text of svg.querySelectorAll('text')) {
      const t = text.getBoundingClientRect(), size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (t.left < r.left - 1.5 || t.right > r.right + 1.5 || t.top < r.top - 1.5 || t.bottom > r.bottom + 1.5)
        faults.push(`cut off: "${text.textContent}" in ${named(svg)}`);
      if (size < 9) faults.push(`text of ${size.toFixed(1)} px: "${text.textContent}" in ${named(svg)}`);
    }
  }
  return faults;
})()"""


class Chromium:
    """One browser with one tab."""

    def __init__(self, program: str, profile: Path) -> None:
        read_ours, write_theirs = os.pipe()
        read_theirs, write_ours = os.pipe()

        def at_three_and_four() -> None:
            for theirs, high in ((read_theirs, 50), (write_theirs, 51)):
                os.dup2(theirs, high)
            os.dup2(50, 3)
            os.dup2(51, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=at_three_and_four,
            pass_fds=(3, 4),
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self.reading, self.writing = read_ours, write_ours
        self.rest, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events on the way are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        for answer in self._messages(60):
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']['message']}")
            else:
                return dict(answer["result"])
        raise TimeoutError(f"Chromium did not answer {method}")

    def faults(self, page: Path, width: int, scheme: str = "light") -> list[str]:
        """Everything wrong with ``page`` at ``width`` CSS pixels: console, requests, sizes, overflow."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page.as_uri())
        self._until("Page.loadEventFired")
        self.call("Runtime.evaluate", expression="document.fonts.ready", awaitPromise=True)
        measured = self.call("Runtime.evaluate", expression=MEASURE, returnByValue=True)
        return [*self._said(page), *measured["result"]["value"]]

    def value(self, expression: str) -> Any:
        """What ``expression`` is in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.session = ""
            self.call("Browser.close")
        os.close(self.writing)
        os.close(self.reading)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _said(self, page: Path) -> Iterator[str]:
        for event in self.events:
            method, given = event.get("method"), event.get("params", {})
            if method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                yield f"console: {given['args'][0].get('value')}"
            elif method == "Runtime.exceptionThrown":
                yield f"exception: {given['exceptionDetails']['text']}"
            elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                yield f"log: {given['entry']['text']}"
            elif method == "Network.requestWillBeSent":
                url = given["request"]["url"]
                if not url.startswith("data:") and url != page.as_uri():
                    yield f"request: {url}"

    def _until(self, method: str) -> None:
        if any(event.get("method") == method for event in self.events):
            return
        for message in self._messages(60):
            self.events.append(message)
            if message.get("method") == method:
                return
        raise TimeoutError(f"Chromium never said {method}")

    def _messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + seconds
        while True:
            whole, found, rest = self.rest.partition(b"\0")
            if found:
                self.rest = rest
                yield json.loads(whole)
                continue
            if not select.select([self.reading], [], [], max(0.0, end - time.monotonic()))[0]:
                return
            piece = os.read(self.reading, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium went away")
            self.rest += piece
