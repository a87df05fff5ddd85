// The deletion of one message, which can be taken back for some seconds: until then the server has the message.

import * as inbox from './inbox.js';
import { $, ask, complain, line, pathOf } from './page.js';

/** How long it can be taken back, in milliseconds. */
const HOLD = 8000;

/** The message that can be taken back, and what ends that. */
let held = null;

/** Takes it out of the list. The one before is now deleted indeed. */
export function hold(id) {
  commit();
  const subject = line(inbox.mailOf(id)?.subject) || '(no subject)';
  inbox.hold(id);
  held = { id, timer: setTimeout(commit, HOLD) };
  $('undo-what').textContent = `Deleted: ${subject}`;
  $('undo').hidden = false;
}

/** Gives the id of the message that is back, if there is one. */
export function undo() {
  if (!held) return null;
  const { id, timer } = held;
  clearTimeout(timer);
  held = null;
  $('undo').hidden = true;
  inbox.release(id);
  return id;
}

/** Deletes what is held. */
export async function commit({ keepalive = false } = {}) {
  if (!held) return;
  const { id, timer } = held;
  clearTimeout(timer);
  held = null;
  $('undo').hidden = true;
  try {
    await ask(pathOf(id), { method: 'DELETE', keepalive });
  } catch (error) {
    if (error.status !== 404) {
      inbox.release(id);
      return complain(error);
    }
  }
  inbox.remove(id);
}

/** Somebody else has deleted it. */
export function forget(ids) {
  if (!held || !ids.includes(held.id)) return;
  clearTimeout(held.timer);
  held = null;
  $('undo').hidden = true;
}

export function makeDeletion() {
  // The request goes on when the page has gone.
  addEventListener('pagehide', () => commit({ keepalive: true }));
}
