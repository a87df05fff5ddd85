// The program under test: it mails a link that confirms an address.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import nodemailer from 'nodemailer';

export async function startApp(smtp) {
  const { hostname, port } = new URL(`smtp://${smtp}`);
  const mailer = nodemailer.createTransport({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), ignoreTLS: true });
  const pending = new Map();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname === '/sign-up') {
      const token = randomUUID();
      pending.set(token, searchParams.get('email'));
      const link = `http://localhost:${server.address().port}/confirm?token=${token}`;
      await mailer.sendMail({
        from: 'The Shop <noreply@shop.example>',
        to: searchParams.get('email'),
        subject: 'Welcome',
        html: `<p>Hello! Please <a href="${link}">confirm your address</a>.`,
      });
      response.end('Look into your inbox');
    } else {
      response.end(pending.has(searchParams.get('token')) ? 'Confirmed' : 'Unknown link');
    }
  });
  await new Promise((listens) => server.listen(0, 'localhost', listens));
  return { url: `http://localhost:${server.address().port}`, stop: () => server.close() };
}
