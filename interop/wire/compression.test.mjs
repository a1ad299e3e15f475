// permessage-deflate (RFC 7692; protocol.md A.11, A.13) and compressed polls, with frames of our own and with
// npm's clients. Vectors are those of RFC 7692, section 7.2.3.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { deflateRawSync, gunzipSync, inflateRawSync, inflateSync, constants } from "node:zlib";
import { io } from "socket.io-client";
import { expected, ours, USUAL, startConformance } from "../support/server.mjs";
import { fetchRaw, Polling } from "../support/http.mjs";
import { frame, TEXT, tryUpgrade } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { websocket } from "../support/session.mjs";
import { until, within } from "../support/wait.mjs";

// The WebSocket that npm's packages bring.
const require = createRequire(createRequire(import.meta.url).resolve("engine.io"));
const WebSocket = require("ws");

const FLAGS = { ...USUAL, deflate: true, "http-compression": true };
const LONG = "all work and no play ".repeat(300);
const context = onOneServer(FLAGS);

/** What a message is on the wire: raw deflate up to a point where all of it is there, without the last four bytes. */
function squeezed(text, options = {}) {
  const whole = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
  return whole.subarray(0, whole.length - 4);
}
const spread = (bytes) =>
  inflateRawSync(Buffer.concat([bytes, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: constants.Z_SYNC_FLUSH });

const offering = (extensions) => ({ headers: { "Sec-WebSocket-Extensions": extensions } });
const answerTo = async (extensions, server = context.server) => {
  const { status, headers, ws } = await tryUpgrade(server, websocket(), offering(extensions));
  ws?.drop();
  return status === 101 ? (headers["sec-websocket-extensions"] ?? null) : status;
};
const parts = (answer) => answer?.split(";").map((part) => part.trim()).sort();

/** A session on which frames can be compressed by hand. */
async function session(extensions = "permessage-deflate") {
  const { ws } = await tryUpgrade(context.server, websocket(), offering(extensions));
  assert.equal((await ws.next())[0], "0");
  return ws;
}

describe("an offer of permessage-deflate", () => {
  const BOTH = ["client_no_context_takeover", "permessage-deflate", "server_no_context_takeover"];
  for (const [offer, answer] of [
    ["permessage-deflate", BOTH],
    ["permessage-deflate; client_max_window_bits", BOTH],
    ["permessage-deflate; server_max_window_bits=10", [...BOTH, "server_max_window_bits=10"]],
    ["x-other, permessage-deflate; server_no_context_takeover", BOTH],
  ]) {
    test(`is taken: ${offer}`, async () => assert.deepEqual(parts(await answerTo(offer)), answer.toSorted()));
  }

  for (const offer of [
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; unknown",
  ]) {
    test(`that is not legal is declined: ${offer}`, async () => {
      assert.equal(await answerTo(offer), expected({ reference: 400, sansocket: null }));
      if (ours) assert.deepEqual(parts(await answerTo(`${offer}, permessage-deflate`)), BOTH);
    });
  }

  test("of other extensions alone is not answered", async () => assert.equal(await answerTo("x-other"), null));
});

describe("a compressed message", () => {
  test("is read, and answered in kind", async () => {
    const ws = await session();
    const raw = frame(TEXT, squeezed(`4${LONG}`), { rsv: 4 });
    assert.ok(raw.length < 200);
    ws.sendRaw(raw);
    assert.equal(await ws.next(), `4${LONG}`);
    ws.drop();
    // npm's says how many bytes came.
    const again = await new Promise((resolve, reject) => {
      const client = new WebSocket(`${context.server.url.replace("http", "ws")}${websocket()}`);
      client.on("message", (data) => {
        if (data.toString().startsWith("0")) return client.send(`4${LONG}`);
        resolve([data.toString(), client.extensions, client._socket.bytesRead]);
        client.terminate();
      });
      client.on("error", reject);
    });
    assert.deepEqual(again.slice(0, 2), [`4${LONG}`, "permessage-deflate"]);
    assert.ok(again[2] < 1500, `${again[2]} bytes`);
  });

  test("in fragments, with control frames between, is one message", async () => {
    const ws = await session();
    const bytes = squeezed("4fragments of one message");
    ws.sendRaw(frame(TEXT, bytes.subarray(0, 3), { fin: false, rsv: 4 }));
    ws.ping("between");
    ws.sendRaw(frame(0, bytes.subarray(3, 4), { fin: false }));
    ws.sendRaw(frame(0, bytes.subarray(4)));
    assert.equal((await ws.pongs.next()).toString(), "between");
    assert.equal(await ws.next(), "4fragments of one message");
    ws.drop();
  });

  for (const [name, bytes] of [
    ["a block that is not compressed", [0x00, 0x02, 0x00, 0xfd, 0xff, 0x34, 0x78, 0x00]],
    ["a last block, and an empty one", [...deflateRawSync("4x"), 0x00]],
  ]) {
    test(`of ${name} is read`, async () => {
      const ws = await session();
      ws.sendRaw(frame(TEXT, Buffer.from(bytes), { rsv: 4 }));
      assert.equal(await ws.next(), "4x");
      ws.drop();
    });
  }

  for (const [name, code, bytes] of [
    ["on a continuation", 1002, () => [frame(TEXT, "4x", { fin: false }), frame(0, "y", { rsv: 4 })]],
    ["on a ping", 1002, () => [frame(9, "x", { rsv: 4 })]],
    ["in another reserved bit", 1002, () => [frame(TEXT, squeezed("4x"), { rsv: 6 })]],
    ["of what is no deflate", 1007, () => [frame(TEXT, Buffer.from([0xff, 0xff, 0xff]), { rsv: 4 })]],
  ]) {
    test(`${name} ends the session with ${code}`, async () => {
      const ws = await session();
      ws.sendRaw(Buffer.concat(bytes()));
      assert.equal(await ws.closed(), code);
    });
  }

  test("that is cut short ends the session with 1007", { skip: !ours && "delivers what there is" }, async () => {
    const ws = await session();
    const bytes = squeezed(`4${LONG}`);
    ws.sendRaw(frame(TEXT, bytes.subarray(0, bytes.length - 1), { rsv: 4 }));
    assert.equal(await ws.closed(), 1007);
  });

  test("that holds more than maxPayload ends the session with 1009", async () => {
    const ws = await session();
    const bomb = squeezed(Buffer.alloc(200_000_000, "x"), { level: 9 });
    assert.ok(bomb.length < 250_000);
    ws.sendRaw(frame(TEXT, bomb, { rsv: 4 }));
    assert.equal(await ws.closed(), 1009);
  });

  test("of exactly maxPayload passes, and many of them", async () => {
    const ws = await session();
    const bytes = squeezed(`4${"x".repeat(999_999)}`);
    for (let i = 0; i < 20; i += 1) ws.sendRaw(frame(TEXT, bytes, { rsv: 4 }));
    const answers = [];
    for (let i = 0; i < 20; i += 1) answers.push(await ws.next());
    assert.equal(new Set(answers).size, 1);
    ws.drop();
  });
});

describe("npm's client", () => {
  const settings = [
    {},
    { "deflate-takeover": true },
    { "deflate-window": 9 },
    { "deflate-takeover": true, "deflate-window": 10 },
  ];
  const clients = [
    {},
    { threshold: 0 },
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    { threshold: 0, serverMaxWindowBits: 10, clientMaxWindowBits: 11 },
  ];
  for (const flags of settings) {
    test(`speaks with a server of ${JSON.stringify(flags)}`, async () => {
      const server = await startConformance({ ...FLAGS, ...flags });
      try {
        for (const perMessageDeflate of clients) {
          for (const transports of [["websocket"], ["polling", "websocket"]]) {
            const socket = io(server.url, { transports, perMessageDeflate, forceNew: true });
            await within(new Promise((resolve) => socket.on("auth", resolve)), "the greeting");
            if (transports.length > 1) {
              await until(() => socket.io.engine.transport.name === "websocket", "the upgrade");
            }
            assert.equal(socket.io.engine.transport.ws.extensions, "permessage-deflate");
            for (const text of ["", "x", LONG, LONG.slice(5), "é😀".repeat(5000)]) {
              const binary = Buffer.from(text);
              const [back, bytes] = await within(
                new Promise((resolve) => socket.emit("ack", text, binary, (...args) => resolve(args))),
                "the answer",
              );
              assert.equal(back, text);
              assert.deepEqual(bytes, binary);
            }
            socket.close();
          }
        }
        server.assertAlive();
      } finally {
        await server.stop();
      }
    });
  }

  test("gets an event as it is when the application says so", async () => {
    const socket = io(context.server.url, { transports: ["websocket"], forceNew: true });
    await within(new Promise((resolve) => socket.on("auth", resolve)), "the greeting");
    const bytes = () => socket.io.engine.transport.ws._socket.bytesRead;
    const cost = async (event) => {
      const before = bytes();
      const answer = new Promise((resolve) => socket.once(event, resolve));
      socket.emit(event, LONG);
      assert.equal(await within(answer, "the answer"), LONG);
      return bytes() - before;
    };
    assert.ok((await cost("echo")) < 500);
    // The reference has the flag, and on WebSockets does not look at it.
    if (ours) assert.ok((await cost("as-is")) > LONG.length);
    socket.close();
  });

  test("hears a broadcast, whatever its neighbours have agreed on", async () => {
    const options = [false, {}, { serverMaxWindowBits: 9 }, { threshold: 0 }, false];
    const sockets = options.map((perMessageDeflate) =>
      io(context.server.url, { transports: ["websocket"], perMessageDeflate, forceNew: true }),
    );
    await within(Promise.all(sockets.map((socket) => new Promise((resolve) => socket.on("auth", resolve)))), "greetings");
    for (const socket of sockets) socket.emit("join", "deflated");
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.emit("ack", resolve))));
    const heard = sockets.map((socket) => new Promise((resolve) => socket.on("bcast", resolve)));
    sockets[0].emit("bcast", "deflated", LONG);
    assert.deepEqual(await within(Promise.all(heard), "the broadcast"), sockets.map(() => LONG));
    for (const socket of sockets) socket.close();
  });
});

describe("a poll", () => {
  /** The answer to a poll for a message of that many bytes, in all. */
  async function polled(accepts, bytes) {
    const session = await Polling.connect(context.server);
    await session.post(`4${"x".repeat(bytes - 1)}`);
    const headers = accepts === undefined ? {} : { "accept-encoding": accepts };
    return fetchRaw(context.server, `/engine.io/?EIO=4&transport=polling&sid=${session.sid}`, { headers });
  }

  for (const [accepts, bytes, encoding] of [
    ["gzip", 1024, "gzip"],
    ["gzip", 1023, undefined],
    ["gzip, deflate, br", 5000, "gzip"],
    ["deflate", 5000, "deflate"],
    ["gzip;q=0.5, deflate", 5000, "deflate"],
    ["gzip;q=0, deflate", 5000, "deflate"],
    ["br", 5000, undefined],
    ["gzip;q=0", 5000, undefined],
    [undefined, 5000, undefined],
  ]) {
    test(`of ${bytes} bytes with Accept-Encoding ${accepts} comes as ${encoding ?? "it is"}`, async () => {
      const answer = await polled(accepts, bytes);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers["content-encoding"], encoding);
      const plain = { gzip: gunzipSync, deflate: inflateSync }[encoding]?.(answer.bytes) ?? answer.bytes;
      assert.equal(plain.toString(), `4${"x".repeat(bytes - 1)}`);
      if (encoding) assert.ok(answer.bytes.length < 100);
    });
  }
});

test("what we squeeze for these tests is what it was", () => {
  assert.equal(spread(squeezed(LONG)).toString(), LONG);
});
