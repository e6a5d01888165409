"""Gets a page for 5 s: with requests.get() (each) or with a Session (kept)."""

import sys
import time

import requests


def main(mode):
    end = time.monotonic() + 5
    get = requests.Session().get if mode == "kept" else requests.get
    while time.monotonic() < end:
        get("http://127.0.0.1/page.html", timeout=3).raise_for_status()
        time.sleep(0.02)


main(sys.argv[1])
