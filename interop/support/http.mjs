// HTTP without a client's good manners: every request is written as the test says.
import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { until, within } from "./wait.mjs";

const agent = new Agent({ keepAlive: false });

/**
 * How many bytes from our `port` lie in the kernel, which the server has not read yet; undefined if it has no such
 * connection. Only Linux tells: elsewhere, 0.
 */
function unread(server, port) {
  if (process.platform !== "linux") return 0;
  // Lines read "  0: 0100007F:1F90 0100007F:D2A4 01 00000000:00000000 ...": addresses with ports, state, and the queues.
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    const ends = [local, remote].map((end) => Number.parseInt(end?.split(":")[1], 16));
    if (ends[0] === server.port && ends[1] === port) return Number.parseInt(queues.split(":")[1], 16);
  }
  return undefined;
}

/**
 * One request, one answer: {status, headers, body, bytes}. On the returned promise `abort` cuts the connection, `sent`
 * tells that all was written, and then `port()` which port of ours it has.
 */
export function fetchRaw(server, path, { method = "GET", headers = {}, body } = {}) {
  let abort;
  let written;
  let port;
  const sent = new Promise((resolve) => (written = resolve));
  const answer = new Promise((resolve, reject) => {
    const request = httpRequest({ port: server.port, host: "127.0.0.1", path, method, headers, agent });
    abort = () => request.destroy();
    request.on("error", reject);
    request.on("finish", () => {
      port = request.socket.localPort;
      written();
    });
    request.on("response", async (response) => {
      try {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, body: bytes.toString(), bytes });
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
  const promise = within(answer, `answer to ${method} ${path}`);
  promise.catch(() => {}); // an aborted request rejects when nobody looks any more
  return Object.assign(promise, { abort, sent, port: () => port });
}

/**
 * After this we can assume that the server has taken what our `port` sent: it has read it, and two later exchanges on
 * other connections were answered.
 */
export async function isTaken(server, port, path) {
  await until(() => unread(server, port) === 0, "the server reads it");
  await fetchRaw(server, `${path}?EIO=4&transport=abc`);
  await fetchRaw(server, `${path}?EIO=4&transport=abc`);
}

/** A poll of which we can assume that the server holds it. */
export async function held(server, answer, path) {
  await answer.sent;
  await isTaken(server, answer.port(), path);
  return { answer };
}

/** A TCP connection for bytes no HTTP client would send. */
export async function rawConnection(server) {
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  const chunks = [];
  let closed = false;
  let reset = false;
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => (reset = true));
  const ended = new Promise((resolve) => {
    socket.on("end", resolve);
    socket.on("close", resolve);
  }).then(() => (closed = true));
  const text = () => Buffer.concat(chunks).toString("latin1");
  return {
    socket,
    write: (data) => socket.write(data),
    text,
    get closed() {
      return closed;
    },
    get reset() {
      return reset;
    },
    ended: (ms) => within(ended, "end of the connection", ms),
    /** Waits until what was received matches. */
    async matches(pattern, ms) {
      const seen = new Promise((resolve) => {
        const look = () => pattern.test(text()) && resolve();
        socket.on("data", look);
        look();
      });
      await within(seen, `answer like ${pattern}`, ms);
      return text();
    },
    destroy: () => socket.destroy(),
  };
}

/** An Engine.IO session over HTTP long-polling. */
export class Polling {
  constructor(server, path, open, response) {
    this.server = server;
    this.open = open;
    this.sid = open.sid;
    this.response = response;
    this.query = `${path}?EIO=4&transport=polling&sid=${open.sid}`;
    this.path = path;
  }

  static async connect(server, path = "/engine.io/") {
    const response = await fetchRaw(server, `${path}?EIO=4&transport=polling`);
    if (response.status !== 200) throw new Error(`handshake answered ${response.status} ${response.body}`);
    const first = response.body.split("\x1e")[0];
    return new Polling(server, path, JSON.parse(first.slice(1)), response);
  }

  get(options) {
    return fetchRaw(this.server, this.query, options);
  }

  /** Polls until `complete` is content with the packets so far, joined as on the wire. */
  async collect(complete) {
    const bodies = [];
    while (bodies.length < 1000) {
      const { status, body } = await this.get();
      if (status !== 200) throw new Error(`a poll was answered ${status} ${body} after ${JSON.stringify(bodies)}`);
      bodies.push(body);
      const seen = bodies.join("\x1e");
      if (complete(seen)) return seen;
    }
    throw new Error(`a thousand polls did not bring it: ${bodies.slice(0, 5)}`);
  }

  post(body, headers = { "Content-Type": "text/plain;charset=UTF-8" }) {
    return fetchRaw(this.server, this.query, { method: "POST", body, headers });
  }

  /** See `held`. */
  pendingGet() {
    return held(this.server, this.get(), this.path);
  }
}
