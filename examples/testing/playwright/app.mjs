// The program under test: a page that mails a code with which its reader signs in.
import { randomInt } from 'node:crypto';
import { createServer } from 'node:http';
import nodemailer from 'nodemailer';

const page = (body) => `<!doctype html><title>The Shop</title>${body}`;

export async function startApp(smtp) {
  const { hostname, port } = new URL(`smtp://${smtp}`);
  const mailer = nodemailer.createTransport({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), ignoreTLS: true });
  const codes = new Map();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    if (pathname === '/code') {
      const email = searchParams.get('email');
      const code = String(randomInt(100_000, 1_000_000));
      codes.set(code, email);
      await mailer.sendMail({
        from: 'The Shop <noreply@shop.example>',
        to: email,
        subject: 'Your code',
        text: `Your code is ${code.slice(0, 3)} ${code.slice(3)}. It is valid for 10 minutes.`,
      });
      response.end(page('<form action=/sign-in><label>Code <input name=code></label><button>Sign in</button></form>'));
    } else if (pathname === '/sign-in') {
      response.end(page(`<h1>${codes.has(searchParams.get('code')) ? 'Hello!' : 'Wrong code'}</h1>`));
    } else {
      response.end(page('<form action=/code><label>Email <input name=email></label><button>Send a code</button></form>'));
    }
  });
  await new Promise((listens) => server.listen(0, 'localhost', listens));
  return { url: `http://localhost:${server.address().port}`, stop: () => server.close() };
}
