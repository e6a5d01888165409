"""Queries PostgreSQL for 5 s: with a connection for each query (each) or with one for all (kept)."""

import sys
import time

import psycopg2


def query(connection):
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        cursor.fetchall()


def main(mode):
    end = time.monotonic() + 5
    kept = psycopg2.connect("") if mode == "kept" else None
    while time.monotonic() < end:
        connection = kept or psycopg2.connect("")
        query(connection)
        if not kept:
            connection.close()
        time.sleep(0.03)


main(sys.argv[1])
