// Engine.IO 3 by hand: payloads, and sessions in a known state.
import assert from "node:assert/strict";
import { fetchRaw, held } from "./http.mjs";
import { openWebSocket } from "./websocket.mjs";

export const TEXT = "text/plain; charset=UTF-8";
export const BYTES = "application/octet-stream";

const digits = (length) => Buffer.from([...String(length)].map(Number));

/** A payload as text: a string for each packet, a Buffer for a binary message. */
export const textPayload = (packets) =>
  packets
    .map((packet) => (typeof packet === "string" ? packet : `b4${packet.toString("base64")}`))
    .map((packet) => `${packet.length}:${packet}`)
    .join("");

/** The same as bytes. */
export const bytesPayload = (packets) =>
  Buffer.concat(
    packets.flatMap((packet) => {
      const content = typeof packet === "string" ? Buffer.from(packet) : Buffer.concat([Buffer.from([4]), packet]);
      const kind = Buffer.from([typeof packet === "string" ? 0 : 1]);
      return [kind, digits(content.length), Buffer.from([255]), content];
    }),
  );

/** The packets of the answer to a poll: strings, and Buffers for binary messages. */
export function packetsOf({ headers, body, bytes }) {
  return headers["content-type"] === BYTES ? fromBytes(bytes) : fromText(body);
}

export function fromText(body) {
  const packets = [];
  for (let rest = body; rest !== ""; ) {
    const colon = rest.indexOf(":");
    const end = colon + 1 + Number(rest.slice(0, colon));
    const packet = rest.slice(colon + 1, end);
    packets.push(packet.startsWith("b4") ? Buffer.from(packet.slice(2), "base64") : packet);
    rest = rest.slice(end);
  }
  return packets;
}

function fromBytes(body) {
  const packets = [];
  for (let rest = body; rest.length > 0; ) {
    const end = rest.indexOf(255);
    const length = Number([...rest.subarray(1, end)].join(""));
    const content = rest.subarray(end + 1, end + 1 + length);
    packets.push(rest[0] === 0 ? content.toString() : Buffer.from(content.subarray(1)));
    rest = rest.subarray(end + 1 + length);
  }
  return packets;
}

/** A polling session. */
export class OldPolling {
  static async open(server, query = "", path = "/engine.io/") {
    const self = new OldPolling();
    self.server = server;
    const base = `${path}?EIO=3&transport=polling`;
    self.response = await fetchRaw(server, base + query);
    assert.equal(self.response.status, 200, self.response.body);
    [self.handshake] = fromText(unwrap(self.response.body));
    self.sid = JSON.parse(self.handshake.slice(1)).sid;
    self.query = `${base}&sid=${self.sid}${query}`;
    self.upgrade = `${path}?EIO=3&transport=websocket&sid=${self.sid}`;
    return self;
  }

  get() {
    return fetchRaw(this.server, this.query);
  }

  /** See `held`. */
  pendingGet() {
    return held(this.server, this.get(), "/engine.io/");
  }

  /** Posts a string as text, a Buffer as bytes. */
  post(body, type = typeof body === "string" ? "text/plain;charset=UTF-8" : BYTES) {
    return fetchRaw(this.server, this.query, { method: "POST", body, headers: { "Content-Type": type } });
  }

  /** The next packets, from as many polls as bring them. */
  async packets(count) {
    const packets = [];
    while (packets.length < count) {
      const answer = await this.get();
      assert.equal(answer.status, 200, answer.body);
      packets.push(...packetsOf({ ...answer, body: unwrap(answer.body) }));
    }
    return packets;
  }
}

/** The payload of an answer, which may be a script's call. */
export function unwrap(body) {
  const call = /^___eio\[\d*\]\((".*")\);$/s.exec(body);
  return call ? JSON.parse(call[1]) : body;
}

/** A session over WebSocket, its handshake read. */
export async function oldSession(server, query = "", path = "/engine.io/") {
  const ws = await openWebSocket(server, `${path}?EIO=3&transport=websocket${query}`);
  const first = await ws.next();
  assert.equal(first[0], "0");
  ws.open = JSON.parse(first.slice(1));
  return ws;
}
