// Long texts, and links in them.

import { ask, make } from './page.js';

/** Longest text that is shown at once, in characters: beyond, laying it out takes seconds. */
const SHOWN = 200_000;

/** Text in which addresses of web pages can be followed. */
export function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"'\u0000-\u001f]*[^\s<>"'\u0000-\u001f.,;:!?)\]}])/).map((part, index) => (index % 2 === 0 ? part
    : make('a', { href: part, target: '_blank', rel: 'noopener noreferrer' }, part)));
}

/** The text, or its beginning with a word on that. */
export function cut(text) {
  return text.length <= SHOWN ? [text]
    : [text.slice(0, SHOWN), make('p', { class: 'note' }, `Only the beginning is shown: ${SHOWN.toLocaleString()} characters. Download has all of it.`)];
}

/** As much of a text as is shown, and one character, whatever its length is. */
export async function beginning(path, signal) {
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

/** A text that is on its way. */
export function later(path, signal, fail) {
  const pre = make('pre', { tabindex: 0 });
  beginning(path, signal).then((text) => {
    const [shown, ...note] = cut(text);
    pre.textContent = shown;
    pre.after(...note);
  }, fail);
  return pre;
}
