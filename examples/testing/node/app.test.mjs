import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { startApp } from './app.mjs';
import { startInbox } from '../inbox.mjs';

let inbox;
let app;

before(async () => {
  inbox = await startInbox();
  app = await startApp(inbox.smtp);
});

after(() => {
  app?.stop();
  inbox?.stop();
});

// Tests that run at the same time get only the mail that is theirs.
const someone = () => `${randomUUID()}@example.org`;

test('the link in the mail confirms the address', async () => {
  const email = someone();
  await fetch(`${app.url}/sign-up?email=${encodeURIComponent(email)}`);

  const [mail] = await inbox.wait({ to: email, subject: 'welcome', timeout: 10 });

  assert.deepEqual(mail.from, { name: 'The Shop', address: 'noreply@shop.example' });
  const [link] = mail.links.filter((link) => link.text === 'confirm your address');
  assert.equal(await (await fetch(link.url)).text(), 'Confirmed');
});

test('a mail that does not come says what came', async () => {
  const email = someone();
  await fetch(`${app.url}/sign-up?email=${encodeURIComponent(email)}`);

  await assert.rejects(inbox.wait({ to: someone(), timeout: 0.2 }), (failure) => failure.message.includes(email));
});
