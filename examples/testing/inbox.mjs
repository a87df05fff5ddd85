// Starts pillarbox, and asks it what it has received.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export async function startInbox() {
  const command = process.env.PILLARBOX ?? 'pillarbox';
  const server = spawn(command, ['-n', '-c', 'Inbox', '--http', 'localhost:0', 'localhost:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines = createInterface({ input: server.stderr });
  const restOfLine = (begin) => new Promise((found) => {
    lines.on('line', (line) => line.startsWith(begin) && found(line.slice(begin.length)));
    lines.on('close', () => found(''));
  });
  const [smtp, url] = await Promise.all(['pillarbox: listening on ', 'pillarbox: inbox at '].map(restOfLine));
  if (!url) throw new Error(`${command} does not start`);
  return {
    smtp,
    // The messages that match, once there are `count` of them: to, from, subject, search, after, timeout.
    async wait(filters) {
      const answer = await fetch(`${url}api/wait?${new URLSearchParams(filters)}`);
      const found = await answer.json();
      // What did arrive explains why the test fails.
      if (!answer.ok) throw new Error(JSON.stringify(found, null, 2));
      return found.messages;
    },
    stop: () => server.kill(),
  };
}
