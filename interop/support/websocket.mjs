// A WebSocket client of which every byte can be wrong on purpose.
import { connect } from "node:net";
import { once } from "node:events";
import { createHash, randomBytes } from "node:crypto";
import { constants, inflateRawSync } from "node:zlib";
import { Inbox, within } from "./wait.mjs";

export const TEXT = 1;
export const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const EMPTY_BLOCK = Buffer.from([0, 0, 0xff, 0xff]);
const SYNC = { finishFlush: constants.Z_SYNC_FLUSH };

/** One client frame; masked, final and unextended unless told otherwise. */
export function frame(opcode, payload, { fin = true, masked = true, rsv = 0 } = {}) {
  const data = Buffer.from(payload);
  const mask = masked ? 0x80 : 0;
  let head;
  if (data.length < 126) head = Buffer.from([0, mask | data.length]);
  else if (data.length < 65536) {
    head = Buffer.from([0, mask | 126, 0, 0]);
    head.writeUInt16BE(data.length, 2);
  } else {
    head = Buffer.alloc(10);
    head[1] = mask | 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  if (!masked) return Buffer.concat([head, data]);
  const key = randomBytes(4);
  const hidden = Buffer.allocUnsafe(data.length);
  for (let i = 0; i < data.length; i += 1) hidden[i] = data[i] ^ key[i & 3];
  return Buffer.concat([head, key, hidden]);
}

/** The bytes of an upgrade request. */
export function upgradeRequest(path, { method = "GET", headers = {}, key = randomBytes(16).toString("base64") } = {}) {
  const all = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": key,
    ...headers,
  };
  const lines = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** Sends an upgrade request: {status, headers, ws} with `ws` after a 101, {status, headers, body} otherwise. */
export async function tryUpgrade(server, path, options = {}) {
  const socket = connect(server.port, "127.0.0.1");
  socket.setNoDelay(true);
  socket.on("error", () => {});
  await once(socket, "connect");
  const key = randomBytes(16).toString("base64");
  socket.write(upgradeRequest(path, { ...options, key }));
  let received = Buffer.alloc(0);
  const head = new Promise((resolve, reject) => {
    const look = (chunk) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", look);
      socket.pause();
      resolve(received.subarray(0, end).toString("latin1"));
      received = received.subarray(end + 4);
    };
    socket.on("data", look);
    socket.on("close", () => reject(new Error("connection closed without an answer")));
  });
  const [statusLine, ...lines] = (await within(head, "answer to the upgrade request")).split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  if (status === 101) {
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    if (headers["sec-websocket-accept"] !== accept) throw new Error("wrong Sec-WebSocket-Accept");
    return { status, statusLine, headers, ws: new RawWebSocket(socket, received) };
  }
  const chunks = [received];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.resume();
  const length = headers["content-length"];
  const whole = new Promise((resolve) => {
    const look = () => length !== undefined && Buffer.concat(chunks).length >= Number(length) && resolve();
    socket.on("data", look).on("close", resolve);
    look();
  });
  await within(whole, "body of the refused upgrade");
  socket.destroy();
  return { status, statusLine, headers, body: Buffer.concat(chunks).toString() };
}

/** Opens a WebSocket or throws. */
export async function openWebSocket(server, path, options) {
  const answer = await tryUpgrade(server, path, options);
  if (!answer.ws) throw new Error(`upgrade answered ${answer.status} ${answer.body}`);
  return answer.ws;
}

export class RawWebSocket {
  #buffer;
  #parts = [];
  #opcode = 0;
  #compressed = false;
  #inbox = new Inbox();
  #over = false;

  constructor(socket, first) {
    this.socket = socket;
    this.#buffer = first;
    this.pongs = new Inbox();
    socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#parse();
    });
    const over = () => this.#finish({ closed: true, code: undefined });
    socket.on("end", over).on("close", over);
    this.#parse();
    socket.resume();
  }

  send(data) {
    this.socket.write(typeof data === "string" ? frame(TEXT, data) : frame(BINARY, data));
  }

  /** Several messages in one write, so that they arrive together. */
  sendTogether(...messages) {
    this.socket.write(Buffer.concat(messages.map((data) => frame(typeof data === "string" ? TEXT : BINARY, data))));
  }

  sendRaw(bytes) {
    this.socket.write(bytes);
  }

  ping(payload) {
    this.socket.write(frame(PING, payload));
  }

  /** The next message: a string, a Buffer, or {closed, code}. */
  next(ms) {
    return this.#inbox.next("WebSocket message", ms);
  }

  get unread() {
    return this.#inbox.size;
  }

  /** Skips messages until the end; the close code (undefined without one). */
  async closed(ms) {
    for (;;) {
      const item = await this.next(ms);
      if (item.closed) return item.code;
    }
  }

  /** Closes politely and waits for the server's side. */
  async close() {
    this.socket.write(frame(CLOSE, Buffer.from([3, 232])));
    await this.closed();
    this.socket.destroy();
  }

  /** Goes away as when the network does. */
  drop() {
    this.socket.destroy();
  }

  #finish(item) {
    if (this.#over) return;
    this.#over = true;
    this.#inbox.push(item);
  }

  #parse() {
    for (;;) {
      const bytes = this.#buffer;
      if (bytes.length < 2) return;
      let length = bytes[1] & 0x7f;
      let at = 2;
      if (length === 126) {
        if (bytes.length < 4) return;
        length = bytes.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (bytes.length < 10) return;
        length = Number(bytes.readBigUInt64BE(2));
        at = 10;
      }
      if (bytes.length < at + length) return;
      const payload = bytes.subarray(at, at + length);
      this.#buffer = bytes.subarray(at + length);
      this.#frame(bytes[0], bytes[1], payload);
    }
  }

  #frame(first, second, payload) {
    if (second & 0x80) return this.#finish({ closed: true, code: "the server masked a frame" });
    const opcode = first & 0x0f;
    if (opcode === CLOSE) {
      this.#finish({ closed: true, code: payload.length >= 2 ? payload.readUInt16BE(0) : undefined });
      if (this.socket.writable) this.socket.end(frame(CLOSE, payload.subarray(0, 2)));
    } else if (opcode === PONG) this.pongs.push(Buffer.from(payload));
    else if (opcode === PING) this.socket.write(frame(PONG, payload));
    else {
      if (opcode !== 0) {
        this.#opcode = opcode;
        this.#compressed = (first & 0x40) !== 0;
      }
      this.#parts.push(Buffer.from(payload));
      if (!(first & 0x80)) return;
      let whole = Buffer.concat(this.#parts);
      // Without context takeover; RFC 7692, section 7.2.2.
      if (this.#compressed) whole = inflateRawSync(Buffer.concat([whole, EMPTY_BLOCK]), SYNC);
      this.#parts = [];
      if (!this.#over) this.#inbox.push(this.#opcode === TEXT ? whole.toString() : whole);
    }
  }
}
