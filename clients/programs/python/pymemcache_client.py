"""Sets and gets a key of memcached for 5 s: with a Client for each time (each) or with one for all (kept)."""

import sys
import time

from pymemcache.client.base import Client


def main(mode):
    end = time.monotonic() + 5
    kept = Client(("127.0.0.1", 11211)) if mode == "kept" else None
    while time.monotonic() < end:
        client = kept or Client(("127.0.0.1", 11211))
        client.set("key", "value")
        client.get("key")
        if not kept:
            client.close()
        time.sleep(0.02)


main(sys.argv[1])
