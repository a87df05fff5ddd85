// What everything on the page is made with: text, never markup.

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** A button that does something. */
export function button(text, act, attributes = {}) {
  const made = make('button', { type: 'button', ...attributes }, text);
  made.addEventListener('click', act);
  return made;
}

/** One line with what cannot be seen made visible: control characters, and those that turn the writing's direction. The
 *  joiners U+200C and U+200D stay: they belong to letters, and to pictures made of several. */
export const line = (text) => String(text ?? '').replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
  (c) => (c === '\t' ? ' ' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));

export const size = (octets) => (octets < 1000 ? `${octets} B`
  : octets < 999_950 ? `${(octets / 1000).toFixed(1)} kB` : `${(octets / 1e6).toFixed(1)} MB`);

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

const ofDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const ofYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const inFull = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

export function time(received, full) {
  const at = new Date(received);
  if (Number.isNaN(at.getTime())) return make('time', {}, line(received));
  const isToday = at.toDateString() === new Date().toDateString();
  const format = full ? inFull : isToday ? ofDay : ofYear;
  return make('time', { datetime: received, title: inFull.format(at) }, format.format(at));
}

/** An address with its name, as a header has it. */
export const named = ({ name, address }) => line(name ? `${name} <${address}>` : address);

/** Texts, but not a thousand of them. */
export function some(texts, most) {
  const rest = texts.length - most;
  return line(texts.slice(0, most).join(', ')) + (rest > 0 ? ` and ${rest} more` : '');
}

export async function ask(path, options = {}) {
  // Not relative to the page's own address, which may have a name and a password in it.
  const answer = await fetch(new URL(path, location.origin), { referrerPolicy: 'no-referrer', cache: 'no-store', ...options });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `${answer.status} ${answer.statusText}`), { status: answer.status });
}

export const read = async (path, options) => (await ask(path, options)).json();

export const pathOf = (id) => `/api/messages/${encodeURIComponent(id)}`;

export function complain(error) {
  if (error.name === 'AbortError') return;
  $('trouble').textContent = error instanceof TypeError ? 'The server does not answer.' : line(error.message);
  $('trouble').hidden = false;
  clearTimeout(complain.timer);
  complain.timer = setTimeout(() => { $('trouble').hidden = true; }, 6000);
}

export const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
