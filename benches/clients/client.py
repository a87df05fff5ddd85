"""smtplib: ADDRESS PORT FILE MESSAGES kept|new. Prints how many seconds each message has taken."""

import smtplib
import sys
import time

host, port, file, messages, habit = sys.argv[1:]
with open(file, "rb") as opened:
    message = opened.read()


def connect():
    return smtplib.SMTP(host, int(port), local_hostname="client.example")


def send(client):
    client.sendmail("sender@bench.example", ["rcpt@bench.example"], message)


def send_alone():
    with connect() as client:
        send(client)


if habit == "kept":
    kept = connect()
    send(kept)
for _ in range(int(messages)):
    begun = time.perf_counter()
    if habit == "kept":
        send(kept)
    else:
        send_alone()
    print(time.perf_counter() - begun)
if habit == "kept":
    kept.quit()
