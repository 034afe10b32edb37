// One socket of the native protocol that resumes. It knows frames and positions, nothing of a chat.
//
// A position is (mark, cursor). Frames are applied only where they go on from it without a gap;
// whatever else happens, the socket is opened again and goes on from the position. Commands are
// kept, with their ids, until they are answered, and sent again after every reconnect.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 15_000;
const PING_EVERY = 20_000;
const SILENCE = 10_000;

export class Connection {
  /**
   * on: {status(text), events(list), accepted(frame), refused(frame, command),
   *      reset(), signedOut(), changed()}
   * world: {WebSocket, setTimeout, clearTimeout, random, isSignedOut()}; a test gives its own.
   */
  constructor({ url, token, device, position, commands, on, world }) {
    Object.assign(this, { url, token, device, on, world });
    this.cursor = position?.cursor ?? null;
    this.mark = position?.mark ?? null;
    this.commands = new Map(commands ?? []);
    this.attempts = 0;
    this.socket = null;
    this.greeted = false; // commands may follow hello at once
    this.heard = false;
    this.timers = new Set();
    this.closed = false;
  }

  open() {
    if (this.closed || this.socket) return;
    this.on.status("connecting");
    const protocols = ["goldenpath.v1", `goldenpath.token.${this.token}`];
    const socket = new this.world.WebSocket(this.url, protocols);
    this.socket = socket;
    let opened = false;
    let retry = true;
    socket.onopen = () => {
      opened = true;
      const hello = { type: "hello", device: this.device, cursor: this.cursor };
      if (this.cursor !== null) hello.mark = this.mark;
      socket.send(JSON.stringify(hello));
      this.greeted = true;
      for (const command of this.commands.values()) this.write(command);
    };
    socket.onmessage = (message) => {
      if (socket !== this.socket) return;
      const frame = JSON.parse(message.data);
      if (frame.type === "goodbye") retry = frame.retry;
      this.heard = true;
      this.receive(frame);
    };
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      this.drop();
      if (event.code === 4401) this.on.signedOut();
      else if (!retry) this.on.status("ended");
      else if (opened) this.again();
      else this.afterRefusedUpgrade();
    };
  }

  /** A browser cannot read why an upgrade was refused, so ask. */
  async afterRefusedUpgrade() {
    const signedOut = await this.world.isSignedOut().catch(() => false);
    if (this.closed || this.socket) return;
    if (signedOut) this.on.signedOut();
    else this.again();
  }

  close() {
    this.closed = true;
    this.drop();
  }

  /** Try at once, where something says that the network is back. */
  wake() {
    if (this.closed || this.socket) return;
    this.attempts = 0;
    this.stopTimers();
    this.open();
  }

  /** Send a command, now or as soon as there is a socket; it is kept until it is answered. */
  command(frame) {
    this.commands.set(frame.id, frame);
    this.on.changed();
    this.write(frame);
  }

  /** Tell the server that everything up to here was shown. */
  acknowledge() {
    if (this.cursor !== null) this.write({ type: "ack", cursor: this.cursor });
  }

  write(frame) {
    if (this.greeted && this.socket?.readyState === 1) this.socket.send(JSON.stringify(frame));
  }

  receive(frame) {
    if (frame.type === "welcome") this.welcome(frame);
    else if (frame.type === "events") this.events(frame);
    else if (frame.type === "accepted") this.answered(frame, "accepted");
    else if (frame.type === "refused") this.refused(frame);
    // `pong` and `renewed` need nothing; types newer than this page are skipped
  }

  welcome(frame) {
    if (frame.reset) {
      this.close();
      this.on.reset();
      return;
    }
    this.cursor = frame.cursor;
    this.mark = frame.mark;
    this.attempts = 0;
    this.on.status("open");
    this.on.changed();
    this.watch();
  }

  events(frame) {
    const counted = frame.events.length + frame.hidden;
    if (frame.from !== this.cursor || frame.to - frame.from !== counted) {
      console.warn("a frame that does not go on from the position; resuming", frame.from, this.cursor);
      this.drop();
      this.again();
      return;
    }
    this.on.events(frame.events);
    this.cursor = frame.to;
    this.mark = frame.mark;
    this.on.changed();
    if (frame.events.some((event) => event.type === "agent_completed")) this.acknowledge();
  }

  refused(frame) {
    const command = this.commands.get(frame.id);
    if (command && frame.error.code === "unavailable") {
      this.later(1000 * (1 + this.world.random()), () => {
        if (this.commands.has(frame.id)) this.write(command);
      });
    } else this.answered(frame, "refused");
  }

  answered(frame, kind) {
    const command = this.commands.get(frame.id);
    if (!command) return;
    this.commands.delete(frame.id);
    this.on[kind](frame, command);
    this.on.changed();
  }

  /** A socket that is dead without saying so shows by its silence after a ping. */
  watch() {
    this.later(PING_EVERY, () => {
      this.heard = false;
      this.write({ type: "ping", id: "alive" });
      this.later(SILENCE, () => {
        if (this.heard) this.watch();
        else {
          this.drop();
          this.again();
        }
      });
    });
  }

  again() {
    this.on.status("lost");
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.attempts++);
    this.later(wait * (0.5 + this.world.random() / 2), () => this.open());
  }

  drop() {
    const socket = this.socket;
    this.socket = null;
    this.greeted = false;
    this.stopTimers();
    socket?.close();
  }

  later(wait, action) {
    const timer = this.world.setTimeout(() => {
      this.timers.delete(timer);
      if (!this.closed) action();
    }, wait);
    this.timers.add(timer);
  }

  stopTimers() {
    for (const timer of this.timers) this.world.clearTimeout(timer);
    this.timers.clear();
  }
}
