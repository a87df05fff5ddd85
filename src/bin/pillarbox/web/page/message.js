// The message that is open, a tab for each way to look at it. What it says comes in as text only; its HTML is shown by a frame
// that may run nothing.

import { attachments } from './attachments.js';
import { body } from './body.js';
import { leave } from './dialogs.js';
import { $, complain, counted, line, make, named, pathOf, size, some, time } from './page.js';
import { cut, later, linked } from './text.js';

/** Links but those to another place in the message. */
const outward = (mail) => mail.links.filter(({ url }) => !url.startsWith('#'));

export const TABS = [
  ['html', 'HTML', (mail) => mail.html !== null],
  ['text', 'Text', (mail) => mail.text !== null],
  ['links', 'Links', (mail) => outward(mail).length + mail.codes.length > 0, (mail) => outward(mail).length],
  ['markup', 'HTML source', (mail) => mail.html !== null],
  ['headers', 'Headers', () => true],
  ['source', 'Source', () => true],
  ['attachments', 'Attachments', (mail) => mail.attachments.length > 0, (mail) => mail.attachments.length],
  ['conversation', 'Conversation', () => true],
];
/** The tab that was asked for last; a message that does not have it shows its first. */
let wanted = null;
let shown = null;

const entries = (facts) => facts.filter(([, ...value]) => value.some((part) => part))
  .flatMap(([name, ...value]) => [make('dt', {}, name), make('dd', {}, ...value)]);

/** What a reader of mail knows of a message. */
function facts(mail) {
  const addresses = (list) => some(list.map(named), 20);
  const date = mail.date ? time(mail.date, true) : null;
  return entries([['From', mail.from ? named(mail.from) : `${line(mail.mail_from) || '<>'} (no From)`],
    ['To', addresses(mail.to)], ['Cc', addresses(mail.cc)], ['Bcc', some(mail.bcc, 20)],
    ['Reply-To', addresses(mail.reply_to)], ['Date', date], ...mail.cut.map((what) => ['Not all', line(what.problem ?? what)])]);
}

/** How it came. */
function delivery(mail) {
  const secured = mail.tls ? (typeof mail.tls === 'string' ? `TLS (${line(mail.tls)})` : 'TLS') : null;
  return entries([['Envelope', `<${line(mail.mail_from)}> to ${some(mail.rcpt_to.map((to) => `<${to}>`), 20)}`],
    ['Client', [mail.client, mail.helo && `as ${mail.helo}`, mail.protocol].filter(Boolean).map(line).join(', ')
      + (secured ? `, ${secured}` : '')], ['Login', line(mail.identity)],
    ['Received', time(mail.received, true), `, ${size(mail.size)}`], ['Message-ID', line(mail.message_id)]]);
}

export function show(mail) {
  shown = mail;
  $('open').hidden = false;
  $('subject').textContent = line(mail.subject) || '(no subject)';
  $('download').href = `${pathOf(mail.id)}/source`;
  $('facts').replaceChildren(...facts(mail));
  $('delivery-facts').replaceChildren(...delivery(mail));
  $('delivery-short').textContent = `received ${mail.tls ? 'by TLS ' : ''}from ${line(mail.client)}, for ${counted(mail.rcpt_to.length, 'recipient')}`;
  for (const [name, , isThere, count] of TABS) {
    const tab = $(`tab-${name}`);
    tab.setAttribute('aria-disabled', String(!isThere(mail)));
    if (count) tab.lastElementChild.textContent = count(mail) || '';
  }
  const name = TABS.find(([name, , isThere]) => name === wanted && isThere(mail)) ?? TABS.find(([, , isThere]) => isThere(mail));
  select(name[0]);
}

export function hide() {
  shown = null;
  select.abort?.abort();
  $('open').hidden = true;
  $('panel').replaceChildren();
}

function select(name) {
  for (const [other] of TABS) {
    $(`tab-${other}`).setAttribute('aria-selected', String(other === name));
    $(`tab-${other}`).tabIndex = other === name ? 0 : -1;
  }
  $('panel').className = name;
  $('panel').setAttribute('aria-labelledby', `tab-${name}`);
  select.abort?.abort();
  select.abort = new AbortController();
  $('panel').replaceChildren(...panels[name](shown, pathOf(shown.id), select.abort.signal));
  $('panel').scrollTo(0, 0);
}

/** As asked for by the user, if the message has it. If another is on its way (`isNext`), that one will show it. */
export function want(name, { isFocused = false, isNext = false } = {}) {
  const tab = $(`tab-${name}`);
  const isThere = shown && tab.getAttribute('aria-disabled') !== 'true';
  if (isThere || isNext) wanted = name;
  if (!isThere) return;
  select(name);
  tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  if (isFocused) tab.focus();
}

/** What both sides of a connection said. */
export const conversation = (said) => make('ol', { class: 'said' }, ...said.map((entry) => make('li', { 'data-from': entry.from },
  make('span', { class: 'at' }, entry.at.toFixed(3)),
  make('b', {}, { C: 'C', S: 'S' }[entry.from] ?? '', make('span', { class: 'unseen' }, { C: 'lient', S: 'erver' }[entry.from] ?? '')),
  make('pre', {}, entry.text))));

function link({ url, text, source }) {
  const followed = make('a', { href: /^(https?|mailto|tel|sms|ftp):/i.test(url) ? url : null, target: '_blank', rel: 'noopener noreferrer' }, line(url));
  followed.addEventListener('click', (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    leave(url);
  });
  return make('li', {}, ...text && text !== url ? [make('span', { class: 'of' }, line(text))] : [], followed,
    make('span', { class: 'where' }, source === 'html' ? 'in HTML' : source === 'text' ? 'in text' : ''));
}

const panels = {
  html: (mail, base, signal) => body(base, signal),
  text(mail) {
    const [text, ...note] = cut(mail.text);
    return [make('pre', {}, ...linked(text)), ...note];
  },
  links: (mail) => [
    ...mail.codes.length > 0 ? [make('p', { class: 'codes' }, 'Codes: ', ...mail.codes.map((code) => make('code', {}, line(code))))] : [],
    make('ul', {}, ...outward(mail).map(link))],
  markup(mail) {
    const [html, ...note] = cut(mail.html);
    return [make('pre', {}, html), ...note];
  },
  headers: (mail) => [make('dl', {}, ...mail.headers.flatMap(([name, value]) => [make('dt', {}, line(name)), make('dd', {}, value)]))],
  source: (mail, base, signal) => [later(`${base}/source`, signal, complain)],
  attachments: (mail, base, signal) => [attachments(mail.attachments, (index) => `${base}/attachments/${encodeURIComponent(index)}`, signal)],
  conversation: (mail) => [conversation(mail.conversation)],
};

/** The tabs, which are the same for every message. */
export function makeTabs() {
  $('tabs').append(...TABS.map(([name, text]) => make('button', { type: 'button', role: 'tab', id: `tab-${name}`,
    'aria-controls': 'panel', 'aria-selected': 'false', tabindex: -1 }, text, make('b'))));
  $('tabs').addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) want(tab.id.slice(4), { isFocused: true });
  });
  $('tabs').addEventListener('keydown', (event) => {
    const tabs = [...$('tabs').children].filter((tab) => tab.getAttribute('aria-disabled') === 'false');
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    want(tabs[to % tabs.length].id.slice(4), { isFocused: true });
  });
}
