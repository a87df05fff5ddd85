import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { startApp } from './app.mjs';
import { startInbox } from '../inbox.mjs';

let inbox;
let app;
let browser;

before(async () => {
  inbox = await startInbox();
  app = await startApp(inbox.smtp);
  // playwright-core brings no browser.
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' });
});

after(async () => {
  await browser?.close();
  app?.stop();
  inbox?.stop();
});

test('the code in the mail signs in', async () => {
  const email = `${randomUUID()}@example.org`;
  const page = await browser.newPage();
  await page.goto(app.url);
  await page.getByLabel('Email').fill(email);
  await page.getByRole('button', { name: 'Send a code' }).click();

  const [mail] = await inbox.wait({ to: email, timeout: 10 });
  const [code] = mail.codes;

  await page.getByLabel('Code').fill(code);
  await page.getByRole('button', { name: 'Sign in' }).click();
  assert.equal(await page.getByRole('heading').textContent(), 'Hello!');
});
