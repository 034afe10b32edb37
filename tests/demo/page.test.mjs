// Run by test_page.py: the page's protocol and Markdown, without a browser.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const { Connection } = await import(pathToFileURL(`${folder}/connection.mjs`));
const { parse } = await import(pathToFileURL(`${folder}/markdown.mjs`));

class FakeSocket {
  static all = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], readyState: 1 });
    FakeSocket.all.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  hear(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
}

function setUp(position) {
  FakeSocket.all = [];
  const seen = { events: [], status: [], accepted: [], refused: [], resets: 0, signedOut: 0 };
  const timers = [];
  const connection = new Connection({
    url: "ws://here/v1/socket", token: "t.o.k", device: "d", position, commands: [],
    on: {
      status: (s) => seen.status.push(s), events: (list) => seen.events.push(...list),
      accepted: (f) => seen.accepted.push(f.id), refused: (f) => seen.refused.push(f.error.code),
      reset: () => seen.resets++, signedOut: () => seen.signedOut++, changed() {},
    },
    world: {
      WebSocket: FakeSocket, random: () => 0.5, isSignedOut: async () => seen.expired ?? false,
      setTimeout: (action, wait) => { timers.push({ action, wait }); return timers.length - 1; },
      clearTimeout: (id) => { timers[id].action = () => {}; },
    },
  });
  connection.open();
  const fire = () => timers.splice(0).forEach((timer) => timer.action());
  return { connection, seen, timers, fire, last: () => FakeSocket.all.at(-1) };
}
const event = (seq, type = "agent_thinking") => ({ seq, type, data: {} });
const welcome = (cursor, reset = false) => ({ type: "welcome", mark: "m", cursor, head: cursor, reset });
const frame = (from, to, events, hidden = 0) => ({ type: "events", mark: "n", from, to, hidden, events });

// The token travels as a subprotocol; hello is first; commands follow; frames move the position.
{
  const { connection, seen, last } = setUp(null);
  assert.deepEqual(last().protocols, ["goldenpath.v1", "goldenpath.token.t.o.k"]);
  connection.command({ type: "send", id: "c1", text: "x" });
  assert.deepEqual(last().sent, []);
  last().onopen();
  assert.deepEqual(last().sent.map((f) => f.type), ["hello", "send"]);
  assert.deepEqual(last().sent[0], { type: "hello", device: "d", cursor: null });
  last().hear(welcome(7));
  last().hear({ type: "accepted", id: "c1" });
  last().hear(frame(7, 10, [event(8)], 2));
  last().hear(frame(10, 11, [event(11, "agent_completed")]));
  assert.deepEqual([connection.cursor, connection.mark], [11, "n"]);
  assert.deepEqual(last().sent.at(-1), { type: "ack", cursor: 11 });
  assert.deepEqual([seen.accepted, connection.commands.size], [["c1"], 0]);
}
// A drop, a gap and a repeat resume from the position; unanswered commands go again with their ids.
for (const bad of [null, frame(9, 10, [event(10)]), frame(5, 6, [event(6)]), frame(7, 10, [event(8)])]) {
  const { connection, seen, fire, timers, last } = setUp({ cursor: 7, mark: "m" });
  last().onopen();
  assert.deepEqual(last().sent[0], { type: "hello", device: "d", cursor: 7, mark: "m" });
  last().hear(welcome(7));
  connection.command({ type: "send", id: "c2", text: "y" });
  const first = last();
  if (bad) first.hear(bad); else first.onclose({ code: 1006 });
  assert.deepEqual([seen.events, seen.status.at(-1)], [[], "lost"]);
  assert.ok(timers.at(-1).wait >= 125 && timers.at(-1).wait <= 250);
  fire();
  assert.notEqual(last(), first);
  last().onopen();
  assert.deepEqual(last().sent.map((f) => [f.type, f.id ?? f.cursor]), [["hello", 7], ["send", "c2"]]);
  first.onclose({ code: 1000 }); // a late close of the old socket changes nothing
  assert.equal(connection.socket, last());
}
// Waits grow, up to a bound.
{
  const { fire, timers, last } = setUp(null);
  const waits = [];
  for (let i = 0; i < 9; i++) {
    last().onopen();
    last().onclose({ code: 1006 });
    waits.push(timers.at(-1).wait);
    fire();
  }
  assert.ok(waits[1] > waits[0] && waits.at(-1) <= 15_000 && waits.at(-1) === waits.at(-2));
}
// A reset stops here and is told; an ended token is told; goodbye without retry is the end.
{
  let world = setUp({ cursor: 7, mark: "m" });
  world.last().onopen();
  world.last().hear(welcome(3, true));
  assert.equal(world.seen.resets, 1);
  world = setUp(null);
  world.last().onopen();
  world.last().onclose({ code: 4401 });
  assert.equal(world.seen.signedOut, 1);
  world = setUp(null);
  world.last().onopen();
  world.last().hear({ type: "goodbye", code: "x", reason: "", retry: false });
  world.last().onclose({ code: 1001 });
  assert.equal(world.seen.status.at(-1), "ended");
  world = setUp(null);
  world.seen.expired = true;
  world.last().onclose({ code: 1006 }); // the upgrade was refused
  await new Promise((done) => setImmediate(done));
  assert.equal(world.seen.signedOut, 1);
}
// `unavailable` keeps the command; any other refusal is its answer.
{
  const { connection, seen, fire, last } = setUp(null);
  last().onopen();
  last().hear(welcome(0));
  connection.command({ type: "send", id: "c3", text: "z" });
  last().hear({ type: "refused", id: "c3", error: { code: "unavailable" } });
  assert.equal(connection.commands.size, 1);
  fire();
  assert.equal(last().sent.filter((f) => f.id === "c3").length, 2);
  last().hear({ type: "refused", id: "c3", error: { code: "too_large" } });
  assert.deepEqual([seen.refused, connection.commands.size], [["too_large"], 0]);
  last().hear({ type: "something_new" });
}
// Markdown: tables, lists, escapes; markup in the text stays text.
{
  const text = (node) => (typeof node === "string" ? node : node.children.map(text).join(""));
  const [sentence, table, list] = parse(
    "**a\\_b** is <img src=x> `c`\n\n| x \\| y | n |\n| --- | ---: |\n| <b> | 1 |\n| z | 2 |\n\n- *one*\n- two\\*",
  );
  assert.deepEqual([sentence.tag, text(sentence)], ["p", "a_b is <img src=x> c"]);
  assert.deepEqual(sentence.children[0], { tag: "strong", children: ["a_b"] });
  const [head, body] = table.children[0].children;
  assert.deepEqual(head.children[0].children.map(text), ["x | y", "n"]);
  assert.deepEqual(body.children.map((row) => row.children.map(text)), [["<b>", "1"], ["z", "2"]]);
  assert.equal(body.children[0].children[1].className, "right");
  assert.deepEqual([list.tag, list.children.map(text)], ["ul", ["one", "two*"]]);
  const tags = new Set();
  const walk = (node) => { if (typeof node !== "string") { tags.add(node.tag); node.children.forEach(walk); } };
  parse("<script>x</script> [a](javascript:y) | --- |\n```\n<i>\n# h\n|a\n|-\n".repeat(3)).forEach(walk);
  for (const tag of tags) assert.match(tag, /^(p|pre|code|h[2-5]|div|table|thead|tbody|tr|t[hd]|[uo]l|li|strong|em)$/);
}
console.log("ok");
