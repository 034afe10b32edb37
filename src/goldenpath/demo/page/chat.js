// The page: one conversation, shown from the events of the user's log.

import { Connection } from "./connection.js";
import { show } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// What a reload must not lose. The position is not kept: a reload shows history and goes on from it.
const kept = JSON.parse(sessionStorage.getItem("goldenpath") ?? "{}");
const keep = () => {
  kept.commands = connection ? [...connection.commands] : (kept.commands ?? []);
  sessionStorage.setItem("goldenpath", JSON.stringify(kept));
};

let connection = null;
let runs = new Map(); // run_id -> view
let questions = new Map(); // command_id -> element
let children = new Set(); // runs of sub-agents, which are not shown
let restarts = 0;

// Starting, and starting again

async function start() {
  try {
    if (!kept.token) await signIn();
    clear();
    const position = kept.thread ? await loadHistory() : null;
    connect(position);
    restarts = 0;
  } catch (error) {
    console.warn(error);
    setStatus("lost");
    setTimeout(start, Math.min(15_000, 500 * 2 ** restarts++) * (0.5 + Math.random() / 2));
  }
}

async function signIn() {
  const answer = await fetch("/demo/token", { method: "POST" });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  kept.token = (await answer.json()).token;
  kept.device = newId();
  keep();
}

const ENDED = new Set(["succeeded", "failed", "cancelled", "timed_out"]);
const get = (path) => fetch(path, { headers: { Authorization: `Bearer ${kept.token}` } });

function connect(position) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/socket`;
  connection = new Connection({
    url, position, token: kept.token, device: kept.device, commands: kept.commands,
    on: {
      status: setStatus, events: (list) => list.forEach(apply), accepted, refused,
      changed: keep, reset: start, signedOut,
    },
    world: {
      WebSocket, random: Math.random,
      setTimeout: (...args) => setTimeout(...args), clearTimeout: (id) => clearTimeout(id),
      isSignedOut: async () => (await get("/v1/me")).status === 401,
    },
  });
  for (const [id, command] of connection.commands) {
    if (command.type === "send") question(id, command.text).classList.add("unsent");
  }
  connection.open();
}

/** The token ended: begin as a new user, and ask again what was not answered. */
function signedOut() {
  connection?.close();
  connection = null;
  kept.commands = (kept.commands ?? [])
    .filter(([, command]) => command.type === "send")
    .map(([id, command]) => [id, { ...command, thread_id: null }]);
  delete kept.token;
  delete kept.thread;
  keep();
  start();
}

/** Show the thread as it is stored; gives the position from which its events go on. */
async function loadHistory() {
  const items = [];
  let position = null;
  let openRuns = [];
  let next = "";
  for (let page = 0; page < 20; page++) {
    const query = next ? `?cursor=${encodeURIComponent(next)}` : "";
    const answer = await get(`/v1/threads/${kept.thread}/messages${query}`);
    if (answer.status === 401) { delete kept.token; delete kept.thread; throw new Error("token ended"); }
    if (answer.status === 404) { delete kept.thread; return null; }
    if (!answer.ok) throw new Error(`no history: ${answer.status}`);
    const body = await answer.json();
    items.push(...body.items);
    // The first page's position: what later pages may show twice is told apart by its ids.
    position ??= { cursor: body.as_of, mark: body.mark };
    if (!page) openRuns = body.open_runs ?? [];
    next = body.next;
    if (!next) break;
  }
  items.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  for (const item of items) {
    if (item.role === "user") {
      question(item.message_id, item.text);
      if (item.run_id) view(item.run_id);
    } else if (item.run_id && ENDED.has(item.status)) {
      end(item.run_id, { status: item.status, output: item.text });
    }
  }
  for (const run of openRuns) {
    const shown = view(run.run_id);
    shown.open = true;
    for (const part of run.parts ?? []) shown.parts.set(part.part_id, part.text);
    for (const tool of run.tools ?? []) step(shown, tool.call_id, tool.tool, tool.arguments);
    draw(shown);
  }
  return position;
}

// Asking

function ask(text) {
  if (!text.trim() || !connection) return;
  // Until the first question's thread is known, a second one would begin another thread.
  if (!kept.thread && [...connection.commands.values()].some((one) => one.type === "send")) return;
  const id = newId();
  question(id, text).classList.add("unsent");
  connection.command({ type: "send", id, thread_id: kept.thread ?? null, text });
  $("text").value = "";
}

function stop() {
  for (const [runId, shown] of runs) {
    if (shown.open) connection.command({ type: "cancel", id: newId(), run_id: runId });
  }
}

function accepted(frame, command) {
  if (command.type !== "send") return;
  const shown = questions.get(frame.id);
  if (!shown) return; // of a chat that was left
  kept.thread ??= frame.thread_id;
  shown.classList.remove("unsent");
  // Asked before a reload: its events may lie before the position, so read them as history.
  if (frame.duplicate && !runs.has(frame.run_id)) {
    connection.close();
    start();
  }
}

function refused(frame, command) {
  if (command.type !== "send") return;
  const element = questions.get(frame.id);
  element?.classList.remove("unsent");
  element?.after(text("p", `Not sent: ${frame.error.message ?? frame.error.code}`, "end failed"));
}

// Events

const effects = {
  message_received(event) {
    const { command_id: id, text: asked } = event.data;
    if (!kept.thread && questions.has(id)) kept.thread = event.thread_id;
    if (event.thread_id !== kept.thread) return;
    if (!runs.has(event.run_id)) question(id, asked).classList.remove("unsent");
    view(event.run_id).open = true;
  },
  run_queued: (event, run) => note(run, `waiting, number ${event.data.position + 1}`),
  agent_started: (event, run) => note(run, `${event.data.agent} started`),
  agent_resumed: (event, run) => note(run, `resumed after a ${event.data.reason}, attempt ${event.data.attempt}`),
  agent_thinking: (event, run) => note(run, event.data.text),
  tool_executing: ({ data }, run) => step(run, data.call_id, data.tool, data.arguments),
  tool_progress({ data }, run) {
    const line = run.steps.get(data.call_id);
    if (line) line.lastChild.textContent = ` … ${data.text}`;
  },
  tool_completed({ data }, run) {
    const line = run.steps.get(data.call_id);
    if (!line) return;
    line.lastChild.textContent = data.status === "ok" ? ` ✓ ${data.duration_ms} ms` : ` ✗ ${data.error ?? data.status}`;
    line.classList.toggle("failed", data.status !== "ok");
  },
  agent_output({ data }, run) {
    const before = data.restart ? "" : (run.parts.get(data.part_id) ?? "");
    run.parts.set(data.part_id, before + data.text);
    draw(run);
  },
  approval_requested({ data }, run) {
    const line = note(run, `${data.prompt ?? data.tool ?? "the agent"} waits for you: `);
    for (const decision of ["approve", "deny"]) {
      const button = text("button", decision);
      button.type = "button";
      button.onclick = () => connection.command({ type: "decide", id: newId(), approval_id: data.approval_id, decision });
      line.append(button, " ");
    }
    run.steps.set(data.approval_id, line);
  },
  approval_resolved({ data }, run) {
    const line = run.steps.get(data.approval_id);
    if (line) line.textContent = data.decision;
  },
  agent_completed: (event) => end(event.run_id, event.data),
  thread_deleted: () => fresh(),
};

function apply(event) {
  if (event.type === "message_received") return effects.message_received(event);
  if (event.type === "agent_started" && event.data.parent_run_id) children.add(event.run_id);
  if (event.thread_id !== kept.thread || children.has(event.run_id)) return;
  const effect = effects[event.type];
  if (!effect) return; // newer than this page
  effect(event, event.run_id ? view(event.run_id) : null);
}

// Showing

function text(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}

function question(id, asked) {
  let element = questions.get(id);
  if (!element) {
    element = text("p", asked, "question");
    element.setAttribute("aria-label", "You asked");
    questions.set(id, element);
    add(element);
  }
  return element;
}

function view(runId) {
  let run = runs.get(runId);
  if (run) return run;
  const element = text("article", "", "run");
  const details = document.createElement("details");
  const list = text("ul", "", "steps");
  details.append(text("summary", "Steps"), list);
  details.hidden = true;
  const answer = text("div", "", "answer");
  element.append(details, answer);
  run = { element, details, list, answer, parts: new Map(), steps: new Map(), open: false };
  runs.set(runId, run);
  add(element);
  return run;
}

function note(run, content) {
  const line = text("li", content);
  if (run.details.hidden) run.details.open = true;
  run.details.hidden = false;
  run.list.append(line);
  run.open = true;
  busy(run);
  return line;
}

function step(run, callId, tool, args) {
  const line = note(run, `${tool} `);
  line.append(text("code", Object.values(args ?? {}).map(String).join(", ")), text("span", " …"));
  run.steps.set(callId, line);
}

function draw(run, final) {
  busy(run);
  run.wanted = final ?? [...run.parts.values()].join("");
  if (run.drawing) return;
  run.drawing = true;
  // Not requestAnimationFrame: it sleeps in a tab that is not seen, and the answer must be there.
  setTimeout(() => {
    run.drawing = false;
    const follow = isAtEnd();
    show(run.answer, run.wanted);
    if (follow) scrollToEnd();
  }, 30);
}

function end(runId, { status, output, error, duration_ms: duration }) {
  const run = view(runId);
  run.open = false;
  run.details.open = false;
  draw(run, output ?? [...run.parts.values()].join(""));
  const time = duration === undefined ? "" : ` in ${(duration / 1000).toFixed(1)} s`;
  const said = { succeeded: `answered${time}`, cancelled: "stopped", timed_out: "ran out of time" };
  run.end?.remove();
  run.end = text("p", said[status] ?? error?.message ?? "failed", `end ${status === "succeeded" ? "" : status}`);
  run.element.append(run.end);
  busy(run);
}

function busy(run) {
  run.element.classList.toggle("running", run.open);
  const open = [...runs.values()].some((one) => one.open);
  $("stop").hidden = !open;
  // A screen reader then reads a finished answer, not every piece of it.
  $("log").setAttribute("aria-busy", String(open));
}

const main = document.querySelector("main");
const isAtEnd = () => main.scrollHeight - main.scrollTop - main.clientHeight < 80;
const scrollToEnd = () => { main.scrollTop = main.scrollHeight; };

function add(element) {
  const follow = isAtEnd();
  $("log").append(element);
  $("welcome").hidden = true;
  if (follow) scrollToEnd();
}

function clear() {
  runs = new Map();
  questions = new Map();
  children = new Set();
  $("log").replaceChildren();
  $("welcome").hidden = false;
  $("stop").hidden = true;
}

function fresh() {
  delete kept.thread;
  keep();
  clear();
  $("text").focus();
}

function setStatus(state) {
  const words = { connecting: "connecting", open: "connected", lost: "connection lost, trying again", ended: "the server said goodbye; reload to go on" };
  $("status").textContent = words[state];
  $("status").className = state;
}

$("composer").onsubmit = (event) => { event.preventDefault(); ask($("text").value); };
$("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask($("text").value); }
};
$("stop").onclick = stop;
$("fresh").onclick = fresh;
for (const chip of $("chips").children) chip.onclick = () => ask(chip.textContent);
addEventListener("online", () => connection?.wake());
addEventListener("pageshow", () => connection?.wake());

start();
