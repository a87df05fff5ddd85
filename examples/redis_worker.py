#!/usr/bin/env python3
"""Takes messages off the Redis stream of pillarbox and stores each in a Maildir, once: redis_worker.py URL NAME MAILDIR

It needs redis-py and Redis 7. Each worker has a NAME of its own, which it keeps when it is restarted. What an entry means is in the
documentation of pillarbox: guide::entry_format.
"""
import os
import sys
import time

import redis

STREAM, GROUP, DEAD_AFTER = "pillarbox", "pillarbox", int(os.environ.get("DEAD_AFTER", "60"))
# A full Redis refuses to make a group, unless a script says that it may.
CREATE = "#!lua flags=allow-oom\nreturn redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')"
URL, NAME, MAILDIR = sys.argv[1:]


def flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def host_in_name(host):
    host = host.replace(b"/", b"\\057").replace(b":", b"\\072")
    if len(host) <= 100:
        return host.decode()
    hashed = 0x6C62272E07BB014262B821756295C58D  # FNV-1a
    for octet in host:
        hashed = (hashed ^ octet) * 0x1000000000000000000013B % 2**128
    return f"{host[:60].decode(errors='ignore')}~{hashed:032x}"


def store(fields):
    """Has a message on disk, in a file whose name is the same whoever stores it."""
    seconds, nanos = divmod(int(fields[b"received_at"]), 10**9)
    file = f"{seconds}.N{nanos:09}I{fields[b'id'].decode()}.{host_in_name(fields[b'hostname'])}"
    tmp, new, cur = (os.path.join(MAILDIR, part) for part in ("tmp", "new", "cur"))
    if not any(seen.split(":")[0] == file for seen in os.listdir(cur)):
        with open(os.path.join(tmp, file), "wb") as out:
            out.write(fields[b"content"].replace(b"\r\n", b"\n"))
        flush(os.path.join(tmp, file))
        os.rename(os.path.join(tmp, file), os.path.join(new, file))
    flush(new)


def handle(db, entries):
    for entry, fields in entries:
        if fields and fields.get(b"version") not in (b"1", b"2"):
            print(f"{entry.decode()} stays: its format is {fields.get(b'version')}", file=sys.stderr)
            continue
        if fields:  # else it was deleted
            store(fields)
        # Only now, and both: an entry that is not deleted fills the stream. Without MULTI, which a full Redis refuses.
        db.pipeline(transaction=False).xdel(STREAM, entry).xack(STREAM, GROUP, entry).execute()


def work(db):
    after, cursor, claim_at = "0", "0-0", 0
    while True:
        # First what this worker has taken and not finished; then new entries.
        answer = db.xreadgroup(GROUP, NAME, {STREAM: after}, count=8, block=1000)
        entries = answer[0][1] if answer else []
        handle(db, entries)
        if after != ">":
            after = entries[-1][0] if entries else ">"
        # What workers that are gone have taken, some at a time, to the end of the list.
        if time.monotonic() >= claim_at:
            cursor, entries, *_ = db.xautoclaim(STREAM, GROUP, NAME, DEAD_AFTER * 1000, cursor, count=8)
            handle(db, entries)
            claim_at = 0 if cursor != b"0-0" else time.monotonic() + DEAD_AFTER


for part in ("tmp", "new", "cur"):
    os.makedirs(os.path.join(MAILDIR, part), exist_ok=True)
db = redis.Redis.from_url(URL, protocol=2, socket_timeout=30)
while True:
    try:
        work(db)
    except redis.RedisError as error:
        if str(error).startswith("NOGROUP"):
            db.eval(CREATE, 1, STREAM, GROUP)
        else:
            print(error, file=sys.stderr)
            time.sleep(1)
