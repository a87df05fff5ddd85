// Which pictures a message would load from elsewhere. Its frame may load none of them; this counts them, for the bar that offers
// to load them.
//
// A message can give elements names by which they hide what a document or a form can do, so it is asked by what this page knows.

const all = (document, selector) => Document.prototype.querySelectorAll.call(document, selector);
const attribute = (element, name) => Element.prototype.getAttribute.call(element, name);
const name = (element) => Object.getOwnPropertyDescriptor(Element.prototype, 'localName').get.call(element);

const isRemote = (address) => /^\s*(https?:)?\/\//i.test(address ?? '');

/** The addresses in a `srcset`. */
const candidates = (set) => (set ?? '').slice(0, 4000).split(/,\s+|\s+[\d.]+[wxh]\s*,?|\s+/).map((part) => part.trim()).filter(Boolean);

/** How much CSS is looked at, in characters. */
const MOST = 300_000;

/** The addresses of pictures in CSS; those of fonts and other style sheets are none. What has no end is given up soon, so that
 *  no message takes long. */
function inStyle(css) {
  const pictures = css.slice(0, MOST).replace(/@font-face\s{0,9}\{[^}]{0,4000}\}/gi, '').replace(/@import[^;]{0,2000};/gi, '');
  return [...pictures.matchAll(/url\(\s{0,9}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^)\s"']{0,2000}))\s{0,9}\)|image(?:-set)?\(\s{0,9}["']([^"']{0,2000})["']/gi)]
    .map(([, ...found]) => found.find(Boolean)).filter(Boolean);
}

/** How many pictures there are, each address once. */
export function countRemote(document) {
  const found = new Set();
  const add = (addresses) => {
    const remote = addresses.filter(isRemote);
    remote.forEach((address) => found.add(address.trim()));
    return remote.length > 0;
  };
  const inPictures = new Set();
  for (const element of all(document, 'img, input[type=image i], source[srcset], video[poster], [background], image')) {
    const picture = element.parentElement;
    // Of those that stand for the same picture one is loaded.
    if (name(element) === 'source' || (name(element) === 'img' && picture && name(picture) === 'picture')) {
      if (inPictures.has(picture)) continue;
      const addresses = [attribute(element, 'src'), ...candidates(attribute(element, 'srcset'))].filter(isRemote);
      if (add(addresses.slice(0, 1))) inPictures.add(picture);
      continue;
    }
    const shown = ['img', 'input'].includes(name(element))
      ? [attribute(element, 'src'), ...candidates(attribute(element, 'srcset'))].filter(isRemote).slice(0, 1)
      : [attribute(element, 'poster'), attribute(element, 'x-href'), attribute(element, 'xlink:x-href')].filter(isRemote).slice(0, 1);
    add(shown);
    add([attribute(element, 'background') ?? '']);
  }
  const text = Object.getOwnPropertyDescriptor(Node.prototype, 'textContent').get;
  add(inStyle([...all(document, 'style')].map((style) => text.call(style)).join('\n')));
  add(inStyle([...all(document, '[style]')].map((element) => attribute(element, 'style')).join('\n')));
  return found.size;
}
