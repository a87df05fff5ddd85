// Follows the server: what has happened there is here a moment later.
//
// A browser has six connections for a server, so of all tabs one waits for what happens, and tells the others. Where browsers
// offer no locks (the page came without TLS from another host), a tab waits while it is seen.

import { pause, read } from './page.js';

/** How long an answer is waited for, in seconds. */
const POLL = 25;

/** Between two answers, in milliseconds, when one comes upon the other: hundreds of messages are not hundreds of requests. */
const BREATH = 150;

/** How long the pauses are while the server does not answer, in milliseconds. */
const PAUSES = [500, 15_000];

let wake = () => {};

/** `reload` reads all anew; `apply` is given what has happened; `tell` whether the server answers. */
export function follow({ reload, apply, tell }) {
  /** What is known here, as the server counts its changes; null if nothing is. */
  let known = null;
  const tabs = new BroadcastChannel('pillarbox');

  async function begin(signal) {
    const { change } = await read('/api/changes', { signal });
    await reload(signal);
    known = change;
  }

  async function step(signal, seconds) {
    const after = known;
    const change = await read(`/api/changes?after=${after}&timeout=${seconds}`, { signal });
    if (known !== after) return null;
    if (change.reset) {
      await begin(signal);
    } else {
      known = change.change;
      apply(change);
    }
    return { ...change, after };
  }

  /** Until the page is left, or no longer seen. */
  async function lead(isLeft = () => false, left = null) {
    let wait = 0;
    while (!isLeft()) {
      // Beyond the poll's own time: a server that is stopped in its tracks does not close.
      const signal = AbortSignal.any([AbortSignal.timeout((POLL + 15) * 1000), ...left ? [left] : []]);
      try {
        if (known === null) await begin(signal);
        tell('live');
        tabs.postMessage({ state: 'live' });
        const asked = performance.now();
        const change = await step(signal, POLL);
        if (change) tabs.postMessage({ change });
        wait = 0;
        if (performance.now() - asked < BREATH) await pause(BREATH);
      } catch {
        if (isLeft()) return;
        wait = Math.min(Math.max(PAUSES[0], wait * 2), PAUSES[1]);
        tell('gone');
        tabs.postMessage({ state: 'gone' });
        await Promise.race([pause(wait), new Promise((resolve) => { wake = resolve; })]);
      }
    }
  }

  /** What another tab was told; if something is missing before it, that is asked for. */
  async function hear({ change, state }) {
    if (state) tell(state);
    if (!change || known === null) return;
    if (!change.reset && change.after === known) {
      known = change.change;
      apply(change);
    } else if (change.change !== known) {
      await step(AbortSignal.timeout(POLL * 1000), 0);
    }
  }
  tabs.addEventListener('message', ({ data }) => hear(data).catch(() => { /* The tab that waits tells. */ }));

  for (const sign of ['online', 'focus']) addEventListener(sign, () => wake());
  if (navigator.locks) {
    navigator.locks.request('pillarbox', () => lead());
    // Until it is this tab's turn, which may never be.
    (async () => {
      while (known === null) {
        await begin(AbortSignal.timeout(POLL * 1000)).then(() => tell('live'), () => pause(PAUSES[0]));
      }
    })();
  } else {
    let left = new AbortController();
    const look = () => {
      if (document.hidden) left.abort();
      else if (left.signal.aborted || !look.isLed) {
        look.isLed = true;
        left = new AbortController();
        const { signal } = left;
        lead(() => signal.aborted, signal);
      }
    };
    document.addEventListener('visibilitychange', look);
    look();
  }
}
