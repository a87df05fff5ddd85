"""Starts pillarbox once for all tests, and gives each an address of its own."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest


class Inbox:
    """What pillarbox has received."""

    def __init__(self, smtp, url):
        self.smtp = smtp
        self.url = url

    def wait(self, **filters):
        """The messages that match, once there are `count` of them: to, from_, subject, search, after, timeout."""
        query = urllib.parse.urlencode({name.rstrip("_"): value for name, value in filters.items()})
        try:
            with urllib.request.urlopen(f"{self.url}api/wait?{query}") as answer:
                return json.load(answer)["messages"]
        except urllib.error.HTTPError as refused:
            # What did arrive explains why the test fails.
            pytest.fail(refused.read().decode())


def rest_of_line(lines, begin):
    return next(line.removeprefix(begin).strip() for line in lines if line.startswith(begin))


@pytest.fixture(scope="session")
def inbox():
    command = [os.environ.get("PILLARBOX", "pillarbox"), "-n", "-c", "Inbox", "--http", "localhost:0", "localhost:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            smtp = rest_of_line(server.stderr, "pillarbox: listening on ")
            url = rest_of_line(server.stderr, "pillarbox: inbox at ")
            yield Inbox(smtp, url)
        finally:
            server.terminate()


@pytest.fixture
def address():
    """Tests that run at the same time get only the mail that is theirs."""
    return f"{uuid.uuid4()}@example.org"
