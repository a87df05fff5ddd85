// The connections of the server, also those that brought no message: what was asked, what was refused, which faults came in.

import { conversation } from './message.js';
import { $, button, complain, counted, line, make, pause, read, time } from './page.js';

/** Between two looks, in milliseconds. */
const LOOK = 1500;

const KINDS = { login: 'Login', refused: 'Refused', fault: 'Fault', lost: 'Lost', handshake: 'TLS handshake', client: 'Client' };

let opened = null;
let next = null;
/** Those that are shown, the newest first. */
let all = [];
/** A number that is another one once something has changed. */
let change = null;
/** Those that were open when they were last shown. */
const openOnes = new Set();
/** What leads to a message. */
let follow = () => {};

export const isShown = () => !$('connections').hidden;

function item(connection) {
  const { id, client, helo, outcome, problem, events } = connection;
  const first = events.find(({ kind }) => kind !== 'client') ?? events[0];
  const made = button('', () => open(id), { class: 'connection', 'data-id': id, 'aria-current': String(opened === id) });
  made.classList.toggle('is-problem', problem);
  made.append(make('span', { class: 'outcome' }, outcome), time(connection.begun),
    make('span', { class: 'client' }, line(client), ...helo ? [make('span', { class: 'helo' }, ` as ${line(helo)}`)] : []),
    make('span', { class: 'event' }, first ? `${KINDS[first.kind] ?? first.kind}: ${line(first.text)}` : ''));
  return make('li', {}, made);
}

function show() {
  const shown = $('only-problems').checked ? all.filter(({ problem }) => problem) : all;
  $('connection-list').replaceChildren(...shown.map(item));
  $('no-connections').hidden = shown.length > 0;
  $('no-connections').textContent = all.length > 0 ? 'None of these had a problem.' : 'No client has connected yet.';
  $('older-connections').hidden = next === null;
}

/** Reads the newest, and those before them that were shown. */
async function load() {
  try {
    const answer = await read('/api/connections');
    if (answer.change === change) return;
    change = answer.change;
    const oldest = answer.connections.at(-1);
    const older = oldest && all.length > answer.connections.length ? all.filter(({ id }) => Number(id) < Number(oldest.id)) : [];
    if (older.length === 0) next = answer.next;
    all = [...answer.connections, ...older];
    show();
    $('connection-count').textContent = counted(answer.total, 'connection')
      + (answer.forgotten > 0 ? `, and ${answer.forgotten.toLocaleString()} older ones` : '');
  } catch (error) {
    complain(error);
  }
}

async function loadOlder() {
  try {
    const answer = await read(`/api/connections?before=${next}`);
    next = answer.next;
    all = [...all, ...answer.connections];
    show();
  } catch (error) {
    complain(error);
  }
}

/** The connection in full. */
async function open(id) {
  const isOther = opened !== id;
  opened = id;
  for (const one of document.querySelectorAll('.connection')) one.setAttribute('aria-current', String(one.dataset.id === id));
  try {
    const connection = await read(`/api/connections/${encodeURIComponent(id)}`);
    if (opened !== id) return;
    if (connection.ended) openOnes.delete(id);
    else openOnes.add(id);
    const { begun, ended, client, listener, tls, helo, identity, outcome, events, messages } = connection;
    const facts = [['Client', `${line(client)}${helo ? ` as ${line(helo)}` : ''}`], ['Listener', line(listener)],
      ['TLS', tls ? 'yes' : 'no'], ['Login', line(identity)], ['Began', time(begun, true)], ['Ended', ended ? time(ended, true) : 'it is open']];
    const place = $('connection');
    const at = place.scrollTop;
    place.replaceChildren(
      make('div', { class: 'title' }, button('‹', back, { class: 'back', 'aria-label': 'Back to the connections' }),
        make('h2', { tabindex: -1 }, `Connection ${line(id)}: ${outcome}`)),
      make('dl', { class: 'facts' }, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)])),
      ...messages.length > 0 ? [make('p', { class: 'brought' }, 'Messages: ', ...messages.flatMap((message) => [
        button(message, () => follow(message), { 'aria-label': `Message ${message}` }), ' ']))] : [],
      ...events.length > 0 ? [make('h3', {}, 'Events'), make('ul', { class: 'events' }, ...events.map(({ at: when, kind, text }) =>
        make('li', { 'data-kind': kind }, make('b', {}, KINDS[kind] ?? kind), ` ${line(text)}`, ...when === null ? [] : [make('span', { class: 'at' }, when.toFixed(3))])))] : [],
      make('h3', {}, 'Conversation'),
      connection.conversation ? conversation(connection.conversation) : make('p', { class: 'note' }, 'It is no longer remembered.'));
    document.body.classList.add('is-reading');
    if (isOther) place.scrollTo(0, 0);
    else place.scrollTo(0, at);
  } catch (error) {
    complain(error);
  }
}

function back() {
  document.body.classList.remove('is-reading');
  $('connection-list').querySelector(`[data-id="${CSS.escape(opened ?? '')}"]`)?.focus();
  opened = null;
}

/** Looks again and again, while it is seen. */
async function watch() {
  if (watch.isOn) return;
  watch.isOn = true;
  while (isShown()) {
    if (!document.hidden) {
      const before = change;
      await load();
      const shown = all.find(({ id }) => id === opened);
      if (shown && before !== change && openOnes.has(opened)) await open(opened);
    }
    await pause(LOOK);
  }
  watch.isOn = false;
}

export async function enter() {
  $('connections').hidden = false;
  $('main').hidden = true;
  $('open-connections').setAttribute('aria-pressed', 'true');
  document.body.classList.add('has-connections');
  document.body.classList.remove('is-reading');
  change = null;
  await watch();
}

export function exit() {
  if (!isShown()) return;
  $('connections').hidden = true;
  $('main').hidden = false;
  $('open-connections').setAttribute('aria-pressed', 'false');
  document.body.classList.remove('has-connections', 'is-reading');
  opened = null;
  $('connection').replaceChildren(make('p', { class: 'note' }, 'Choose a connection.'));
}

export function makeConnections(toMessage) {
  follow = toMessage;
  $('only-problems').addEventListener('change', show);
  $('older-connections').addEventListener('click', loadOlder);
  $('connection').replaceChildren(make('p', { class: 'note' }, 'Choose a connection.'));
}
