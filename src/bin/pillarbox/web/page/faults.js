// The dialog for the faults that the server makes on purpose.

import { $, ask, make, read } from './page.js';

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
  ['Reset within the content', { on: { content_after: 1000, nth: 1 }, do: { reset: true } }],
  ['Slow link: 10 kB a second', { on: { event: 'connect' }, do: { bandwidth: 10_000 } }],
  ['LMTP: full for one recipient', { on: { event: 'verdict', to: 'bob@example.org' }, do: { reply: '452 4.2.2 Mailbox full' } }],
];

/** How often it is read what has happened, in milliseconds. */
const LOOK = 1000;

/** Of so many rules it is told whether they have happened. */
const MOST_TOLD = 100;

const times = (fired) => (fired === 0 ? 'not yet' : fired === 1 ? 'once' : `${fired} times`);

/** What was written and not set, if anything was: it outlives the dialog. */
let draft = null;

export const faults = {
  /** One rule a line, without what the server tells of it. */
  text: (rules) => (rules.length
    ? `[\n${rules.map((rule) => `  ${JSON.stringify({ ...rule, fired: undefined })}`).join(',\n')}\n]` : '[]'),
  count(rules) {
    $('fault-count').textContent = rules.length;
    $('fault-count').hidden = rules.length === 0;
    $('open-faults').classList.toggle('is-on', rules.length > 0);
  },
  say(text) {
    $('rules-error').textContent = text;
    $('rules').setAttribute('aria-invalid', String(text !== ''));
  },
  /** How often each has happened. */
  tell(rules) {
    const told = rules.slice(0, MOST_TOLD).map(({ fired }, at) => `rule ${at + 1} ${times(fired)}`);
    const rest = rules.length - told.length;
    if (rest > 0) told.push(`and ${rest} more`);
    $('rules-fired').textContent = told.length ? `Happened: ${told.join(', ')}.` : '';
  },
  /** Again and again, as long as the dialog is open. */
  async watch() {
    while ($('faults').open) {
      await new Promise((done) => { setTimeout(done, LOOK); });
      if (!$('faults').open) return;
      try {
        this.tell(await read('/api/faults'));
      } catch {
        // Whether the server answers, the page tells elsewhere.
      }
    }
  },
  /** At once: whoever presses a key before the rules are there means this dialog, and not the list behind it. */
  async open() {
    this.wait(true);
    $('rules').value = draft?.text ?? '';
    this.say('');
    this.tell([]);
    $('faults').showModal();
    try {
      this.show(await read('/api/faults'));
    } catch (error) {
      this.fail(error);
    }
    if (!this.isWatching) {
      this.isWatching = true;
      await this.watch();
      this.isWatching = false;
    }
  },
  /** What is not known yet cannot be changed. */
  wait(isWaiting) {
    $('rules').readOnly = $('insert').disabled = $('set-faults').disabled = isWaiting;
  },
  show(rules, isAnew = false) {
    this.count(rules);
    if (isAnew) draft = null;
    this.known = this.text(rules);
    // What was written and not set is still there, unless it is what is set.
    $('rules').value = draft?.text ?? this.known;
    this.tellDraft();
    this.tell(rules);
    this.say('');
    this.wait(false);
  },
  /** Whether the rules are those that are set. */
  tellDraft() {
    const text = $('rules').value;
    draft = text === this.known ? null : { text };
    $('rules-draft').hidden = draft === null;
  },
  discard() {
    draft = null;
    $('rules').value = this.known;
    this.say('');
    this.tellDraft();
  },
  fail: (error) => faults.say(error instanceof TypeError ? 'The server does not answer.' : error.message),
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
    this.tellDraft();
  },
  async change(options, isDone) {
    try {
      await ask('/api/faults', options);
      const rules = await read('/api/faults');
      this.show(rules, true);
      $('news').textContent = rules.length ? `Faults set: ${rules.length}` : 'No faults';
      if (isDone) $('faults').close();
    } catch (error) {
      this.fail(error);
    }
  },
  // What is wrong with it, the server says.
  set: () => faults.change({ method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: $('rules').value }, true),
  clear: () => faults.change({ method: 'DELETE' }, false),
};

export function makeFaults() {
  $('example').append(...EXAMPLES.map(([name]) => make('option', {}, name)));
  $('open-faults').addEventListener('click', () => faults.open());
  $('insert').addEventListener('click', () => faults.insert());
  $('set-faults').addEventListener('click', faults.set);
  $('clear-faults').addEventListener('click', faults.clear);
  $('rules').addEventListener('input', () => faults.tellDraft());
  $('discard').addEventListener('click', () => faults.discard());
  $('close-faults').addEventListener('click', () => $('faults').close());
}
