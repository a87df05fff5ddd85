// The message that is open, a tab for each way to look at it. What it says comes in as text only; its HTML is shown by a frame
// that may do nothing.

import { $, ask, complain, line, make, size, some, time } from './page.js';

/** Longest text that is shown at once, in characters: beyond, laying it out takes seconds. */
const SHOWN = 200_000;

export const TABS = [
  ['html', 'HTML', (mail) => mail.html !== null],
  ['text', 'Text', (mail) => mail.text !== null],
  ['headers', 'Headers', () => true],
  ['source', 'Source', () => true],
  ['attachments', 'Attachments', (mail) => mail.attachments.length > 0],
  ['conversation', 'Conversation', () => true],
];
/** The tab that was asked for last; a message that does not have it shows its first. */
let wanted = null;
let shown = null;

export function show(mail) {
  shown = mail;
  const base = `/api/messages/${encodeURIComponent(mail.id)}`;
  $('open').hidden = false;
  $('subject').textContent = line(mail.subject) || '(no subject)';
  $('download').href = `${base}/source`;
  const by = [mail.client, mail.helo && `as ${mail.helo}`, mail.protocol, mail.tls].filter(Boolean).map(line).join(', ');
  const facts = [['From', line(mail.from) || '<>'], ['To', some(mail.recipients, 20)],
    ['Envelope', `<${line(mail.mail_from)}> by ${by}`], ...mail.cut.map((what) => ['Not all', line(what)])];
  $('facts').replaceChildren(...facts.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]),
    make('dt', {}, 'Received'), make('dd', {}, time(mail.received, true), `, ${size(mail.size)}`));
  for (const [name, , isThere] of TABS) {
    const tab = $(`tab-${name}`);
    tab.setAttribute('aria-disabled', String(!isThere(mail)));
    if (name === 'attachments') tab.lastElementChild.textContent = mail.attachments.length || '';
  }
  const name = TABS.find(([name, , isThere]) => name === wanted && isThere(mail)) ?? TABS.find(([, , isThere]) => isThere(mail));
  select(name[0]);
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
  $('panel').replaceChildren(...panels[name](shown, `/api/messages/${encodeURIComponent(shown.id)}`, select.abort.signal));
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

/** Text in which addresses of web pages can be followed. */
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"'\u0000-\u001f]*[^\s<>"'\u0000-\u001f.,;:!?)\]}])/).map((part, index) => (index % 2 === 0 ? part
    : make('a', { href: part, target: '_blank', rel: 'noopener noreferrer' }, part)));
}

/** Where the links of some HTML lead, each once. It is not parsed as a document, which a browser might act upon. */
function targets(html) {
  const found = [...html.matchAll(/\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))/gi)].map(([, ...value]) => value.find(Boolean) ?? '');
  const decoded = found.map((href) => href.trim().replace(/&amp;/gi, '&').replace(/&#(x?)([\da-f]{1,6});/gi,
    (all, hex, digits) => String.fromCharCode(parseInt(digits, hex ? 16 : 10))));
  return [...new Set(decoded)].filter((href) => /^https?:\/\//i.test(href)).slice(0, 500);
}

function cut(text) {
  return text.length <= SHOWN ? [text]
    : [text.slice(0, SHOWN), make('p', { class: 'note' }, `Only the beginning is shown: ${SHOWN.toLocaleString()} characters. Download has all of it.`)];
}

const panels = {
  html(mail, base) {
    // Nothing is allowed in it, and the server's policy for it says so once more. Attributes first: src starts it.
    const frame = make('iframe', { sandbox: '', referrerpolicy: 'no-referrer', title: 'HTML body' });
    frame.src = `${base}/html`;
    // Nor can its links be followed there.
    const links = make('ul');
    const all = make('details', { class: 'links' }, make('summary', {}, 'Links'), links);
    all.addEventListener('toggle', () => {
      const found = targets(mail.html);
      links.replaceChildren(...found.length ? found.map((href) => make('li', {}, ...linked(href))) : [make('li', {}, 'There are none.')]);
    }, { once: true });
    return [frame, all];
  },
  text(mail) {
    const [text, ...note] = cut(mail.text);
    return [make('pre', {}, ...linked(text)), ...note];
  },
  headers: (mail) => [make('dl', {}, ...mail.headers.flatMap(([name, value]) => [make('dt', {}, line(name)), make('dd', {}, value)]))],
  source(mail, base, signal) {
    const pre = make('pre');
    beginning(`${base}/source`, signal).then((text) => {
      const [source, ...note] = cut(text);
      pre.textContent = source;
      pre.after(...note);
    }, complain);
    return [pre];
  },
  attachments: (mail, base) => [make('ul', {}, ...mail.attachments.map((part) => make('li', {},
    make('a', { href: `${base}/attachments/${encodeURIComponent(part.index)}`, download: true }, line(part.name) || '(no name)'),
    make('span', {}, `${line(part.type)}, ${size(part.size)}${part.inline ? ', inline' : ''}`))))],
  conversation: (mail) => [make('ol', {}, ...mail.conversation.map((said) => make('li', { 'data-from': said.from },
    make('span', { class: 'at' }, said.at.toFixed(3)),
    make('b', { 'aria-label': { C: 'client', S: 'server' }[said.from] }, said.from === '-' ? '' : line(said.from)),
    make('pre', {}, said.text))))],
};

/** As much of a text as is shown, and one character, whatever its length is. */
async function beginning(path, signal) {
  const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (text.length <= SHOWN) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += value;
  }
  reader.cancel();
  return text;
}

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
