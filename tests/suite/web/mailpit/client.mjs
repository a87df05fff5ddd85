// Asks a web inbox by the npm package mailpit-api, which was made for Mailpit: `node client.mjs MODULES URL`.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [modules, url] = process.argv.slice(2);
const { MailpitClient } = createRequire(`${modules}/`)('mailpit-api');
const mailpit = new MailpitClient(url);

const info = await mailpit.getInfo();
assert.equal(info.Messages, 3);
assert.equal(info.Unread, 3);
assert.match(info.Version, /^pillarbox /);
assert.equal(typeof info.RuntimeStats.Uptime, 'number');
assert.equal((await mailpit.getConfiguration()).ChaosEnabled, true);

const list = await mailpit.listMessages();
assert.deepEqual(list.messages.map((mail) => mail.ID), ['3', '2', '1']);
assert.deepEqual([list.total, list.unread, list.messages_count, list.messages_unread, list.start], [3, 3, 3, 3, 0]);
assert.deepEqual(list.tags, []);
const [files] = list.messages;
assert.equal(files.Subject, 'Files');
assert.deepEqual(files.From, { Name: 'Jürgen', Address: 'j@example.org' });
assert.deepEqual(files.To, [{ Name: '', Address: 'ann@example.org' }]);
assert.deepEqual(files.Bcc, [{ Name: '', Address: 'recipient@example.org' }]);
assert.equal(files.MessageID, 'files@example.org');
assert.equal(files.Attachments, 2);
assert.equal(files.Snippet, 'See below');
assert.equal(files.Read, false);
assert.ok(Math.abs(Date.now() - Date.parse(files.Created)) < 600_000, files.Created);
const second = await mailpit.listMessages(1, 1);
assert.deepEqual([second.messages.map((mail) => mail.ID), second.start, second.messages_count], [['2'], 1, 3]);

const found = await mailpit.searchMessages({ query: 'subject:welcome to:"recipient@example.org" -has:attachment', limit: 1 });
assert.deepEqual([found.messages.map((mail) => mail.ID), found.messages_count, found.total], [['2'], 2, 3]);
assert.equal((await mailpit.waitForMessage({ query: 'subject:"welcome ann"' })).ID, '1');
assert.equal((await mailpit.waitForMessages({ query: 'is:unread', count: 2, exact: true })).messages_count, 2);
await assert.rejects(mailpit.searchMessages({ query: 'after:2025-04-30' }), /400 .*there is no after: here/);
await assert.rejects(mailpit.searchMessages({ query: ' ' }), /400/);

const latest = await mailpit.getMessageSummary();
assert.equal(latest.ID, '3');
assert.equal(latest.Text, 'See below\n');
assert.equal(latest.HTML, '<p>See <img src="cid:dot@example.org">\n');
assert.equal(latest.Date, '2026-11-27T03:00:00.000Z');
assert.equal(latest.ReturnPath, 'sender@client.example');
assert.deepEqual(latest.ListUnsubscribe.Links, ['https://example.org/leave', 'mailto:leave@example.org']);
const [inline] = latest.Inline;
const [attached] = latest.Attachments;
assert.deepEqual([inline.ContentID, inline.ContentType, inline.Size], ['dot@example.org', 'image/png', 5]);
assert.deepEqual([attached.FileName, attached.ContentType, attached.Size], ['a.txt', 'text/plain', 5]);
assert.equal(attached.Checksums.SHA256, '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824');
const blob = await mailpit.getMessageAttachment('3', attached.PartID);
assert.deepEqual([blob.type, await blob.text()], ['text/plain', 'hello']);
assert.equal((await mailpit.getMessageAttachment('latest', inline.PartID)).type, 'image/png');

// It is read now, and can be unread again.
assert.equal((await mailpit.listMessages()).unread, 1);
await mailpit.setReadStatus({ IDs: ['3'], Read: false });
assert.equal((await mailpit.listMessages()).unread, 2);
await mailpit.setReadStatus({ Search: 'subject:welcome', Read: true });
assert.deepEqual((await mailpit.searchMessages({ query: 'is:unread' })).messages.map((mail) => mail.ID), ['3']);
await mailpit.setReadStatus({ Read: true }, { tz: 'Europe/Berlin' });
assert.equal((await mailpit.listMessages()).unread, 0);

const headers = await mailpit.getMessageHeaders('3');
assert.deepEqual(headers.From, ['=?utf-8?q?J=C3=BCrgen?= <j@example.org>']);
assert.deepEqual(headers['Message-Id'], ['<files@example.org>']);
assert.deepEqual(headers['X-Folded'], ['one two']);
assert.match(await mailpit.getMessageSource(), /^From: =\?utf-8.*\r\n\r\n--b\r\n/s);
assert.equal(await mailpit.renderMessageText('1'), 'Hello Ann\n');
assert.match(await mailpit.renderMessageHTML('3'), /<p>See <img/);

const triggers = await mailpit.setChaosTriggers({ Sender: { ErrorCode: 451, Probability: 5 }, Recipient: { ErrorCode: 550, Probability: 100 } });
assert.deepEqual(triggers, {
  Sender: { ErrorCode: 451, Probability: 5 },
  Recipient: { ErrorCode: 550, Probability: 100 },
  Authentication: { ErrorCode: 535, Probability: 0 },
});
assert.deepEqual(await mailpit.getChaosTriggers(), triggers);
await assert.rejects(mailpit.setChaosTriggers({ Sender: { ErrorCode: 250, Probability: 5 } }), /400/);

assert.equal(await mailpit.releaseMessage('latest', { To: ['ok@example.org'] }), 'ok');
await assert.rejects(mailpit.releaseMessage('3', { To: ['no@elsewhere.example'] }), /403 .*--release-pattern/);

// What there is not.
for (const call of [() => mailpit.getTags(), () => mailpit.htmlCheck('3'), () => mailpit.linkCheck('3'),
  () => mailpit.spamAssassinCheck('3'), () => mailpit.getAttachmentThumbnail('3', '0'),
  () => mailpit.sendMessage({ From: { Email: 'a@b.example' }, To: [{ Email: 'a@b.example' }] })]) {
  await assert.rejects(call(), /404 .*there is no such path: there are \/api\/v1\/info, /);
}
await assert.rejects(mailpit.getMessageSummary('99'), /404 .*no such message/);

await mailpit.deleteMessagesBySearch({ query: 'subject:files' });
assert.deepEqual((await mailpit.listMessages()).messages.map((mail) => mail.ID), ['2', '1']);
await mailpit.deleteMessages({ IDs: ['2', '99'] });
assert.equal((await mailpit.listMessages()).total, 1);
await mailpit.deleteMessages();
assert.deepEqual((await mailpit.listMessages()).messages, []);
await assert.rejects(mailpit.getMessageSummary(), /404/);
await assert.rejects(mailpit.waitForMessage({ query: 'x' }, { timeout: 10, interval: 5 }), /Timeout/);
console.log('done');
