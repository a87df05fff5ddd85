"""A Mailman 3 core that is told what to do by lines on its standard input, and answers each with `done`.

It is given its configuration file and the runners to start. It runs them as Mailman's own master does, but forks them
instead of starting a new Python for each, which takes a second of work. It ends, and they with it, when its input does:
nothing is left behind by a test that is killed.
"""

import os
import signal
import socket
import sys

from mailman.app.lifecycle import create_list, remove_list
from mailman.bin.runner import make_runner
from mailman.core.initialize import initialize
from mailman.database.transaction import transaction
from mailman.interfaces.action import Action
from mailman.interfaces.domain import IDomainManager
from mailman.interfaces.listmanager import IListManager
from mailman.interfaces.usermanager import IUserManager
from mailman.utilities.datetime import now
from zope.component import getUtility

running = []


def add(name, *members):
    """Makes a list that takes every post at once: nothing is held for a moderator, nobody is welcomed."""
    domain = name.partition('@')[2]
    domains = getUtility(IDomainManager)
    if domain not in domains:
        domains.add(domain)
    mailing_list = create_list(name)
    mailing_list.default_member_action = Action.accept
    mailing_list.default_nonmember_action = Action.accept
    mailing_list.send_welcome_message = False
    users = getUtility(IUserManager)
    for member in members:
        address = users.get_address(member) or users.create_address(member)
        address.verified_on = now()
        mailing_list.subscribe(address)


def remove(name):
    mailing_list = getUtility(IListManager).get(name)
    if mailing_list is None:
        raise LookupError(name)
    remove_list(mailing_list)


def start():
    # Nothing is shared by the fork: connections to the database end with their transactions.
    for name in runners:
        child = os.fork()
        if child:
            running.append(child)
            continue
        try:
            runner = make_runner(name, 0, 1)
            runner.set_signals()
            runner.run()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)


def kill():
    for child in running:
        os.kill(child, signal.SIGKILL)
    while running:
        os.waitpid(running.pop(), 0)


# Mailman names itself to each client and server, and would ask a name server for that.
socket.getfqdn = lambda name='': 'mailman.example'

configuration, *runners = sys.argv[1:]
initialize(configuration)
try:
    for line in sys.stdin:
        verb, *arguments = line.split()
        with transaction():
            {'add': add, 'remove': remove, 'start': start, 'kill': kill}[verb](*arguments)
        print('done', flush=True)
except Exception:
    sys.excepthook(*sys.exc_info())
finally:
    kill()
    # An orderly exit takes half a second, in which Python takes everything apart.
    os._exit(0)
