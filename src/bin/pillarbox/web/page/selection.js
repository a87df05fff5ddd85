// Several messages at once: by Ctrl or Shift and a click, by the mark at the left of a row, or by keys.

import { confirmed } from './dialogs.js';
import * as inbox from './inbox.js';
import { $, ask, complain, counted, pathOf } from './page.js';

/** How many requests are on their way at once. */
const AT_ONCE = 4;

const selected = new Set();
/** Where a range begins. */
let anchor = null;

export const isAny = () => selected.size > 0;
export const has = (id) => selected.has(id);

/** What else shows it. */
let changed = () => {};
export const onChange = (act) => { changed = act; };

function show() {
  for (const id of [...selected]) if (!inbox.rowOf(id)) selected.delete(id);
  for (const row of inbox.rows()) row.classList.toggle('is-marked', selected.has(row.dataset.id));
  $('selection').hidden = selected.size === 0;
  $('selected').textContent = `${selected.size.toLocaleString()} selected`;
  changed();
}

export function toggle(id, isOn = !selected.has(id)) {
  if (isOn) selected.add(id);
  else selected.delete(id);
  anchor = id;
  show();
}

/** All from the last one that was chosen to this one. */
export function extend(id, from) {
  const all = inbox.rows().map((row) => row.dataset.id);
  const ends = [all.indexOf(anchor ?? from ?? id), all.indexOf(id)];
  if (ends.includes(-1)) return toggle(id, true);
  anchor ??= from ?? id;
  for (const one of all.slice(Math.min(...ends), Math.max(...ends) + 1)) selected.add(one);
  show();
}

/** Where a range begins that is extended later. */
export const begin = (id) => { anchor = id; };

export function all() {
  for (const row of inbox.rows()) selected.add(row.dataset.id);
  show();
}

export function clear() {
  selected.clear();
  anchor = null;
  show();
}

/** Those that have gone are no more selected. */
export function check() {
  if (selected.size > 0) show();
}

/** Does something with each, some at a time. */
async function each(ids, act) {
  const left = [...ids];
  const work = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) await act(id);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

export async function setRead(isRead) {
  try {
    await each(selected, async (id) => {
      await ask(`${pathOf(id)}/read`, { method: isRead ? 'PUT' : 'DELETE' });
      inbox.setRead(id, isRead);
    });
    clear();
  } catch (error) {
    complain(error);
  }
}

export async function remove() {
  const ids = [...selected];
  if (!await confirmed(`Delete ${counted(ids.length, 'message')}?`, 'This cannot be undone.')) return;
  try {
    await each(ids, async (id) => {
      await ask(pathOf(id), { method: 'DELETE' }).catch((error) => { if (error.status !== 404) throw error; });
      inbox.remove(id);
    });
    clear();
  } catch (error) {
    complain(error);
  }
}

export function makeSelection() {
  $('selection-read').addEventListener('click', () => setRead(true));
  $('selection-unread').addEventListener('click', () => setRead(false));
  $('selection-delete').addEventListener('click', remove);
  $('selection-none').addEventListener('click', clear);
}
