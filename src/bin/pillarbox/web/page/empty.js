// What stands where a message would: how to send one, while there is none.

import { $, read } from './page.js';

const isLoopback = (host) => /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i.test(host);

/** Where the reader's programs send to: at the name by which this page was reached, unless only programs on the server's own
 *  machine can. */
function reached(address) {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [null, address, ''];
  return address.startsWith('unix:') || isLoopback(host) ? address : `${location.hostname}:${port}`;
}

/** Reads where mail is taken. */
export async function greet() {
  try {
    const { smtp } = await read('/api/server');
    const [address] = smtp.map(reached);
    $('address').textContent = address;
    $('listening').textContent = `SMTP ${address}`;
    if (address.startsWith('unix:')) return;
    const [, host] = /^(.*):(\d+)$/.exec(address) ?? [null, address];
    $('elsewhere').hidden = !isLoopback(host) || isLoopback(location.hostname);
    $('command').textContent = `printf 'Subject: Hello\\n\\nThe first one.\\n' |\n`
      + `  curl smtp://${address} --mail-from me@example.org \\\n    --mail-rcpt you@example.org --upload-file -`;
    $('first').hidden = $('command').hidden = false;
  } catch { /* The page goes without the address. */ }
}

export function showEmpty(isEmpty, isOpen) {
  $('empty').hidden = !isEmpty || isOpen;
  $('nothing').hidden = isEmpty || isOpen;
  document.body.classList.toggle('is-empty', isEmpty && !isOpen);
}
