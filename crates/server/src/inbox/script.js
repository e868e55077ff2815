// The development inbox: asks for the messages once a second while it is looked at, and changes on the page only what has
// changed, so that an opened mail, a selection and the focus stay where they are. Whatever comes from a message enters the
// page as text; its HTML part only as the document of a frame that may do nothing.
'use strict';

const POLL = 1000; // milliseconds from an answer to the next question
const PATIENCE = 10000; // milliseconds a question may take
const GLOW = 4000; // milliseconds a new message stays marked
const THANKS = 2000; // milliseconds a button says "Copied"

const at = (id) => document.getElementById(id);
const list = at('messages');
const recipient = at('recipient');
const template = at('message').content.firstElementChild;

/** What is on the page, newest first as in the list: message id → {message, raw, item, find}. */
const shown = new Map();
let lastAnswer = null;
let question = null;
let nextPoll = 0;

// ---- asking -----------------------------------------------------------------------------------------------------------

class Refused extends Error {}

async function poll() {
  clearTimeout(nextPoll);
  question?.abort();
  const mine = (question = new AbortController());
  const patience = setTimeout(() => mine.abort(), PATIENCE);
  const began = performance.now();
  try {
    const response = await fetch('/dev/messages', { cache: 'no-store', signal: mine.signal });
    const answer = await response.text();
    if (mine !== question) return;
    if (!response.ok) throw new Refused(response.status);
    if (answer !== lastAnswer) update(JSON.parse(answer), lastAnswer !== null);
    lastAnswer = answer;
    connected(true);
  } catch (error) {
    if (mine !== question) return; // another question has taken its place
    connected(false, error);
  } finally {
    clearTimeout(patience);
  }
  // An answer that took long was much work for the server: ask less often then.
  if (!document.hidden) nextPoll = setTimeout(poll, Math.max(POLL, 4 * (performance.now() - began)));
}

function stopPolling() {
  clearTimeout(nextPoll);
  question?.abort();
  question = null;
}

async function empty() {
  if (shown.size === 0) return;
  stopPolling(); // an answer from before must not bring the messages back
  try {
    const response = await fetch('/dev/messages', { method: 'DELETE' });
    if (!response.ok) throw new Refused(response.status);
    announce('The inbox is empty.');
  } catch (error) {
    connected(false, error);
  }
  poll();
}

/** Says whether the server answers, and if not, why and what happens next. */
function connected(isConnected, error) {
  at('connection').dataset.state = isConnected ? 'live' : 'lost';
  at('connection-text').textContent = isConnected ? 'Live' : 'Not reachable';
  let text = '';
  if (error instanceof Refused) text = `The server answers with an error (${error.message}).`;
  else if (!isConnected) text = 'The server cannot be reached. Is countersign dev running?';
  if (text) text += ' This page keeps asking, and goes on by itself.';
  const trouble = at('trouble');
  trouble.hidden = isConnected;
  if (trouble.textContent !== text) trouble.textContent = text; // said aloud once, not every second
}

// ---- showing ----------------------------------------------------------------------------------------------------------

function update(messages, isLater) {
  const ids = new Set(messages.map((message) => message.id));
  for (const [id, { item }] of shown) {
    if (!ids.has(id)) {
      item.remove();
      shown.delete(id);
    }
  }
  const arrived = [];
  let place = list.firstElementChild;
  for (const message of messages) {
    let entry = shown.get(message.id);
    if (!entry) {
      entry = create();
      shown.set(message.id, entry);
      arrived.push(entry);
    }
    const raw = JSON.stringify(message);
    if (entry.raw !== raw) fill(entry, message, raw);
    if (entry.item === place) place = place.nextElementSibling;
    else list.insertBefore(entry.item, place);
  }
  at('recipients').replaceChildren(
    ...[...new Set(messages.map((message) => message.to))].sort().map((to) => new Option(to, to)),
  );
  select();
  tick();
  if (isLater) greet(arrived.filter((entry) => !entry.item.hidden));
}

function create() {
  const item = template.cloneNode(true);
  const find = (selector) => item.querySelector(selector);
  const entry = { item, find, message: null, raw: '' };
  find('.code').addEventListener('click', () => copy(find('.code'), entry.message.code));
  find('.to').addEventListener('click', () => filterBy(entry.message.to));
  find('details').addEventListener('toggle', () => fillParts(entry));
  return entry;
}

function fill(entry, message, raw) {
  const { find } = entry;
  entry.message = message;
  entry.raw = raw;
  const { code, to, subject } = message;
  find('.code').hidden = code === null;
  find('.replaced').hidden = code !== null;
  if (code !== null) {
    find('.digits').replaceChildren(...groups(code).map(span));
    find('.code .unseen').textContent = ` the code sent to ${to}`;
  }
  find('.subject').textContent = subject;
  find('.to').textContent = to;
  find('.to').title = `Show only mail to ${to}`;
  find('.channel').textContent = message.channel;
  find('.channel').hidden = message.channel === 'email';
  find('summary .unseen').textContent = ` to ${to}`;
  find('.link').hidden = !/^https?:\/\//i.test(message.link ?? '');
  if (!find('.link').hidden) find('.link a').href = message.link;
  const time = find('time');
  time.dateTime = message.created_at;
  time.title = new Date(message.created_at).toLocaleString();
  fillParts(entry);
}

/** The two parts of the mail: only while it is open, and no frame is loaded again that already shows the same. */
function fillParts({ find, message }) {
  if (!find('details').open) return;
  if (find('pre').textContent !== message.text) find('pre').textContent = message.text;
  find('.html').hidden = !message.html;
  let frame = find('iframe');
  if (frame?.srcdoc === message.html || !message.html) return;
  if (!frame) {
    frame = document.createElement('iframe');
    frame.setAttribute('sandbox', '');
    frame.title = `HTML part of the mail to ${message.to}`;
  }
  frame.srcdoc = message.html;
  find('.html').append(frame);
}

/** Applies the filter, and what follows from which messages are visible: the large one, the count, the title. */
function select() {
  const wanted = recipient.value.trim().toLowerCase();
  const visible = [];
  for (const item of list.children) item.classList.remove('newest');
  for (const entry of shown.values()) {
    entry.item.hidden = !entry.message.to.toLowerCase().includes(wanted);
    if (!entry.item.hidden) visible.push(entry);
  }
  visible.sort((a, b) => (a.item.compareDocumentPosition(b.item) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  visible[0]?.item.classList.add('newest');
  list.hidden = visible.length === 0;
  at('nothing').hidden = shown.size > 0;
  at('no-match').hidden = shown.size === 0 || visible.length > 0;
  at('empty').setAttribute('aria-disabled', String(shown.size === 0));
  const all = shown.size === 1 ? '1 message' : `${shown.size} messages`;
  at('count').textContent = shown.size === 0 ? '' : wanted ? `${visible.length} of ${all}` : all;
  const code = visible[0]?.message.code;
  const heading = code ? groups(code).join(' ') : visible.length > 0 ? `(${visible.length})` : '';
  document.title = heading ? `${heading} · Inbox` : 'Inbox · countersign';
}

function filterBy(to) {
  recipient.value = to;
  filter();
}

function filter() {
  const url = new URL(location.href);
  const to = recipient.value.trim();
  if (to) url.searchParams.set('to', to);
  else url.searchParams.delete('to');
  history.replaceState(null, '', url);
  select();
}

/** Marks what has just come, and says it to those who listen. */
function greet(arrived) {
  for (const { item } of arrived) {
    item.classList.add('fresh');
    setTimeout(() => item.classList.remove('fresh'), GLOW);
  }
  const newest = arrived[0]?.message;
  if (!newest) return;
  const others = arrived.length > 1 ? ` And ${arrived.length - 1} more.` : '';
  const what = newest.code ? `New code ${spelled(newest.code)}` : `New mail, ${newest.subject},`;
  announce(`${what} for ${newest.to}.${others}`);
}

function tick() {
  const now = Date.now();
  for (const { find, message } of shown.values()) {
    const time = find('time');
    const text = age(message.created_at, now);
    if (time.textContent !== text) time.textContent = text;
  }
}

function age(createdAt, now) {
  const created = new Date(createdAt);
  const seconds = Math.floor((now - created) / 1000);
  if (seconds < 3) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return created.toLocaleString([], { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
}

/** Groups the eye can hold: 481 920, 4819 2011, ABCDE FGHJK. */
function groups(code) {
  const size = [3, 4, 5].find((size) => code.length % size === 0) ?? 4;
  return code.match(new RegExp(`.{1,${size}}`, 'gu')) ?? [code];
}

/** Sign by sign, for a voice. */
const spelled = (code) => [...code].join(' ');

function span(text) {
  const span = document.createElement('span');
  span.textContent = text;
  return span;
}

function announce(text) {
  at('announcement').textContent = text;
}

// ---- copying ----------------------------------------------------------------------------------------------------------

const thanks = new WeakMap();

async function copy(button, text) {
  let isCopied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    isCopied = copyBySelection(text); // plain HTTP under a name like app.test has no clipboard object
    button.focus();
  }
  const hint = button.querySelector('.hint');
  hint.textContent = isCopied ? 'Copied' : 'Not copied';
  button.classList.toggle('copied', isCopied);
  announce(isCopied ? 'Copied.' : 'The browser did not allow to copy.');
  clearTimeout(thanks.get(button));
  const reset = () => {
    hint.textContent = 'Copy';
    button.classList.remove('copied');
  };
  thanks.set(button, setTimeout(reset, THANKS));
}

function copyBySelection(text) {
  const field = document.createElement('textarea');
  field.className = 'unseen';
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  return isCopied;
}

// ---- beginning --------------------------------------------------------------------------------------------------------

const command = [
  `curl ${location.origin}/v1/login`,
  "-H 'content-type: application/json'",
  `-d '${JSON.stringify({ email: 'ada@example.com' })}'`,
];
at('command').replaceChildren(...command.flatMap((part) => [span(part), ' ']));
at('copy-command').addEventListener('click', () => copy(at('copy-command'), command.join(' ')));
at('empty').addEventListener('click', empty);
at('show-all').addEventListener('click', () => {
  filterBy('');
  recipient.focus();
});
recipient.value = new URL(location.href).searchParams.get('to') ?? '';
recipient.addEventListener('input', filter);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return stopPolling();
  tick();
  poll();
});
setInterval(() => document.hidden || tick(), 1000);
poll();
