// The HTML of a message, in a frame that runs nothing and loads nothing from elsewhere. This page follows what is clicked and
// pressed in it.

import { leave } from './dialogs.js';
import { button, counted, make } from './page.js';
import { countRemote } from './remote.js';

/** What a frame may do: have links open tabs of their own, and let this page look into it, unless it loads pictures: then it is
 *  of an origin that tells nobody where it is. Scripts run nowhere in it. */
const RIGHTS = 'allow-popups allow-popups-to-escape-sandbox';
const SEEN = 'allow-same-origin';

/** How all messages are shown, as it was chosen last. */
const chosen = { width: 'desktop', scheme: matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light' };

/** Messages of which pictures from elsewhere may be loaded. */
const loaded = new Set();

/** What is done with keys that are pressed in a frame. */
let press = () => {};
export const onKey = (act) => { press = act; };

const listen = (target, kind, act) => EventTarget.prototype.addEventListener.call(target, kind, act, true);

/** Where a link in a frame leads; null if it is none, or one to another place in the message. */
function target(event) {
  const link = event.composedPath().find((node) => node.localName === 'a' || node.localName === 'area');
  const address = link && Element.prototype.getAttribute.call(link, 'href');
  return address?.startsWith('/away?') ? new URLSearchParams(address.slice('/away?'.length)).get('to') : null;
}

/** The part of the page that shows the HTML of a message, or of one within it, whose paths begin with `base`: until `signal`. */
export function body(base, signal) {
  // Attributes first: src starts it.
  const frame = make('iframe', { referrerpolicy: 'no-referrer', title: 'HTML body' });
  const blocked = make('p', { class: 'blocked', role: 'status', hidden: true });
  const stage = make('div', { class: 'stage' }, frame);
  const show = () => {
    frame.setAttribute('sandbox', loaded.has(base) ? RIGHTS : `${RIGHTS} ${SEEN}`);
    frame.src = `${base}/html?frame=page&scheme=${chosen.scheme}${loaded.has(base) ? '&images=load' : ''}`;
  };

  function count(document) {
    const remote = loaded.has(base) ? 0 : countRemote(document);
    blocked.hidden = remote === 0;
    blocked.replaceChildren(`${counted(remote, 'remote image')} blocked: `, button('load', () => {
      loaded.add(base);
      blocked.hidden = true;
      show();
      frame.focus();
    }));
  }

  frame.addEventListener('load', () => {
    const document = frame.contentDocument;
    if (!document?.documentElement) return;
    const window = frame.contentWindow;
    listen(window, 'click', (event) => {
      const address = target(event);
      // With another button or a key beside it, it opens a tab that asks.
      if (address === null || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      leave(address);
    });
    listen(window, 'keydown', (event) => {
      if (!/^(input|textarea|select)$/.test(event.target.localName)) press(event);
    });
    count(document);
  });
  // Whoever clicks into one that this page does not see goes on with its keys here.
  addEventListener('blur', () => {
    if (!frame.isConnected || document.activeElement !== frame || frame.contentDocument || !frame.matches(':hover')) return;
    setTimeout(() => frame.closest('[tabindex]')?.focus());
  }, { signal });

  function choice(name, label, values) {
    const buttons = Object.entries(values).map(([value, text]) => button(text, () => {
      chosen[name] = value;
      for (const [other, one] of Object.keys(values).map((key, at) => [key, buttons[at]])) {
        one.setAttribute('aria-pressed', String(other === value));
      }
      stage.dataset.width = chosen.width;
      if (name === 'scheme') show();
    }, { 'aria-pressed': String(chosen[name] === value), 'data-choice': value }));
    return make('div', { class: 'choice', role: 'group', 'aria-label': label }, ...buttons);
  }

  stage.dataset.width = chosen.width;
  show();
  return [make('div', { class: 'look' },
    choice('width', 'Width', { desktop: 'Desktop', phone: 'Phone' }),
    choice('scheme', 'Colours', { light: 'Light', dark: 'Dark' })), blocked, stage];
}
