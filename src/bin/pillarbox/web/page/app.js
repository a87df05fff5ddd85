// The web inbox: the list, and what leads through it. There is no innerHTML anywhere on this page, and its
// Content-Security-Policy would not let it have any effect.

import { faults, makeFaults } from './faults.js';
import { TABS, makeTabs, show, want } from './message.js';
import { $, ask, complain, line, make, read, size, some, time } from './page.js';

const list = $('list');

/** How long a poll waits for mail, in seconds; then what is in the list is compared with what is there. */
const POLL = 25;

// ---- Which messages were read, over reloads too

const seen = {
  keys: new Set(),
  key: (mail) => `${mail.id} ${mail.received}`,
  load() {
    try {
      this.keys = new Set(JSON.parse(localStorage.getItem('read') ?? '[]'));
    } catch {
      this.keys = new Set();
    }
  },
  save() {
    try {
      localStorage.setItem('read', JSON.stringify([...this.keys]));
    } catch { /* A browser that keeps nothing forgets it with the page. */ }
  },
  has: (mail) => seen.keys.has(seen.key(mail)),
  add(mail) {
    if (this.has(mail)) return;
    this.keys.add(this.key(mail));
    this.save();
  },
};

// ---- The list

/** By id, newest last or first: the order is that of the rows. */
const mails = new Map();
/** Those that a search found, or null. */
let found = null;
/** Deleted here, so that an answer that was on its way does not bring them back. */
const gone = new Set();
let current = null;
let opened = null;

const rowOf = (id) => mails.get(id)?.row;
const newest = () => list.firstElementChild?.dataset.id ?? '0';

function makeRow(mail) {
  const clip = mail.attachments > 0 && make('i', { class: 'clip', role: 'img',
    'aria-label': mail.attachments === 1 ? '1 attachment' : `${mail.attachments} attachments` });
  const row = make('div', { class: 'row', role: 'option', id: `mail-${mail.id}`, 'data-id': mail.id, 'aria-selected': 'false' },
    make('i', { class: 'dot', role: 'img', 'aria-label': 'unread', hidden: seen.has(mail) }),
    make('span', { class: 'subject' }, line(mail.subject) || '(no subject)'), time(mail.received),
    make('span', { class: 'from' }, line(mail.from) || '<>'),
    make('span', { class: 'to' }, `to ${some(mail.to, 3)}`),
    make('span', { class: 'size' }, ...(clip ? [clip] : []), size(mail.size)));
  row.hidden = found !== null && !found.has(mail.id);
  mails.set(mail.id, { ...mail, row });
  return row;
}

function remove(id) {
  const row = rowOf(id);
  if (!row) return;
  if (current === id) current = null;
  row.remove();
  mails.delete(id);
  if (opened === id) leave();
}

/** Makes the list what the server says it is, touching no row that stays. */
function update(all) {
  const there = new Map(all.map((mail) => [mail.id, mail.received]));
  for (const mail of [...mails.values()]) {
    // A server that was started anew counts from the beginning.
    if (there.get(mail.id) !== mail.received) remove(mail.id);
  }
  const before = mails.size;
  let row = list.firstElementChild;
  for (const mail of all) {
    if (gone.has(mail.id)) continue;
    if (row?.dataset.id === mail.id) row = row.nextElementSibling;
    else list.insertBefore(makeRow(mail), row);
  }
  const more = mails.size - before;
  if (update.isLater && more > 0) $('news').textContent = `${more} new ${more === 1 ? 'message' : 'messages'}`;
  update.isLater = true;
  const keys = new Set(all.map(seen.key));
  if ([...seen.keys].some((key) => !keys.has(key))) {
    seen.keys = new Set([...seen.keys].filter((key) => keys.has(key)));
    seen.save();
  }
  refresh();
}

function arrive(mail) {
  if (mails.has(mail.id) || gone.has(mail.id)) return;
  const row = makeRow(mail);
  row.classList.add('new');
  list.prepend(row);
  $('news').textContent = `New message from ${line(mail.from)}: ${line(mail.subject)}`;
  if (found) search.soon();
  refresh();
}

/** What is counted, once for all that happens before the next frame. */
function refresh() {
  refresh.due ??= setTimeout(() => {
    refresh.due = undefined;
    const all = [...mails.values()];
    const unread = all.filter((mail) => !seen.has(mail)).length;
    const shown = found ? all.filter((mail) => found.has(mail.id)).length : all.length;
    document.title = `${unread ? `(${unread}) ` : ''}Inbox – pillarbox`;
    $('count').textContent = found ? `${shown} of ${all.length}`
      : `${all.length} ${all.length === 1 ? 'message' : 'messages'}${unread ? `, ${unread} unread` : ''}`;
    $('none').hidden = !found || shown > 0;
    $('delete-all').disabled = all.length === 0;
    $('empty').hidden = all.length > 0;
    $('nothing').hidden = all.length === 0 || opened !== null;
    document.body.classList.toggle('is-empty', all.length === 0);
  }, 16);
}

/** Follows the server for as long as the page is there. */
async function follow() {
  let pause = 0;
  let isKnown = false;
  let burst = 0;
  for (;;) {
    try {
      // Beyond the poll's own time: a server that is stopped in its tracks does not close.
      const signal = AbortSignal.timeout((POLL + 15) * 1000);
      if (!isKnown) {
        update(await read('/api/messages', { signal }));
        faults.count(await read('/api/faults', { signal }));
        tellFull((await read('/api/server', { signal })).refused);
        fromHash();
        isKnown = true;
      }
      tellState('live', 'Live');
      const asked = performance.now();
      const answer = await ask(`/api/next?timeout=${POLL}&after=${newest()}`, { signal });
      if (answer.status === 200) arrive(await answer.json());
      else isKnown = false;
      pause = 0;
      // Hundreds at once come as a list, a few times a second, and not each by a request of its own.
      burst = performance.now() - asked < 200 ? burst + 1 : 0;
      if (burst > 10) {
        await new Promise((resolve) => { setTimeout(resolve, 250); });
        isKnown = false;
      }
    } catch (error) {
      isKnown = false;
      pause = Math.min(Math.max(500, pause * 2), 15_000);
      // There may be as many polls as the server allows. It is there, and the list is compared each time.
      if (error.status !== 503) {
        tellState('gone', 'Server gone');
        gone.clear();
      }
      await new Promise((resolve) => {
        follow.wake = resolve;
        setTimeout(resolve, pause);
      });
    }
  }
}

function tellState(state, text) {
  if ($('state').dataset.state === state) return;
  $('state').dataset.state = state;
  $('state').lastElementChild.textContent = text;
  $('state').title = state === 'gone' ? 'The server does not answer. It is asked again every few seconds.' : '';
}

function tellFull(refused) {
  $('full').hidden = refused === 0;
  $('full').textContent = refused === 0 ? '' : `The inbox is full: ${refused} ${refused === 1 ? 'message was' : 'messages were'} refused. Delete some to make room.`;
}

// ---- Search

/** Whether this was the last one that was asked for, and succeeded. */
async function search() {
  clearTimeout(search.timer);
  search.abort?.abort();
  search.abort = new AbortController();
  const words = $('search').value.trim();
  try {
    found = words === '' ? null
      : new Set((await read(`/api/messages?search=${encodeURIComponent(words)}`, { signal: search.abort.signal })).map((m) => m.id));
  } catch (error) {
    complain(error);
    return false;
  }
  for (const [id, { row }] of mails) row.hidden = found !== null && !found.has(id);
  refresh();
  return true;
}

search.soon = () => {
  clearTimeout(search.timer);
  search.timer = setTimeout(search, 120);
};

/** Leads on to the first message that is found. What is pressed in the list before that waits for it in `search.choice`. */
search.now = () => {
  const choice = search().then((isDone) => {
    if (isDone) step(first());
    if (search.choice === choice) search.choice = null;
  });
  search.choice = choice;
};

// ---- Choosing and opening a message

const isNarrow = matchMedia('(max-width: 760px)');

/** The next row in that direction which is shown. */
function beside(row, direction) {
  do row = row?.[direction]; while (row?.hidden);
  return row;
}

function choose(id) {
  if (current !== id) {
    rowOf(current)?.setAttribute('aria-selected', 'false');
    rowOf(id)?.setAttribute('aria-selected', 'true');
    current = id;
  }
  if (rowOf(id)) list.setAttribute('aria-activedescendant', `mail-${id}`);
  else list.removeAttribute('aria-activedescendant');
  rowOf(id)?.scrollIntoView({ block: 'nearest' });
}

function step(row) {
  if (!row) return;
  choose(row.dataset.id);
  if (isNarrow.matches) return;
  // Whoever holds the key down passes by.
  clearTimeout(step.timer);
  step.timer = setTimeout(() => open(row.dataset.id), 60);
}

const first = () => (list.firstElementChild?.hidden ? beside(list.firstElementChild, 'nextElementSibling') : list.firstElementChild);
const last = () => (list.lastElementChild?.hidden ? beside(list.lastElementChild, 'previousElementSibling') : list.lastElementChild);

async function open(id, isReplay = false) {
  clearTimeout(step.timer);
  choose(id);
  if (opened === id) return;
  open.abort?.abort();
  open.abort = new AbortController();
  try {
    const mail = await read(`/api/messages/${encodeURIComponent(id)}`, { signal: open.abort.signal });
    if (current !== id) return;
    opened = id;
    show(mail);
    seen.add(mail);
    rowOf(id)?.querySelector('.dot').setAttribute('hidden', '');
    document.body.classList.add('is-reading');
    if (!isReplay) history[isNarrow.matches ? 'pushState' : 'replaceState'](null, '', `#${id}`);
    refresh();
  } catch (error) {
    if (error.status === 404) {
      remove(id);
      refresh();
    } else if (error.name !== 'AbortError' && current === id) {
      choose(opened);
    }
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
  $('open').hidden = true;
  $('panel').replaceChildren();
  document.body.classList.remove('is-reading');
  history.replaceState(null, '', location.pathname);
  refresh();
}

function fromHash() {
  const id = location.hash.slice(1);
  if (mails.has(id)) open(id, true);
  else if (opened && !id) close();
}

// ---- Deleting

/** Answers the question that is open; nothing, once it was answered. */
let answer = () => {};

/** Whether the user says yes. */
function confirmed(question, what) {
  // The browser tells of a dialog's end a frame later, when the next question may be open. Only this tells which one it was.
  answer(false);
  $('confirm-question').textContent = question;
  $('confirm-what').textContent = what;
  $('confirm').showModal();
  $('confirm-yes').focus();
  return new Promise((resolve) => { answer = resolve; });
}

async function deleteOne() {
  const id = current;
  const mail = mails.get(id);
  if (!mail || !await confirmed('Delete this message?', line(mail.subject) || '(no subject)')) return;
  // On at once: a key that is pressed before the server has answered is meant for the next message.
  const row = rowOf(id);
  const next = beside(row, 'nextElementSibling') ?? beside(row, 'previousElementSibling');
  list.focus();
  if (next && current === id) step(next);
  try {
    await ask(`/api/messages/${encodeURIComponent(id)}`, { method: 'DELETE' });
  } catch (error) {
    if (error.status !== 404) return complain(error);
  }
  gone.add(id);
  tellFull(0);
  remove(id);
  refresh();
  // In a narrow window the list was not to be seen before.
  if (document.activeElement === document.body) list.focus();
}

async function deleteAll() {
  const count = mails.size;
  if (!await confirmed('Delete all messages?', count === 1 ? 'It is one message.' : `They are ${count} messages.`)) return;
  try {
    await ask('/api/messages', { method: 'DELETE' });
    update([]);
    tellFull(0);
    list.focus();
  } catch (error) {
    complain(error);
  }
}

// ---- The empty inbox

async function greet() {
  const { smtp } = await read('/api/server');
  const [address] = smtp;
  $('address').textContent = address;
  $('listening').textContent = `SMTP ${address}`;
  if (address.startsWith('unix:')) return;
  $('command').textContent = `printf 'Subject: Hello\\n\\nThe first one.\\n' |\n`
    + `  curl smtp://${address} --mail-from me@example.org \\\n    --mail-rcpt you@example.org --upload-file -`;
  $('first').hidden = $('command').hidden = false;
}

// ---- What is pressed and clicked

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
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
  const isInList = target === list || target === document.body;
  const act = KEYS[event.key] ?? (isInList && LIST_KEYS[event.key]);
  if (!act) return;
  event.preventDefault();
  if (search.choice && !ELSEWHERE.includes(event.key)) search.choice.then(act);
  else act();
}

/** Keys that have nothing to do with the message that is chosen. */
const ELSEWHERE = ['/', 'f', '?', 'Escape'];

const KEYS = {
  j: () => step(current ? beside(rowOf(current), 'nextElementSibling') : first()),
  k: () => step(current ? beside(rowOf(current), 'previousElementSibling') : first()),
  '/'() {
    $('search').focus();
    $('search').select();
  },
  '#': deleteOne,
  Delete: deleteOne,
  f: () => faults.open(),
  '?': () => $('keys').showModal(),
  Escape() {
    if (isNarrow.matches && opened) close();
    list.focus();
  },
  ...Object.fromEntries(TABS.map(([name], index) => [index + 1, () => want(name, { isNext: current !== opened })])),
};

const LIST_KEYS = {
  ArrowDown: KEYS.j,
  ArrowUp: KEYS.k,
  Home: () => step(first()),
  End: () => step(last()),
  async Enter() {
    if (!current) return;
    const from = document.activeElement;
    await open(current);
    // The subject first, so that whoever listens hears what was opened; unless they have gone on meanwhile.
    if (opened === current && document.activeElement === from) $('subject').focus();
  },
};

function start() {
  seen.load();
  makeTabs();
  makeFaults();

  document.addEventListener('keydown', key);
  list.addEventListener('click', (event) => {
    const row = event.target.closest('.row');
    if (row) open(row.dataset.id);
  });
  list.addEventListener('focus', () => { if (current) choose(current); });
  $('search').addEventListener('input', search.soon);
  $('back').addEventListener('click', () => {
    close();
    list.focus();
  });
  $('delete').addEventListener('click', deleteOne);
  $('delete-all').addEventListener('click', deleteAll);
  $('confirm-yes').addEventListener('click', () => {
    answer(true);
    $('confirm').close();
  });
  $('confirm-no').addEventListener('click', () => $('confirm').close());
  $('confirm').addEventListener('close', () => { if (!$('confirm').open) answer(false); });
  $('open-keys').addEventListener('click', () => $('keys').showModal());
  $('close-keys').addEventListener('click', () => $('keys').close());
  addEventListener('popstate', fromHash);
  addEventListener('storage', () => {
    seen.load();
    for (const mail of mails.values()) mail.row.querySelector('.dot').toggleAttribute('hidden', seen.has(mail));
    refresh();
  });
  for (const sign of ['online', 'focus']) addEventListener(sign, () => follow.wake?.());
  greet().catch(() => { /* The page goes without the address. */ });
  follow();
}

start();
