"""What no library does: MODE PORT, for 5 s.

leak     opens HTTP connections, uses each once, and closes none
connect  connects, gives up after 0.2 s, and prints how that went as JSON
full     is a server that accepts nobody
"""

import errno
import http.client
import json
import socket
import sys
import time


def leak(port):
    end = time.monotonic() + 5
    opened = []
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
        connection.request("GET", "/page.html")
        connection.getresponse().read()
        opened.append(connection)
        time.sleep(0.05)


def connect(port):
    end = time.monotonic() + 5
    opened, failed = [], {}
    while time.monotonic() < end:
        try:
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        except socket.timeout:
            failed["CANCELED"] = failed.get("CANCELED", 0) + 1
        except OSError as error:
            name = errno.errorcode[error.errno]
            failed[name] = failed.get(name, 0) + 1
        time.sleep(0.02)
    print(json.dumps({"opened": len(opened), "failed": failed}))


def full(port):
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    time.sleep(60)


{"leak": leak, "connect": connect, "full": full}[sys.argv[1]](int(sys.argv[2]))
