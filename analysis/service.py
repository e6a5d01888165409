"""service.py NAME serve ADDRESS...
service.py NAME each PAUSE HOLD ADDRESS     a connection for each request
service.py NAME keep PAUSE REQUESTS ADDRESS a connection for that many requests
"""
import os
import socket
import sys
import threading
import time

QUERY, ANSWER = b"q" * 400, b"a" * 900


def parse(text):
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def new_socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


def receive(connection, size):
    while size > 0:
        data = connection.recv(size)
        if not data:
            raise ConnectionError("closed")
        size -= len(data)


def answer(connection):
    with connection:
        try:
            while True:
                receive(connection, len(QUERY))
                connection.sendall(ANSWER)
        except OSError:
            pass


def listen(address):
    listener = new_socket(address)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def ask(connection):
    connection.sendall(QUERY)
    receive(connection, len(ANSWER))


def each(pause, hold, address):
    with new_socket(address) as connection:
        connection.settimeout(2)
        try:
            connection.connect(address)
            ask(connection)
            time.sleep(hold)
        except OSError:
            pass
    time.sleep(pause)


def keep(pause, requests, address):
    with new_socket(address) as connection:
        connection.connect(address)
        for _ in range(int(requests)):
            ask(connection)
            time.sleep(pause)


def main():
    name, role, *rest = sys.argv[1:]
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)
    if role == "serve":
        for address in rest:
            threading.Thread(target=listen, args=(parse(address),), daemon=True).start()
        threading.Event().wait()
    end = time.monotonic() + float(os.environ["SECONDS_OF_TRAFFIC"])
    while time.monotonic() < end:
        {"each": each, "keep": keep}[role](float(rest[0]), float(rest[1]), parse(rest[2]))


main()
