// MessagePack, at both ends: npm's client with its parser against the server, and peers that have another parser than
// the server; all clients in one room. Python's own tests are in python/test_msgpack.py, and our own client in client/msgpack.test.mjs.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { once } from "node:events";
import { io } from "socket.io-client";
import msgpack from "socket.io-msgpack-parser";
import { pythonMember, rustMember, socketMember, talk } from "./support/members.mjs";
import { LIVELY, ours, startConformance } from "./support/server.mjs";
import { Inbox, until, within } from "./support/wait.mjs";

let server;
const sockets = new Set();
before(async () => (server = await startConformance({ ...LIVELY, parser: "msgpack" })));
afterEach(() => {
  for (const socket of sockets) {
    socket.disconnect();
    socket.io._close();
  }
  sockets.clear();
  server.assertAlive();
});
after(() => server.stop());

const event = (emitter, name, ms) => within(once(emitter, name), name, ms);

function dial(nsp = "/", options = {}) {
  const socket = io(server.url + nsp, { forceNew: true, reconnection: false, parser: msgpack, ...options });
  sockets.add(socket);
  return socket;
}

/** What npm's parser hands out: the ArrayBuffers and typed arrays that were sent as they come back. */
const VALUES = [
  [1, -1.5, "2", "é😀\u0000\u001e", null, true, { 3: [true, { deep: [[]] }] }, []],
  [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, 2 ** 63],
  [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER, -(2 ** 63)],
  // npm's parser writes whole numbers beyond 64 bits as 0.
  [NaN, Infinity, -Infinity, 1e-300, 5e-324],
  [new Date(0), new Date(1_700_000_000_123), new Date(-1), { at: [new Date(8.64e15)] }],
  [undefined, { a: undefined, b: null }, [undefined]],
  [Buffer.from([1, 2, 3]), { a: [{ b: Buffer.from([4]) }, "x"], c: Buffer.alloc(0) }, Buffer.alloc(70_000, 7)],
  ["x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65_536)],
  [Array.from({ length: 70_000 }, (_, i) => i % 100), Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i]))],
  [new Uint8Array([1, 2, 3]).buffer],
  Array.from({ length: 20 }, (_, i) => i),
  [{ _placeholder: true, num: 0 }],
];

const transports = {
  "polling only": { transports: ["polling"] },
  "websocket only": { transports: ["websocket"] },
  "polling with upgrade": {},
};

for (const [name, options] of Object.entries(transports)) {
  describe(name, () => {
    const open = async (nsp) => {
      const socket = dial(nsp, options);
      await event(socket, "connect");
      if (name === "polling with upgrade") {
        await until(() => socket.io.engine.transport.name === "websocket", "the transport is websocket");
      }
      return socket;
    };

    test("hands over the auth payload", async () => {
      for (const auth of [undefined, { token: "123", nested: [{ a: "é😀" }] }]) {
        const socket = dial("/", { ...options, auth });
        const [received] = await event(socket, "auth");
        assert.deepEqual(received, auth ?? {});
        assert.match(socket.id, /^[\w-]{20}$/);
      }
    });

    test("echoes every value that the parser knows", async () => {
      const socket = await open();
      for (const args of VALUES) {
        const back = event(socket, "message-back");
        socket.emit("message", ...args);
        assert.deepEqual(await back, args);
      }
    });

    test("acknowledges with the same arguments", async () => {
      const socket = await open("/custom");
      for (const args of VALUES) {
        const acked = new Promise((resolve) => socket.emit("ack", ...args, (...back) => resolve(back)));
        assert.deepEqual(await within(acked, "acknowledgement"), args);
      }
      const nothing = new Promise((resolve) => socket.emit("ack", (...back) => resolve(back)));
      assert.deepEqual(await within(nothing, "acknowledgement"), []);
    });

    test("a broadcast reaches a room, over every transport", async () => {
      const listeners = [];
      for (const others of Object.values(transports)) {
        const socket = dial("/", others);
        await event(socket, "connect");
        await within(socket.emitWithAck("join", `room of ${name}`), "join");
        const inbox = new Inbox();
        socket.on("bcast", (...args) => inbox.push(args));
        listeners.push(inbox);
      }
      const socket = await open();
      const payload = { n: 1, bytes: Buffer.from([1, 2, 3]), at: new Date(5) };
      socket.emit("bcast", `room of ${name}`, payload);
      for (const inbox of listeners) assert.deepEqual(await inbox.next("broadcast"), [payload]);
    });

    test("many messages in both directions stay in order", async () => {
      const socket = await open();
      const inbox = new Inbox();
      socket.on("echo", (...args) => inbox.push(args));
      const count = 300;
      for (let i = 0; i < count; i++) socket.emit("echo", i, Buffer.from([i % 256]));
      for (let i = 0; i < count; i++) assert.deepEqual(await inbox.next("echo"), [i, Buffer.from([i % 256])]);
    });

    test("a namespace that does not exist is refused, and one is left without the others", async () => {
      const socket = await open();
      const missing = socket.io.socket("/missing");
      const [error] = await event(missing, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      const custom = socket.io.socket("/custom");
      if (!custom.connected) await event(custom, "connect");
      custom.disconnect();
      assert.equal(await within(socket.emitWithAck("ack", 1), "acknowledgement"), 1);
    });
  });
}

test("npm's client, python-socketio and our own talk in one room", async () => {
  const kinds = ["polling", "websocket", "upgrade"];
  const joining = Object.entries(transports).map(async ([name, options]) => {
    const socket = dial("/", options);
    await event(socket, "connect");
    return socketMember(name, socket);
  });
  joining.push(...kinds.map((transport) => pythonMember(server.url, transport, "msgpack")));
  if (ours) joining.push(...kinds.map((transport) => rustMember(server.url, transport, "msgpack")));
  const joined = await Promise.allSettled(joining);
  const members = joined.flatMap(({ value }) => value ?? []);
  try {
    for (const { reason } of joined) assert.ifError(reason);
    await talk(members, [
      { text: "hello é 😀", list: [1, -1.5, null, true, { deep: ["x"] }] },
      "line\nbreak",
      2 ** 40,
      { image: Buffer.from([0, 1, 2, 255]), beside: [Buffer.alloc(70_000, 9)] },
      Buffer.from("€"),
    ]);
  } finally {
    for (const member of members) await member.leave();
  }
});

describe("another parser", () => {
  for (const [name, options] of Object.entries(transports)) {
    test(`a client with the default parser is closed: ${name}`, async () => {
      const socket = dial("/", { ...options, parser: undefined });
      // npm's client takes `undefined` for its own.
      const [reason] = await event(socket.io, "close");
      assert.equal(reason, name === "polling only" ? reason : "transport close");
      assert.ok(!socket.connected);
    });
  }

  test("a client with this parser is closed by a server with the default one, which says why", async () => {
    const plain = await startConformance({ ...LIVELY });
    try {
      const socket = io(plain.url, { forceNew: true, reconnection: false, parser: msgpack, transports: ["websocket"] });
      sockets.add(socket);
      await event(socket.io, "close");
      assert.ok(!socket.connected);
      plain.assertAlive();
    } finally {
      await plain.stop();
    }
  });

  test("others are not disturbed", async () => {
    const steady = dial();
    await event(steady, "connect");
    const wrong = dial("/", { parser: undefined });
    await event(wrong.io, "close");
    assert.equal(await within(steady.emitWithAck("ack", 7), "acknowledgement"), 7);
    assert.ok(ours || steady.connected);
  });
});
