#!/usr/bin/env python3
import os
import sys
import traceback


def process_message(peer, mailfrom, rcpttos, data):
    if "bob@example.org" not in rcpttos:
        return "550 5.1.1 no such user"
    with open(os.environ["PILLARBOX_ID"] + ".eml", "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


try:
    reply = process_message(
        os.environ["PILLARBOX_PEER"],
        os.environ["PILLARBOX_SENDER"],
        os.environ["PILLARBOX_RECIPIENTS"].split("\n"),
        sys.stdin.buffer.read(),
    )
except Exception:
    traceback.print_exc()  # goes to the server's log
    sys.exit(75)  # the client tries again
print(reply or "")
