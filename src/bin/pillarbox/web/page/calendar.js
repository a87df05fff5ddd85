// What an invitation says (RFC 5545), as text.

import { make } from './page.js';

/** How many events, and how many people of each, are shown. */
const MOST = 20;

/** How much of a line is read, in characters. */
const LONGEST = 5000;

const METHODS = { REQUEST: 'Invitation', CANCEL: 'Cancellation', REPLY: 'Reply', COUNTER: 'Counter-proposal', PUBLISH: 'Event' };

const unescaped = (text) => text.replace(/\\(.)/g, (all, c) => (c === 'n' || c === 'N' ? '\n' : c));

/** A line's name, parameters and value; null if it is none. */
function property(line) {
  const found = /^([\w-]+)((?:;[\w-]+=(?:"[^"]*"|[^",;:]*)(?:,(?:"[^"]*"|[^",;:]*))*)*):(.*)$/s.exec(line.slice(0, LONGEST));
  if (!found) return null;
  const parameters = Object.fromEntries([...found[2].matchAll(/;([\w-]+)=("[^"]*"|[^;]*)/g)]
    .map(([, name, value]) => [name.toUpperCase(), value.replace(/^"|"$/g, '')]));
  return { name: found[1].toUpperCase(), parameters, value: found[3] };
}

/** A date or a time, in the reader's words. */
function moment({ value, parameters }) {
  const found = /^(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?(Z)?)?$/.exec(value);
  if (!found) return value;
  const [, year, month, day, hour, minute, , isUtc] = found;
  if (hour === undefined) {
    return new Date(Number(year), month - 1, day).toLocaleDateString(undefined, { dateStyle: 'full' });
  }
  if (isUtc) {
    return new Date(Date.UTC(year, month - 1, day, hour, minute))
      .toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'short' });
  }
  const local = new Date(Number(year), month - 1, day, hour, minute)
    .toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'short' });
  return parameters.TZID ? `${local} (${parameters.TZID})` : local;
}

function person({ value, parameters }) {
  const address = value.replace(/^mailto:/i, '');
  const state = parameters.PARTSTAT && parameters.PARTSTAT !== 'NEEDS-ACTION' ? `, ${parameters.PARTSTAT.toLowerCase()}` : '';
  return `${parameters.CN ? `${parameters.CN} <${address}>` : address}${state}`;
}

/** The events of a calendar: of each its properties. */
function events(text) {
  const all = [];
  let method = '';
  let open = null;
  let depth = 0;
  for (const line of text.replace(/\r?\n[ \t]/g, '').split(/\r?\n/)) {
    const found = property(line);
    if (!found) continue;
    if (found.name === 'METHOD') method = found.value.toUpperCase();
    if (found.name === 'BEGIN' && open) depth += 1;
    else if (found.name === 'BEGIN' && /^V(EVENT|TODO)$/i.test(found.value)) open = [];
    else if (found.name === 'END' && depth > 0) depth -= 1;
    else if (found.name === 'END' && open) {
      all.push(open);
      open = null;
      if (all.length === MOST) break;
    } else if (open && depth === 0) open.push(found);
  }
  // Its end may be missing, or beyond what is shown.
  if (open) all.push(open);
  return { all, method };
}

/** What it says. */
export function calendar(text) {
  const { all, method } = events(text);
  if (all.length === 0) return make('p', { class: 'note' }, 'There is no event in it.');
  return make('div', { class: 'calendar' }, ...all.map((properties) => {
    const first = (name) => properties.find((found) => found.name === name);
    const each = (name) => properties.filter((found) => found.name === name);
    const facts = [
      ['Begins', first('DTSTART') && moment(first('DTSTART'))],
      ['Ends', first('DTEND') && moment(first('DTEND'))],
      ['Duration', first('DURATION')?.value],
      ['Repeats', first('RRULE')?.value],
      ['Where', first('LOCATION') && unescaped(first('LOCATION').value)],
      ['Organizer', first('ORGANIZER') && person(first('ORGANIZER'))],
      ['Attendees', each('ATTENDEE').slice(0, MOST).map(person).join('\n')
        + (each('ATTENDEE').length > MOST ? `\nand ${each('ATTENDEE').length - MOST} more` : '')],
      ['Status', first('STATUS')?.value.toLowerCase()],
      ['Description', first('DESCRIPTION') && unescaped(first('DESCRIPTION').value)],
    ].filter(([, value]) => value);
    const title = first('SUMMARY') ? unescaped(first('SUMMARY').value) : '(no title)';
    return make('section', {}, make('h3', {}, method && METHODS[method] ? `${METHODS[method]}: ${title}` : title),
      make('dl', { class: 'facts' }, ...facts.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)])));
  }));
}
