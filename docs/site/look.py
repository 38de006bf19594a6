"""Looks at the built site in Chromium: `python docs/site/look.py build/site`, where Chromium is installed.

On a phone and on a desk no page is wider than the screen, but for what scrolls by itself, such as tables
and code; every picture is there; and in the dark, text is light on dark.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WIDTHS = (400, 1280)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
# Goes through the pages in one frame, which may be narrower than a window.
_SCRIPT = """
<iframe id="f" style="height:900px;border:0"></iframe>
<script>
const pages = PAGES, widths = WIDTHS, found = [], frame = document.getElementById("f");
const scrolls = (e, root) => {
  for (; e && e !== root; e = e.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX)) return true;
  return false;
};
const bright = (colour) => {
  const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  return (parts[0] + parts[1] + parts[2]) / 765;
};
const look = () => {
  const inside = frame.contentDocument, root = inside.documentElement, wide = [];
  for (const e of inside.querySelectorAll("article *")) {
    const right = e.getBoundingClientRect().right;
    if (right > root.clientWidth + 1 && !scrolls(e, inside.body))
      wide.push(`${e.tagName.toLowerCase()} ${(e.textContent || "").trim().slice(0, 40)}`);
  }
  const style = getComputedStyle(inside.body);
  return {
    over: root.scrollWidth - root.clientWidth,
    wide: wide.slice(0, 3),
    broken: [...inside.images].filter((i) => !i.naturalWidth).map((i) => i.getAttribute("src")),
    ink: bright(style.color), back: bright(style.backgroundColor),
  };
};
const next = (i) => {
  if (i === pages.length * widths.length) {
    const out = document.createElement("output");
    out.textContent = JSON.stringify(found);
    document.body.append(out);
    return;
  }
  const page = pages[i % pages.length], width = widths[Math.floor(i / pages.length)];
  frame.style.width = `${width}px`;
  frame.onload = () => setTimeout(() => { found.push({page, width, ...look()}); next(i + 1); }, 20);
  frame.src = page;
};
next(0);
</script>
"""


def seen(site: Path, dark: bool = False) -> list[dict[str, Any]]:
    """What Chromium makes of each page at each width."""
    assert CHROMIUM is not None
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    script = _SCRIPT.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(WIDTHS))
    with tempfile.TemporaryDirectory() as place:
        frame = site / "look.tmp.html"
        frame.write_text(script)
        command = [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--allow-file-access-from-files", f"--user-data-dir={place}"),
            *("--window-size=1500,1000", "--virtual-time-budget=900000"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            *("--dump-dom", frame.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
        finally:
            frame.unlink()
    found = re.search(r"<output>(.*?)</output>", done.stdout, re.DOTALL)
    if found is None:
        raise RuntimeError(f"Chromium did not come to the end: {done.stderr[-300:]}")
    result: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return result


def faults(site: Path) -> list[str]:
    """What is wrong, a line each."""
    found = []
    for dark in (False, True):
        for each in seen(site, dark):
            where = f"{each['page']}, {each['width']} pixels"
            if (each["ink"] > each["back"]) is not dark or abs(each["ink"] - each["back"]) < 0.4:
                found.append(f"{where}: ink {each['ink']:.2f} on {each['back']:.2f}, dark={dark}")
            if dark:  # the layout is the same
                continue
            if each["over"] > 0 or each["wide"]:
                found.append(f"{where}: too wide by {each['over']}: {each['wide']}")
            found += [f"{where}: no picture {name}" for name in each["broken"]]
    return found


def main() -> None:
    if CHROMIUM is None:
        print("Chromium is not installed: nothing was looked at")
        return
    found = faults(Path(sys.argv[1]).resolve())
    print(*found, sep="\n", end="\n" if found else "")
    if found:
        sys.exit(f"{len(found)} faults")
    print(f"every page fits {' and '.join(map(str, WIDTHS))} pixels, light and dark")


if __name__ == "__main__":
    main()
