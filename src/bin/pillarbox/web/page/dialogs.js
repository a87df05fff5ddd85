// Questions that the page asks before something happens that cannot be taken back.

import { $, line } from './page.js';

/** Answers the question that is open; nothing, once it was answered. */
let answer = () => {};

/** Whether the user says yes. */
export function confirmed(question, what) {
  // The browser tells of a dialog's end a frame later, when the next question may be open. Only this tells which one it was.
  answer(false);
  $('confirm-question').textContent = question;
  $('confirm-what').textContent = what;
  $('confirm').showModal();
  $('confirm-yes').focus();
  return new Promise((resolve) => { answer = resolve; });
}

/** Links that may be followed from here. */
const FOLLOWED = /^(https?|mailto|tel|sms|ftp):/i;

/** Shows where a link of a message leads, so that whoever wants to follows it: in a tab of its own, which learns nothing of
 *  this page. */
export function leave(address) {
  const isFollowed = FOLLOWED.test(address);
  $('leave-address').textContent = line(address);
  $('leave-why').hidden = isFollowed;
  $('leave-yes').hidden = !isFollowed;
  if (isFollowed) $('leave-yes').href = address;
  else $('leave-yes').removeAttribute('href');
  $('leave').showModal();
  (isFollowed ? $('leave-yes') : $('leave-no')).focus();
}

export function makeDialogs() {
  $('confirm-yes').addEventListener('click', () => {
    answer(true);
    $('confirm').close();
  });
  $('confirm-no').addEventListener('click', () => $('confirm').close());
  $('confirm').addEventListener('close', () => { if (!$('confirm').open) answer(false); });
  $('leave-no').addEventListener('click', () => $('leave').close());
  // Once the browser has followed it.
  $('leave-yes').addEventListener('click', () => setTimeout(() => $('leave').close()));
  $('leave-copy').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText($('leave-address').textContent);
      $('news').textContent = 'Copied';
    } catch {
      // A page that came without TLS from another host has no clipboard.
      getSelection().selectAllChildren($('leave-address'));
    }
  });
  $('open-keys').addEventListener('click', () => $('keys').showModal());
  $('close-keys').addEventListener('click', () => $('keys').close());
}
