// A message as it looks to a reader who prefers light, or dark: what its style sheets say for either is made to hold.

const QUERY = /\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)/gi;

/** What a rule's condition was before it was changed. */
const conditions = new WeakMap();

function rewritten(text, scheme) {
  return text.replace(QUERY, (all, wanted) => (wanted.toLowerCase() === scheme ? '(min-width: 0px)' : '(max-width: 0px)'));
}

function* rulesOf(rules) {
  for (const rule of rules) {
    yield rule;
    if (rule.cssRules) yield* rulesOf(rule.cssRules);
  }
}

/** Makes the document in a frame look so: `light` or `dark`. A message that is made for one only stays as it is. */
export function prefer(frame, document, scheme) {
  for (const sheet of Object.getOwnPropertyDescriptor(Document.prototype, 'styleSheets').get.call(document)) {
    for (const rule of rulesOf(sheet.cssRules)) {
      if (!rule.media) continue;
      if (!conditions.has(rule)) conditions.set(rule, rule.media.mediaText);
      const changed = rewritten(conditions.get(rule), scheme);
      if (rule.media.mediaText !== changed) rule.media.mediaText = changed;
    }
  }
  const root = Object.getOwnPropertyDescriptor(Document.prototype, 'documentElement').get.call(document);
  if (!conditions.has(root)) {
    const meta = Document.prototype.querySelector.call(document, 'meta[name=color-scheme]')?.getAttribute('content') ?? '';
    conditions.set(root, `${getComputedStyle(root).colorScheme} ${meta}`);
  }
  const schemes = conditions.get(root);
  root.style.colorScheme = /dark/.test(schemes) && (scheme === 'dark' || !/light/.test(schemes)) ? 'dark' : 'light';
  frame.dataset.scheme = scheme;
}
