// The list of messages: the newest pages of all, or of those that a search finds. The rows are the order.

import { $, counted, line, make, named, read, some, time } from './page.js';

const list = $('list');

/** How many messages come at once, and how many if all are asked for. */
const PAGE = 100;
const LARGE_PAGE = 500;

/** By id; each with its row. */
const mails = new Map();
/** What the server says of all messages. */
const counts = { total: 0, unread: 0, matching: null, dropped: 0, refused: 0 };
/** What is searched for. */
let words = '';
/** Before which message the next page ends; null if there is none. */
let next = null;
/** Deleted while a page was on its way, so that it does not bring them back. */
const gone = new Set();
/** About to be deleted: in no list, and still there. */
const held = new Map();
/** Called when the list has changed. */
let changed = () => {};

export const onChange = (act) => { changed = act; };
export const mailOf = (id) => mails.get(id) ?? held.get(id);
export const rowOf = (id) => mails.get(id)?.row;
export const rows = () => [...list.children];
export const isSearch = () => words !== '';
export const hasMore = () => next !== null;
export const isHeld = (id) => held.has(id);
export const total = () => counts.total - held.size;
export const first = () => list.firstElementChild;
export const last = () => list.lastElementChild;

const shortName = ({ name, address }) => line(name || address);

function makeRow(mail) {
  const clip = mail.count > 0 && make('i', { class: 'clip', role: 'img', 'aria-label': counted(mail.count, 'attachment') });
  const from = mail.from ?? { name: null, address: mail.mail_from || '<>' };
  const to = mail.rcpt_to.length > 0 ? mail.rcpt_to : mail.to.map(({ address }) => address);
  const row = make('div', { class: 'row', role: 'option', id: `mail-${mail.id}`, 'data-id': mail.id, 'aria-selected': 'false' },
    make('span', { class: 'mark', title: 'Select' }, make('i', { class: 'dot', role: 'img', 'aria-label': 'unread', hidden: mail.read })),
    make('span', { class: 'who' }, make('span', { class: 'from', title: named(from) }, shortName(from)),
      make('span', { class: 'to', title: some(to, 20) }, ` → ${some(to, 2)}`)),
    time(mail.received),
    make('span', { class: 'what' }, make('span', { class: 'subject' }, line(mail.subject) || '(no subject)'),
      ...mail.snippet ? [make('span', { class: 'snippet' }, line(mail.snippet))] : []),
    ...clip ? [clip] : []);
  row.classList.toggle('is-unread', !mail.read);
  mails.set(mail.id, { ...mail, row });
  return row;
}

/** Puts a message where its id has it, if it is not there. */
function insert(mail, isNew = false) {
  if (mails.has(mail.id) || gone.has(mail.id) || held.has(mail.id)) return;
  const id = Number(mail.id);
  const isLast = Number(list.lastElementChild?.dataset.id ?? Infinity) > id;
  let before = isLast ? null : list.firstElementChild;
  while (before && Number(before.dataset.id) > id) before = before.nextElementSibling;
  const row = makeRow(mail);
  if (isNew) row.classList.add('new');
  list.insertBefore(row, before);
}

function drop(id) {
  rowOf(id)?.remove();
  mails.delete(id);
}

/** Makes the list what the server says it is, touching no row that stays. */
function replace(all) {
  const there = new Map(all.map((mail) => [mail.id, mail.received]));
  // A server that was started anew counts from the beginning.
  for (const mail of [...mails.values()]) if (there.get(mail.id) !== mail.received) drop(mail.id);
  let row = list.firstElementChild;
  for (const mail of all) {
    if (gone.has(mail.id) || held.has(mail.id)) continue;
    if (row?.dataset.id === mail.id) {
      mark(mail.id, mail.read);
      row = row.nextElementSibling;
    } else {
      list.insertBefore(makeRow(mail), row);
    }
  }
}

function mark(id, isRead) {
  const mail = mails.get(id);
  if (!mail || mail.read === isRead) return;
  mail.read = isRead;
  mail.row.querySelector('.dot').toggleAttribute('hidden', isRead);
  mail.row.classList.toggle('is-unread', !isRead);
}

async function page(limit, before, signal) {
  const query = new URLSearchParams({ limit });
  if (words) query.set('search', words);
  if (before !== null) query.set('before', before);
  const answer = await read(`/api/messages?${query}`, { signal });
  for (const name of ['total', 'unread', 'dropped', 'refused']) counts[name] = answer[name];
  counts.matching = words ? (answer.matching ?? null) : null;
  next = answer.next;
  return answer.messages;
}

/** The newest, in the place of what was shown. If another load begins meanwhile, that one is waited for. */
export function load(signal) {
  gone.clear();
  load.abort?.abort();
  const abort = new AbortController();
  load.abort = abort;
  load.latest = (async () => {
    try {
      replace(await page(PAGE, null, AbortSignal.any([abort.signal, signal].filter(Boolean))));
      changed();
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      await load.latest;
    }
  })();
  return load.latest;
}

/** The next page, unless there is none or it is on its way; then that one is waited for. */
export function more(limit = PAGE) {
  more.coming ??= (async () => {
    try {
      if (next === null) return;
      const wanted = words;
      const all = await page(limit, next, load.abort?.signal);
      if (wanted === words) all.forEach((mail) => insert(mail));
      changed();
    } finally {
      more.coming = null;
    }
  })();
  return more.coming;
}

/** All that there are. */
export async function everything() {
  const wanted = words;
  while (next !== null && wanted === words) await more(LARGE_PAGE);
}

/** What has happened at the server. Gives the messages that came. */
export function apply(change) {
  for (const id of change.deleted) {
    gone.add(id);
    held.delete(id);
    drop(id);
  }
  for (const id of change.read) mark(id, true);
  for (const id of change.unread) mark(id, false);
  counts.total = change.total;
  counts.unread = change.unread_total;
  counts.dropped = change.dropped;
  counts.refused = change.refused;
  const fresh = change.arrived.filter((mail) => !mails.has(mail.id));
  if (words === '') fresh.forEach((mail) => insert(mail, true));
  else if (change.arrived.length + change.deleted.length > 0) again();
  changed();
  return fresh;
}

export function setRead(id, isRead) {
  const mail = mails.get(id);
  if (!mail || mail.read === isRead) return;
  counts.unread += isRead ? -1 : 1;
  mark(id, isRead);
  changed();
}

/** Deleted here. */
export function remove(id) {
  if (!mails.has(id) && !held.has(id)) return;
  gone.add(id);
  counts.total = Math.max(0, counts.total - 1);
  if (mailOf(id)?.read === false) counts.unread = Math.max(0, counts.unread - 1);
  held.delete(id);
  drop(id);
  changed();
}

/** Takes a message out of the list, to be deleted later. */
export function hold(id) {
  const mail = mails.get(id);
  if (!mail) return;
  held.set(id, mail);
  drop(id);
  changed();
}

/** Puts it back. */
export function release(id) {
  const mail = held.get(id);
  if (!mail) return;
  held.delete(id);
  insert(mail);
  changed();
}

export function clear() {
  for (const id of [...mails.keys()]) drop(id);
  held.clear();
  [counts.total, counts.unread, next] = [0, 0, null];
  changed();
}

/** Searches for these words, or for nothing. Whether nothing else was searched for meanwhile. */
export async function search(text) {
  const wanted = text.trim();
  words = wanted;
  await load();
  return words === wanted;
}

/** Asks again soon, as what is found may have changed. */
function again() {
  clearTimeout(again.timer);
  again.timer = setTimeout(() => load().catch(() => { /* The next one tells. */ }), 120);
}

const share = () => {
  if (words === '') {
    const unread = Math.max(0, counts.unread - [...held.values()].filter((mail) => !mail.read).length);
    return `${counted(total(), 'message')}${unread ? `, ${unread.toLocaleString()} unread` : ''}`;
  }
  const found = counts.matching ?? mails.size;
  return `${found.toLocaleString()}${counts.matching === null && next !== null ? ' or more' : ''} of ${total().toLocaleString()}`;
};

/** How many there are, in words. */
export function tell() {
  const unread = Math.max(0, counts.unread - [...held.values()].filter((mail) => !mail.read).length);
  document.title = `${unread ? `(${unread}) ` : ''}Inbox – pillarbox`;
  $('count').textContent = share();
  $('none').hidden = words === '' || mails.size > 0;
  $('delete-all').disabled = total() === 0;
  const { refused, dropped } = counts;
  $('full').hidden = refused === 0 && dropped === 0;
  $('full').classList.toggle('is-refusing', refused > 0);
  $('full').textContent = refused > 0
    ? `The inbox is full: ${counted(refused, 'message was', 'messages were')} refused. Delete some to make room.`
    : dropped > 0 ? `${counted(dropped, 'older message', 'older messages')} went to make room.` : '';
}

/** More rows as soon as the last of those that are there are near. */
export function makeList() {
  const look = () => {
    if (next !== null && list.scrollHeight - list.scrollTop - list.clientHeight < 1500) more().catch(() => { /* Asked again by the next turn. */ });
  };
  list.addEventListener('scroll', look, { passive: true });
  new ResizeObserver(look).observe(list);
}
