// Sessions in a known state, to start a test from.
import assert from "node:assert/strict";
import { openWebSocket } from "./websocket.mjs";
import { fetchRaw, Polling } from "./http.mjs";

export const ENGINE = "/engine.io/";
export const SOCKET = "/socket.io/";
export const polling = (path = ENGINE) => `${path}?EIO=4&transport=polling`;
export const websocket = (path = ENGINE) => `${path}?EIO=4&transport=websocket`;

/** A WebSocket-only Engine.IO session, its open packet read. */
export async function engineSession(server, path = ENGINE, options) {
  const ws = await openWebSocket(server, websocket(path), options);
  const first = await ws.next();
  assert.equal(first[0], "0");
  ws.open = JSON.parse(first.slice(1));
  return ws;
}

/** A WebSocket-only Socket.IO session that has joined `/`, greeting read. */
export async function socketSession(server, nsp = "/", auth) {
  const ws = await engineSession(server, SOCKET);
  await join(ws, nsp, auth);
  return ws;
}

/** Joins a namespace; returns the socket id. */
export async function join(ws, nsp = "/", auth) {
  const prefix = nsp === "/" ? "" : `${nsp},`;
  ws.send(`40${prefix}${auth === undefined ? "" : JSON.stringify(auth)}`);
  const reply = await ws.next();
  assert.ok(String(reply).startsWith(`40${prefix}{"sid":"`), `unexpected ${JSON.stringify(reply)}`);
  assert.equal(await ws.next(), `42${prefix}["auth",${JSON.stringify(auth ?? {})}]`);
  return JSON.parse(reply.slice(2 + prefix.length)).sid;
}

/** A polling session whose upgrade has reached the answered probe. */
export async function probed(server, path = ENGINE) {
  const session = await Polling.connect(server, path);
  const ws = await openWebSocket(server, `${websocket(path)}&sid=${session.sid}`);
  ws.send("2probe");
  assert.equal(await ws.next(), "3probe");
  return { session, ws };
}

let counter = 0;
/** What is sent comes back, and comes back next. */
export async function assertEchoes(ws) {
  const text = `4still here ${(counter += 1)}`;
  ws.send(text);
  assert.equal(await ws.next(), text);
}

export async function assertPollingEchoes(session) {
  const text = `4still here ${(counter += 1)}`;
  const post = await session.post(text);
  assert.equal(post.status, 200);
  assert.equal(post.body, "ok");
  assert.equal((await session.get()).body, text);
}

/** The namespace still answers, and its answer is the next thing to arrive. */
export async function assertSocketEchoes(ws, nsp = "/") {
  const prefix = nsp === "/" ? "" : `${nsp},`;
  const n = (counter += 1);
  ws.send(`42${prefix}["echo",${n}]`);
  assert.equal(await ws.next(), `42${prefix}["echo",${n}]`);
}

export function assertRefused(response, status, code, message) {
  assert.equal(response.status, status);
  assert.equal(response.body, JSON.stringify({ code, message }));
  assert.match(response.headers["content-type"], /^application\/json\b/);
}

export const UNKNOWN_TRANSPORT = [400, 0, "Transport unknown"];
export const UNKNOWN_SID = [400, 1, "Session ID unknown"];
export const BAD_METHOD = [400, 2, "Bad handshake method"];
export const BAD_REQUEST = [400, 3, "Bad request"];
export const UNSUPPORTED = [400, 5, "Unsupported protocol version"];

/** The session is over: its id is not known any more. */
export async function assertGone(session) {
  assertRefused(await session.get(), ...UNKNOWN_SID);
}

/**
 * Sessions that mind their own business on the same server, one of each kind.
 * `assertUnharmed` afterwards: whatever a test did must not have reached them.
 */
export class Bystanders {
  static async on(server) {
    const self = new Bystanders();
    self.server = server;
    self.engine = await engineSession(server);
    self.polling = await Polling.connect(server);
    self.socket = await socketSession(server);
    return self;
  }

  async assertUnharmed() {
    this.server.assertAlive();
    await assertEchoes(this.engine);
    await assertPollingEchoes(this.polling);
    await assertSocketEchoes(this.socket);
    assert.equal((await fetchRaw(this.server, polling())).status, 200);
  }

  async leave() {
    this.engine.drop();
    this.socket.drop();
    await this.polling.post("1");
  }
}
