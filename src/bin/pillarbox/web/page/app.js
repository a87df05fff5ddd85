// The web inbox: what is clicked and pressed, and what follows from it. There is no innerHTML anywhere on this page, and its
// Content-Security-Policy would not let it have any effect.

import { onKey } from './body.js';
import * as connections from './connections.js';
import * as deletion from './deletion.js';
import { confirmed, makeDialogs } from './dialogs.js';
import { greet, showEmpty } from './empty.js';
import { faults, makeFaults } from './faults.js';
import { follow } from './follow.js';
import * as inbox from './inbox.js';
import { TABS, hide, makeTabs, show, want } from './message.js';
import { $, ask, complain, counted, line, pathOf, read } from './page.js';
import * as selection from './selection.js';

const list = $('list');
const isNarrow = matchMedia('(max-width: 760px)');

/** The message that keys are meant for, and the one that is shown. */
let current = null;
let opened = null;

// ---- What has changed

/** Once for all that happens before the next frame. */
function refresh() {
  refresh.due ??= setTimeout(() => {
    refresh.due = undefined;
    inbox.tell();
    selection.check();
    if (current && !inbox.mailOf(current)) current = null;
    showEmpty(inbox.total() === 0, opened !== null);
  }, 16);
}

function tellState(state) {
  if ($('state').dataset.state === state) return;
  $('state').dataset.state = state;
  $('state').lastElementChild.textContent = state === 'gone' ? 'Server gone' : 'Live';
  $('state').title = state === 'gone' ? 'The server does not answer. It is asked again every few seconds.' : '';
}

/** All anew. */
async function reload(signal) {
  const before = inbox.total();
  await inbox.load(signal);
  faults.count(await read('/api/faults', { signal }));
  if (reload.isLater && inbox.total() > before) $('news').textContent = counted(inbox.total() - before, 'new message');
  if (!reload.isLater) fromHash();
  reload.isLater = true;
}

/** What has happened at the server. */
function apply(change) {
  const fresh = inbox.apply(change);
  deletion.forget(change.deleted);
  if (opened && change.deleted.includes(opened)) leave();
  if (fresh.length === 1) $('news').textContent = `New message from ${line(fresh[0].from?.address ?? fresh[0].mail_from)}: ${line(fresh[0].subject)}`;
  if (fresh.length > 1) $('news').textContent = counted(fresh.length, 'new message');
  if (apply.faults !== change.faults) {
    apply.faults = change.faults;
    read('/api/faults').then((rules) => faults.count(rules), () => { /* The next change tells. */ });
  }
}

// ---- Choosing and opening a message

/** Which rows are selected: those that are marked, or else the one that is current. */
function showSelected() {
  for (const row of inbox.rows()) {
    const { id } = row.dataset;
    row.setAttribute('aria-selected', String(selection.isAny() ? selection.has(id) : id === current));
    row.classList.toggle('is-current', id === current);
  }
}

function choose(id) {
  for (const one of [current, id]) {
    const row = inbox.rowOf(one);
    row?.setAttribute('aria-selected', String(selection.isAny() ? selection.has(one) : one === id));
    row?.classList.toggle('is-current', one === id);
  }
  current = id;
  const row = inbox.rowOf(id);
  if (row) list.setAttribute('aria-activedescendant', row.id);
  else list.removeAttribute('aria-activedescendant');
  row?.scrollIntoView({ block: 'nearest' });
}

function step(row) {
  if (!row) return;
  choose(row.dataset.id);
  if (isNarrow.matches) return;
  // Whoever holds the key down passes by.
  clearTimeout(step.timer);
  step.timer = setTimeout(() => open(row.dataset.id), 60);
}

async function older() {
  const row = inbox.rowOf(current);
  if (row && !row.nextElementSibling && inbox.hasMore()) await inbox.more().catch(complain);
  step(row ? row.nextElementSibling : inbox.first());
}

function newer() {
  const row = inbox.rowOf(current);
  step(row ? row.previousElementSibling : inbox.first());
}

/** The oldest, for which all have to be there. */
async function oldest() {
  await inbox.everything().catch(complain);
  step(inbox.last());
}

async function open(id, isReplay = false) {
  clearTimeout(step.timer);
  connections.exit();
  choose(id);
  if (opened === id) return;
  open.abort?.abort();
  open.abort = new AbortController();
  try {
    const mail = await read(pathOf(id), { signal: open.abort.signal });
    if (current !== id) return;
    opened = id;
    show(mail);
    document.body.classList.add('is-reading');
    if (!isReplay) history[isNarrow.matches ? 'pushState' : 'replaceState'](null, '', `#${id}`);
    refresh();
    markRead(id, true);
  } catch (error) {
    if (error.status === 404) inbox.remove(id);
    else if (error.name !== 'AbortError' && current === id) choose(opened);
    complain(error);
  }
}

function close() {
  open.abort?.abort();
  leave();
}

/** Shows no message, though the next may be on its way. */
function leave() {
  opened = null;
  hide();
  document.body.classList.remove('is-reading');
  history.replaceState(null, '', location.pathname);
  refresh();
}

function fromHash() {
  const id = location.hash.slice(1);
  if (id === 'connections') connections.enter();
  else if (/^\d+$/.test(id)) open(id, true);
  else if (opened && !id) close();
  else if (!id) connections.exit();
}

/** For all who look at the inbox. */
async function markRead(id, isRead) {
  if (!id || inbox.mailOf(id)?.read === isRead) return;
  inbox.setRead(id, isRead);
  try {
    await ask(`${pathOf(id)}/read`, { method: isRead ? 'PUT' : 'DELETE' });
  } catch (error) {
    if (error.status !== 404) complain(error);
  }
}

function markUnread() {
  if (selection.isAny()) return selection.setRead(false);
  markRead(current, false);
}

// ---- Deleting

function deleteOne() {
  if (selection.isAny()) return selection.remove();
  const id = current;
  const row = inbox.rowOf(id);
  if (!row) return;
  // On at once: a key that is pressed next is meant for the next message.
  const next = row.nextElementSibling ?? row.previousElementSibling;
  deletion.hold(id);
  if (opened === id) leave();
  list.focus();
  if (next) step(next);
  else choose(null);
}

function undo() {
  const id = deletion.undo();
  if (id !== null) step(inbox.rowOf(id));
}

async function deleteAll() {
  const count = inbox.total();
  if (!await confirmed('Delete all messages?', count === 1 ? 'It is one message.' : `They are ${count.toLocaleString()} messages.`)) return;
  try {
    await deletion.commit();
    await ask('/api/messages', { method: 'DELETE' });
    inbox.clear();
    if (opened) leave();
    list.focus();
  } catch (error) {
    complain(error);
  }
}

// ---- Search

/** Whether this was the last one that was asked for, and succeeded. */
async function search() {
  clearTimeout(search.timer);
  try {
    return await inbox.search($('search').value);
  } catch (error) {
    complain(error);
    return false;
  }
}

search.soon = () => {
  clearTimeout(search.timer);
  search.timer = setTimeout(search, 120);
};

/** Leads on to the first message that is found. What is pressed in the list before that waits for it in `search.choice`. */
search.now = () => {
  const choice = search().then((isDone) => {
    if (isDone) step(inbox.first());
    if (search.choice === choice) search.choice = null;
  });
  search.choice = choice;
};

// ---- What is pressed and clicked

function key(event) {
  if (event.altKey || document.querySelector('dialog[open]')) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === 'a' && event.target === list) {
      event.preventDefault();
      selection.all();
    }
    return;
  }
  const { target } = event;
  if (target === $('search')) {
    if (event.key === 'Escape') {
      target.value = '';
      search();
    }
    if (['Escape', 'Enter', 'ArrowDown'].includes(event.key)) {
      event.preventDefault();
      list.focus();
      if (event.key !== 'Escape') search.now();
    }
    return;
  }
  if (target.matches?.('input, select, textarea') && event.key !== 'Escape') return;
  const isInList = target === list || target === document.body;
  const act = KEYS[event.key] ?? (isInList && LIST_KEYS[event.key]);
  if (!act || (connections.isShown() && !ELSEWHERE.includes(event.key))) return;
  event.preventDefault();
  if (search.choice && !ELSEWHERE.includes(event.key)) search.choice.then(() => act(event));
  else act(event);
}

/** Keys that have nothing to do with the message that is chosen. */
const ELSEWHERE = ['/', 'f', 'c', '?', 'Escape'];

function extend(row) {
  if (!row) return;
  selection.extend(row.dataset.id, current);
  choose(row.dataset.id);
}

const KEYS = {
  j: older,
  k: newer,
  '/'() {
    toInbox();
    $('search').focus();
    $('search').select();
  },
  '#': deleteOne,
  Delete: deleteOne,
  z: undo,
  u: markUnread,
  x: () => { if (current) selection.toggle(current); },
  f: () => faults.open(),
  c: () => (connections.isShown() ? toInbox() : toConnections()),
  '?': () => $('keys').showModal(),
  Escape() {
    if (selection.isAny()) return selection.clear();
    if (connections.isShown()) return toInbox();
    if (isNarrow.matches && opened) close();
    list.focus();
  },
  ...Object.fromEntries(TABS.map(([name], index) => [index + 1, () => want(name, { isNext: current !== opened })])),
};

const LIST_KEYS = {
  ArrowDown: (event) => (event.shiftKey ? extend(inbox.rowOf(current)?.nextElementSibling) : older()),
  ArrowUp: (event) => (event.shiftKey ? extend(inbox.rowOf(current)?.previousElementSibling) : newer()),
  Home: () => step(inbox.first()),
  End: oldest,
  async Enter() {
    if (!current) return;
    const from = document.activeElement;
    await open(current);
    // The subject first, so that whoever listens hears what was opened; unless they have gone on meanwhile.
    if (opened === current && document.activeElement === from) $('subject').focus();
  },
};

function click(event) {
  const row = event.target.closest('.row');
  if (!row) return;
  const { id } = row.dataset;
  if (event.shiftKey) {
    extend(row);
  } else if (event.ctrlKey || event.metaKey || event.target.closest('.mark')) {
    // What is open is the first of several.
    if (!selection.isAny() && (event.ctrlKey || event.metaKey) && current && current !== id) selection.toggle(current, true);
    selection.toggle(id);
  } else {
    selection.clear();
    selection.begin(id);
    open(id);
  }
}

function toConnections() {
  history.pushState(null, '', '#connections');
  connections.enter();
}

function toInbox() {
  if (!connections.isShown()) return;
  connections.exit();
  if (opened) document.body.classList.add('is-reading');
  history.replaceState(null, '', opened ? `#${opened}` : location.pathname);
  list.focus();
}

function start() {
  makeTabs();
  makeFaults();
  makeDialogs();
  inbox.makeList();
  inbox.onChange(refresh);
  selection.makeSelection();
  selection.onChange(showSelected);
  deletion.makeDeletion();
  connections.makeConnections((id) => open(id));
  onKey(key);

  document.addEventListener('keydown', key);
  list.addEventListener('click', click);
  list.addEventListener('mousedown', (event) => { if (event.shiftKey) event.preventDefault(); });
  list.addEventListener('focus', () => { if (current) choose(current); });
  $('search').addEventListener('input', search.soon);
  $('back').addEventListener('click', () => {
    close();
    list.focus();
  });
  $('delete').addEventListener('click', () => {
    selection.clear();
    deleteOne();
  });
  $('unread').addEventListener('click', () => markRead(current, false));
  $('delete-all').addEventListener('click', deleteAll);
  $('undo-do').addEventListener('click', undo);
  $('open-connections').addEventListener('click', () => (connections.isShown() ? toInbox() : toConnections()));
  addEventListener('popstate', fromHash);
  greet();
  follow({ reload, apply, tell: tellState });
}

start();
