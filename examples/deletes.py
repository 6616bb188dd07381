#!/usr/bin/env python3
"""Prints every deleted row as it happens, and says so when something was missed. Needs only Python.

    python3 examples/deletes.py [http://127.0.0.1:7777] [public.User]

It reads Server-Sent Events. When the connection breaks it comes back with the id of the last event that it has seen, and goes on from
there: nothing is lost as long as pgvigil still holds what came since; if not, a `gap` says so.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def events(url, last_id=None):
    """Yields (id, event) for ever."""
    while True:
        request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})
        if last_id:
            request.add_header("Last-Event-ID", last_id)
        try:
            # pgvigil sends something every second; silence means that the connection is dead.
            with urllib.request.urlopen(request, timeout=10) as response:
                for line in response:
                    line = line.decode().rstrip("\n")
                    if line.startswith("id:"):
                        last_id = line[3:].strip()
                    elif line.startswith("data:"):
                        yield last_id, json.loads(line[5:])
        except urllib.error.HTTPError as error:
            sys.exit(f"{error.code}: {json.load(error).get('detail', error.reason)}")
        except OSError as error:
            print(f"not connected ({error}); trying again", file=sys.stderr, flush=True)
        time.sleep(1)


def known(rows, what):
    """A change carries its count where DDL is told (`pgvigil setup`). Elsewhere it comes a moment later, as a `counts` event."""
    return "" if rows is None else f": {rows} rows {what}"


def main():
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7777"
    query = {"op": "delete,truncate", "kinds": "change,status"}
    if len(sys.argv) > 2:
        query["table"] = sys.argv[2]
    for _, event in events(f"{base}/api/v1/stream?{urllib.parse.urlencode(query)}"):
        match event["type"]:
            case "hello":
                print(f"watching {event['database']['name']} from {event['lsn']}", flush=True)
            case "change" if event["op"] == "truncate":
                print(f"{event['tx']['time']} {event['table']} truncated{known(event['rows_lost'], 'lost')}", flush=True)
            case "change":
                print(f"{event['tx']['time']} {event['table']} {event['old']} deleted{known(event['count'], 'left')}", flush=True)
            case "gap":
                print(f"MISSED everything from {event['from']} to {event['to']}: {event['reason']}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
