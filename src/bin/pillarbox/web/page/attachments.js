// What is attached to a message, and what of it can be shown safely.

import { body } from './body.js';
import { calendar } from './calendar.js';
import { button, complain, line, make, named, read, size } from './page.js';
import { beginning, cut, later, linked } from './text.js';

/** So many are shown at once; of more each when it is asked for, and those in messages within messages too. */
const SHOWN = 5;
const SHOWN_DEEP = 2;

const PICTURE = /\.(png|apng|gif|jpe?g|jpe|jfif|webp|avif|bmp|svg|ico)$/i;
const CALENDAR = /^(text\/calendar|application\/ics)$/;
const MESSAGE = /^message\/(rfc822|global)$/;
const TEXT = /^(text\/.*|application\/(json|xml|.*\+json|.*\+xml)|message\/(delivery-status|disposition-notification|headers))$/;

const isPicture = ({ type, name }) => type.startsWith('image/') || (type === 'application/octet-stream' && PICTURE.test(name ?? ''));

function picture(part, path) {
  const image = make('img', { alt: line(part.name) || 'picture', loading: 'lazy' });
  image.addEventListener('error', () => image.replaceWith(make('p', { class: 'note' }, 'The browser cannot show it.')));
  image.src = path;
  return [image];
}

function invitation(path, signal) {
  const place = make('div');
  beginning(path, signal).then((text) => {
    const [shown, ...note] = cut(text);
    place.replaceChildren(calendar(shown), ...note);
  }, complain);
  return [place];
}

function message(path, signal, level) {
  const place = make('div', { class: 'nested' });
  read(`${path}/message`, { signal }).then((mail) => {
    const facts = [['From', mail.from && named(mail.from)], ['To', mail.to.map(named).join(', ')],
      ['Cc', mail.cc.map(named).join(', ')], ['Date', line(mail.date)], ...mail.cut.map((what) => ['Not all', line(what)])];
    const [text, ...note] = mail.text === null ? [] : cut(mail.text);
    place.replaceChildren(make('h3', {}, line(mail.subject) || '(no subject)'),
      make('dl', { class: 'facts' }, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)])),
      ...mail.has_html ? [make('div', { class: 'html' }, ...body(path, signal))] : [],
      ...mail.text !== null && !mail.has_html ? [make('pre', { tabindex: 0 }, ...linked(text)), ...note] : [],
      ...mail.attachments.length > 0 ? [attachments(mail.attachments, (index) => `${path}.${index}`, signal, level + 1)] : []);
  }, complain);
  return [place];
}

/** What shows a part; null if nothing does. */
function shower(part, path, signal, level) {
  if (isPicture(part)) return () => picture(part, path);
  if (CALENDAR.test(part.type) || /\.ics$/i.test(part.name ?? '')) return () => invitation(path, signal);
  if (MESSAGE.test(part.type)) return () => message(path, signal, level);
  if (TEXT.test(part.type)) return () => [later(path, signal, complain)];
  return null;
}

/** Why a browser shows nothing of a part. */
const reason = (part) => (part.type === 'application/pdf' ? 'Browsers show no PDF where it can do nothing, so it is only to be downloaded.' : null);

/** A list of all, each with what can be seen of it. `pathOf` gives the path of one by its number; `level` is in how many messages
 *  within the message they are. */
export function attachments(parts, pathOf, signal, level = 0) {
  return make('ul', { class: 'attached' }, ...parts.map((part) => {
    const path = pathOf(part.index);
    const show = shower(part, path, signal, level);
    const place = make('div', { class: 'view', hidden: true });
    const toggle = show && button('', () => set(place.hidden));
    function set(isShown) {
      if (isShown && place.childElementCount === 0) place.replaceChildren(...show());
      place.hidden = !isShown;
      toggle.textContent = isShown ? 'Hide' : 'Show';
      toggle.setAttribute('aria-expanded', String(isShown));
      toggle.setAttribute('aria-label', `${toggle.textContent} ${line(part.name) || 'this attachment'}`);
    }
    if (show) set(parts.length <= SHOWN && level < SHOWN_DEEP);
    const why = reason(part);
    return make('li', {},
      make('a', { href: path, download: true }, line(part.name) || '(no name)'),
      make('span', {}, `${line(part.type)}, ${size(part.size)}${part.inline ? ', inline' : ''}`),
      ...toggle ? [toggle] : [], ...why ? [make('p', { class: 'note' }, why)] : [], place);
  }));
}
