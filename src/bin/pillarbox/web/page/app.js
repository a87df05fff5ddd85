// The web inbox. What a message says comes in as text only, by textContent and append; its HTML is shown by a frame that may
// do nothing. So there is no innerHTML here, and the page's Content-Security-Policy would not let it run a script.

const $ = (id) => document.getElementById(id);
const list = $('list');

/** Longest text that is shown at once, in characters: beyond, laying it out takes seconds. */
const SHOWN = 200_000;

/** How long a poll waits for mail, in seconds; then what is in the list is compared with what is there. */
const POLL = 25;

const EXAMPLES = [
  ['Busy, once', { on: { verb: 'RCPT', nth: 1 }, do: { reply: '450 4.2.1 Busy, try again' } }],
  ['No such user', { on: { verb: 'RCPT', to: 'bob@example.org' }, do: { reply: '550 5.1.1 No such user' } }],
  ['Mailbox full, every third message', { on: { event: 'content', every: 3 }, do: { reply: '452 4.2.2 Mailbox full' } }],
  ['One sender in five fails', { on: { verb: 'MAIL', chance: 0.2, seed: 1 }, do: { reply: '451 4.3.0 Try again later' } }],
  ['Closing, at the banner', { on: { event: 'connect', first: 2 }, do: { reply: '421 4.3.2 Closing' } }],
  ['Slow: two seconds a command', { on: { event: 'command' }, do: { delay: 2 } }],
  ['Taken, but the client cannot know', { on: { event: 'accepted', nth: 1 }, do: { hang_up: 'before' } }],
  ['Hangs up behind DATA', { on: { verb: 'DATA', nth: 1 }, do: { hang_up: 'after' } }],
  ['Silent from DATA on', { on: { verb: 'DATA', nth: 1 }, do: { stall: true } }],
];

// ---- What everything is made with

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** One line with what cannot be seen made visible: control characters, and those that turn the writing's direction. */
const line = (text) => String(text ?? '').replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  (c) => (c === '\t' ? ' ' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));

const size = (octets) => (octets < 1000 ? `${octets} B`
  : octets < 999_950 ? `${(octets / 1000).toFixed(1)} kB` : `${(octets / 1e6).toFixed(1)} MB`);

const ofDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const ofYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const inFull = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

function time(received, full) {
  const at = new Date(received);
  if (Number.isNaN(at.getTime())) return make('time', {}, line(received));
  const isToday = at.toDateString() === new Date().toDateString();
  const format = full ? inFull : isToday ? ofDay : ofYear;
  return make('time', { datetime: received, title: inFull.format(at) }, format.format(at));
}

/** Addresses, but not a thousand of them. */
function some(addresses, most) {
  const rest = addresses.length - most;
  return line(addresses.slice(0, most).join(', ')) + (rest > 0 ? ` and ${rest} more` : '');
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { referrerPolicy: 'no-referrer', cache: 'no-store', ...options });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `${answer.status} ${answer.statusText}`), { status: answer.status });
}

const read = async (path, options) => (await ask(path, options)).json();

function complain(error) {
  if (error.name === 'AbortError') return;
  $('trouble').textContent = error instanceof TypeError ? 'The server does not answer.' : line(error.message);
  $('trouble').hidden = false;
  clearTimeout(complain.timer);
  complain.timer = setTimeout(() => { $('trouble').hidden = true; }, 6000);
}

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
  if (opened === id) close();
}

/** Makes the list what the server says it is, touching no row that stays. */
function update(all) {
  const there = new Map(all.map((mail) => [mail.id, mail.received]));
  for (const mail of [...mails.values()]) {
    // A server that was started anew counts from the beginning.
    if (there.get(mail.id) !== mail.received) remove(mail.id);
  }
  let row = list.firstElementChild;
  for (const mail of all) {
    if (gone.has(mail.id)) continue;
    if (row?.dataset.id === mail.id) row = row.nextElementSibling;
    else list.insertBefore(makeRow(mail), row);
  }
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

// ---- Search

async function search() {
  search.abort?.abort();
  search.abort = new AbortController();
  const words = $('search').value.trim();
  try {
    found = words === '' ? null
      : new Set((await read(`/api/messages?search=${encodeURIComponent(words)}`, { signal: search.abort.signal })).map((m) => m.id));
  } catch (error) {
    complain(error);
    return;
  }
  for (const [id, { row }] of mails) row.hidden = found !== null && !found.has(id);
  refresh();
}

search.soon = () => {
  clearTimeout(search.timer);
  search.timer = setTimeout(search, 120);
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
    }
    complain(error);
  }
}

function close() {
  opened = null;
  open.abort?.abort();
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

// ---- The message

const TABS = [
  ['html', 'HTML', (mail) => mail.html],
  ['text', 'Text', (mail) => mail.text !== null],
  ['headers', 'Headers', () => true],
  ['source', 'Source', () => true],
  ['attachments', 'Attachments', (mail) => mail.attachments.length > 0],
  ['conversation', 'Conversation', () => true],
];
/** The tab that was asked for last; a message that does not have it shows its first. */
let wanted = null;
let shown = null;

function show(mail) {
  shown = mail;
  const base = `/api/messages/${encodeURIComponent(mail.id)}`;
  $('open').hidden = false;
  $('subject').textContent = line(mail.subject) || '(no subject)';
  $('download').href = `${base}/source`;
  const by = [mail.client, mail.helo && `as ${mail.helo}`, mail.protocol, mail.tls].filter(Boolean).map(line).join(', ');
  const facts = [['From', line(mail.from) || '<>'], ['To', some(mail.recipients, 20)],
    ['Envelope', `<${line(mail.mail_from)}> by ${by}`]];
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

/** As asked for by the user, if the message has it. */
function want(name, isFocused) {
  const tab = $(`tab-${name}`);
  if (!shown || tab.getAttribute('aria-disabled') === 'true') return;
  wanted = name;
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
  html(mail, base, signal) {
    // Nothing is allowed in it, and the server's policy for it says so once more. Attributes first: src starts it.
    const frame = make('iframe', { sandbox: '', referrerpolicy: 'no-referrer', title: 'HTML body' });
    frame.src = `${base}/html`;
    // Nor can its links be followed there.
    const links = make('ul');
    const all = make('details', { class: 'links' }, make('summary', {}, 'Links'), links);
    all.addEventListener('toggle', async () => {
      try {
        const found = targets(await (await ask(`${base}/html`, { signal })).text());
        links.replaceChildren(...found.length ? found.map((href) => make('li', {}, ...linked(href))) : [make('li', {}, 'There are none.')]);
      } catch (error) {
        complain(error);
      }
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

// ---- Deleting

/** Whether the user says yes. */
function confirmed(question, what) {
  const dialog = $('confirm');
  $('confirm-question').textContent = question;
  $('confirm-what').textContent = what;
  dialog.returnValue = '';
  dialog.showModal();
  $('confirm-yes').focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

async function deleteOne() {
  const id = current;
  const mail = mails.get(id);
  if (!mail || !await confirmed('Delete this message?', line(mail.subject) || '(no subject)')) return;
  try {
    await ask(`/api/messages/${encodeURIComponent(id)}`, { method: 'DELETE' });
  } catch (error) {
    if (error.status !== 404) return complain(error);
  }
  gone.add(id);
  const row = rowOf(id);
  const next = beside(row, 'nextElementSibling') ?? beside(row, 'previousElementSibling');
  remove(id);
  refresh();
  list.focus();
  if (next) step(next);
}

async function deleteAll() {
  const count = mails.size;
  if (!await confirmed('Delete all messages?', count === 1 ? 'It is one message.' : `They are ${count} messages.`)) return;
  try {
    await ask('/api/messages', { method: 'DELETE' });
    update([]);
    list.focus();
  } catch (error) {
    complain(error);
  }
}

// ---- Faults

const faults = {
  /** One rule a line. */
  text: (rules) => (rules.length ? `[\n${rules.map((rule) => `  ${JSON.stringify(rule)}`).join(',\n')}\n]` : '[]'),
  count(rules) {
    $('fault-count').textContent = rules.length;
    $('fault-count').hidden = rules.length === 0;
    $('open-faults').classList.toggle('is-on', rules.length > 0);
  },
  say(text) {
    $('rules-error').textContent = text;
    $('rules').setAttribute('aria-invalid', String(text !== ''));
  },
  async open() {
    try {
      const rules = await read('/api/faults');
      this.count(rules);
      $('rules').value = this.text(rules);
      this.say('');
      $('faults').showModal();
    } catch (error) {
      complain(error);
    }
  },
  insert() {
    let rules;
    try {
      rules = JSON.parse($('rules').value.trim() || '[]');
    } catch {
      rules = null;
    }
    if (!Array.isArray(rules)) return this.say('The rules above are not an array in JSON. Mend them first.');
    $('rules').value = this.text([...rules, EXAMPLES[$('example').selectedIndex][1]]);
    this.say('');
  },
  async change(options, isDone) {
    try {
      await ask('/api/faults', options);
      const rules = await read('/api/faults');
      this.count(rules);
      $('rules').value = this.text(rules);
      this.say('');
      $('news').textContent = rules.length ? `Faults set: ${rules.length}` : 'No faults';
      if (isDone) $('faults').close();
    } catch (error) {
      this.say(error instanceof TypeError ? 'The server does not answer.' : error.message);
    }
  },
  // What is wrong with it, the server says.
  set: () => faults.change({ method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: $('rules').value }, true),
  clear: () => faults.change({ method: 'DELETE' }, false),
};

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
      if (event.key !== 'Escape') search().then(() => step(first()));
    }
    return;
  }
  const isInList = target === list || target === document.body;
  const act = KEYS[event.key] ?? (isInList && LIST_KEYS[event.key]);
  if (!act) return;
  event.preventDefault();
  act();
}

const KEYS = {
  j: () => step(current ? beside(rowOf(current), 'nextElementSibling') : first()),
  k: () => step(current ? beside(rowOf(current), 'previousElementSibling') : first()),
  '/': () => $('search').select(),
  '#': deleteOne,
  Delete: deleteOne,
  f: () => faults.open(),
  '?': () => $('keys').showModal(),
  Escape() {
    if (isNarrow.matches && opened) close();
    list.focus();
  },
  ...Object.fromEntries(TABS.map(([name], index) => [index + 1, () => want(name)])),
};

const LIST_KEYS = {
  ArrowDown: KEYS.j,
  ArrowUp: KEYS.k,
  Home: () => step(first()),
  End: () => step(last()),
  async Enter() {
    if (!current) return;
    await open(current);
    // The subject first, so that whoever listens hears what was opened.
    if (opened === current) $('subject').focus();
  },
};

function start() {
  seen.load();
  $('tabs').append(...TABS.map(([name, text]) => make('button', { type: 'button', role: 'tab', id: `tab-${name}`,
    'aria-controls': 'panel', 'aria-selected': 'false', tabindex: -1 }, text, make('b'))));
  $('example').append(...EXAMPLES.map(([name]) => make('option', {}, name)));

  document.addEventListener('keydown', key);
  list.addEventListener('click', (event) => {
    const row = event.target.closest('.row');
    if (row) open(row.dataset.id);
  });
  list.addEventListener('focus', () => { if (current) choose(current); });
  $('search').addEventListener('input', search.soon);
  $('tabs').addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) want(tab.id.slice(4), true);
  });
  $('tabs').addEventListener('keydown', (event) => {
    const tabs = [...$('tabs').children].filter((tab) => tab.getAttribute('aria-disabled') === 'false');
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    want(tabs[to % tabs.length].id.slice(4), true);
  });
  $('back').addEventListener('click', () => {
    close();
    list.focus();
  });
  $('delete').addEventListener('click', deleteOne);
  $('delete-all').addEventListener('click', deleteAll);
  $('confirm-yes').addEventListener('click', () => $('confirm').close('yes'));
  $('confirm-no').addEventListener('click', () => $('confirm').close('no'));
  $('open-faults').addEventListener('click', () => faults.open());
  $('insert').addEventListener('click', () => faults.insert());
  $('set-faults').addEventListener('click', faults.set);
  $('clear-faults').addEventListener('click', faults.clear);
  $('close-faults').addEventListener('click', () => $('faults').close());
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
