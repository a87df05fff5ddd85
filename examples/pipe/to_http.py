#!/usr/bin/env python3
"""Posts each message to a web server, and accepts it once that has it.

    pillarbox -n -c Pipe localhost:8025 -- examples/pipe/to_http.py http://localhost:8080/mail

The client tries again if the web server is down or answers 5xx, and gives up if it answers 4xx.
"""

import os
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request

TRY_AGAIN = 75


def header(name):
    """An address may have characters that a header cannot have."""
    return urllib.parse.quote(os.environb[name], safe="@+=.,\n").replace("\n", ", ")


def main():
    mail = sys.stdin.buffer.read()
    if len(mail) != int(os.environ["PILLARBOX_SIZE"]):
        return TRY_AGAIN  # the server was killed
    headers = {
        "Content-Type": "message/rfc822",
        "Mail-Id": os.environ["PILLARBOX_ID"],
        "Mail-From": header(b"PILLARBOX_SENDER"),
        "Mail-To": header(b"PILLARBOX_RECIPIENTS"),
    }
    try:
        # urlopen raises for anything but 2xx.
        with urllib.request.urlopen(urllib.request.Request(sys.argv[1], mail, headers), timeout=30):
            return 0
    except urllib.error.HTTPError as error:
        print(error, file=sys.stderr)
        if 400 <= error.code < 500:
            print("554 5.6.0 the web server refuses this message")
            return 1
        return TRY_AGAIN


try:
    status = main()
except Exception:
    traceback.print_exc()
    status = TRY_AGAIN
sys.exit(status)
