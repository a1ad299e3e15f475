// The official Socket.IO client for JavaScript against the server.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { once } from "node:events";
import { io } from "socket.io-client";
import { LIVELY, startConformance } from "./support/server.mjs";
import { Inbox, pace, until, within } from "./support/wait.mjs";

let server;
const sockets = new Set();
before(async () => (server = await startConformance(LIVELY)));
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

/** An inbox of all the arguments of each `name` event. */
function inbox(socket, name) {
  const box = new Inbox();
  socket.on(name, (...args) => box.push(args));
  return box;
}

function dial(nsp = "/", options = {}) {
  const socket = io(server.url + nsp, { forceNew: true, reconnection: false, ...options });
  sockets.add(socket);
  return socket;
}

async function connected(nsp, options) {
  const socket = dial(nsp, options);
  await event(socket, "connect");
  return socket;
}

async function upgradedToWebSocket(socket) {
  await until(() => socket.io.engine.transport.name === "websocket", "the transport is websocket");
}

const transports = {
  "polling only": { transports: ["polling"] },
  "websocket only": { transports: ["websocket"] },
  "polling with upgrade": {},
};

for (const [name, options] of Object.entries(transports)) {
  describe(name, () => {
    const open = async (nsp) => {
      const socket = await connected(nsp, options);
      if (name === "polling with upgrade") await upgradedToWebSocket(socket);
      return socket;
    };

    test("connects, with ids of its own for engine and socket", async () => {
      const socket = await open();
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
      assert.equal(socket.io.engine.transport.name, name === "polling only" ? "polling" : "websocket");
      assert.ok(!socket.recovered);
    });

    test("hands over the auth payload", async () => {
      for (const auth of [undefined, { token: "123", nested: [{ a: "é😀" }] }]) {
        const socket = dial("/", { ...options, auth });
        const [received] = await event(socket, "auth");
        assert.deepEqual(received, auth ?? {});
      }
    });

    test("echoes arguments of every JSON type", async () => {
      const socket = await open();
      const args = [1, -1.5, "2", "é😀\u0000\u001e", null, true, { 3: [true, { deep: [[]] }] }, []];
      const back = event(socket, "message-back");
      socket.emit("message", ...args);
      assert.deepEqual(await back, args);
    });

    test("echoes nested attachments", async () => {
      const socket = await open();
      const args = [Buffer.from([1, 2, 3]), { a: [{ b: Buffer.from([4]) }, "x"], c: Buffer.alloc(0) }, 5];
      const back = event(socket, "message-back");
      socket.emit("message", ...args);
      assert.deepEqual(await back, args);
    });

    test("echoes typed arrays and array buffers as bytes", async () => {
      const socket = await open();
      const back = event(socket, "message-back");
      socket.emit("message", new Uint8Array([1, 2, 3]).buffer, new Uint8Array([9, 8]));
      assert.deepEqual(await back, [Buffer.from([1, 2, 3]), Buffer.from([9, 8])]);
    });

    test("acknowledges with the same arguments", async () => {
      const socket = await open();
      const acked = new Promise((resolve) =>
        socket.emit("message-with-ack", 1, "2", { 3: [false] }, (...args) => resolve(args)),
      );
      assert.deepEqual(await within(acked, "ack"), [1, "2", { 3: [false] }]);
      assert.equal(await socket.timeout(30_000).emitWithAck("ack"), undefined);
    });

    test("acknowledges with attachments", async () => {
      const socket = await open();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      const acked = await socket.timeout(30_000).emitWithAck("message-with-ack", { list: [bytes] });
      assert.deepEqual(acked, { list: [bytes] });
    });

    test("times out on an event that nobody acknowledges", async () => {
      const socket = await open();
      await assert.rejects(socket.timeout(200).emitWithAck("nobody", 1), /timed out/);
      assert.equal(await socket.timeout(30_000).emitWithAck("ack", "still here"), "still here");
    });

    test("answers a hundred outstanding acknowledgements", async () => {
      const socket = await open();
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => socket.timeout(30_000).emitWithAck("ack", i)),
      );
      assert.deepEqual(answers, Array.from({ length: 100 }, (_, i) => i));
    });

    test("keeps two thousand events in order", async () => {
      const socket = await open();
      const echoes = inbox(socket, "echo");
      for (let i = 0; i < 2000; i += 1) socket.emit("echo", i, i % 100 ? "text" : Buffer.from([i & 255]));
      for (let i = 0; i < 2000; i += 1) {
        const [number, payload] = await echoes.next();
        assert.equal(number, i);
        assert.deepEqual(payload, i % 100 ? "text" : Buffer.from([i & 255]));
      }
    });

    test("uses two namespaces on one connection", async () => {
      const main = await open("/");
      const custom = main.io.socket("/custom", { auth: { who: "custom" } });
      assert.deepEqual(await event(custom, "auth"), [{ who: "custom" }]);
      assert.notEqual(main.id, custom.id);
      assert.equal(main.io, custom.io);
      assert.equal(await main.timeout(30_000).emitWithAck("ack", "main"), "main");
      assert.equal(await custom.timeout(30_000).emitWithAck("ack", "custom"), "custom");
      custom.disconnect();
      assert.equal(await main.timeout(30_000).emitWithAck("ack", "alone"), "alone");
      assert.equal(main.connected, true);
    });

    test("leaves a namespace and joins it again with a new id", async () => {
      const main = await open("/");
      const custom = main.io.socket("/custom", {});
      await event(custom, "connect");
      const first = custom.id;
      custom.disconnect();
      await main.timeout(30_000).emitWithAck("ack"); // the server has seen the packet
      custom.connect();
      await event(custom, "connect");
      assert.notEqual(custom.id, first);
    });

    test("is told that a namespace does not exist", async () => {
      const socket = dial("/random", options);
      const [error] = await event(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(error.data, undefined);
      assert.equal(socket.connected, false);
    });

    test("survives a refused namespace on the same connection", async () => {
      const main = await open("/");
      const random = main.io.socket("/random", {});
      const [error] = await event(random, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(await main.timeout(30_000).emitWithAck("ack", 1), 1);
    });

    test("receives what is said in its rooms, and nothing else", async () => {
      const members = await Promise.all([open(), open(), open()]);
      const outsider = await open();
      const heard = members.map((member) => inbox(member, "bcast"));
      const overheard = inbox(outsider, "bcast");
      const room = `room ${name}`;
      for (const member of members) await member.timeout(30_000).emitWithAck("join", room);
      await outsider.timeout(30_000).emitWithAck("join", `${room}, the other`);
      for (let i = 0; i < 20; i += 1) {
        members[i % 3].emit("bcast", room, { i, bytes: Buffer.from([i]) });
        // One after the other, so that there is one order to expect.
        for (const box of heard) assert.deepEqual(await box.next(), [{ i, bytes: Buffer.from([i]) }]);
      }
      await outsider.timeout(30_000).emitWithAck("ack");
      assert.equal(overheard.size, 0);
    });

    test("sends and receives nearly a megabyte", async () => {
      const socket = await open();
      const text = "é".repeat(450_000);
      assert.equal(await socket.timeout(30_000).emitWithAck("ack", text), text);
      const size = name === "polling only" ? 700_000 : 950_000; // base64 takes a third more
      const bytes = Buffer.alloc(size, 0xa5);
      assert.deepEqual(await socket.timeout(30_000).emitWithAck("ack", bytes), bytes);
    });

    test("sends more than a megabyte in several packets at once", async () => {
      const socket = await open();
      const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(400_000));
      const answers = await Promise.all(texts.map((text) => socket.timeout(30_000).emitWithAck("ack", text)));
      assert.deepEqual(answers, texts);
    });

    test("stays connected over many pings", async () => {
      const socket = await open();
      let pings = 0;
      socket.io.on("ping", () => (pings += 1));
      await until(() => pings >= 4, "four pings");
      assert.equal(await socket.timeout(30_000).emitWithAck("ack", "alive"), "alive");
    });

    test("disconnects on its own wish and connects again", async () => {
      const socket = await open();
      const gone = event(socket, "disconnect");
      const first = socket.id;
      socket.disconnect();
      assert.deepEqual((await gone)[0], "io client disconnect");
      socket.connect();
      await event(socket, "connect");
      assert.notEqual(socket.id, first);
      assert.equal(await socket.timeout(30_000).emitWithAck("ack", 1), 1);
    });

    test("is thrown out for a message that is too large, and nobody else", async () => {
      const [large, other] = [await open(), await open()];
      const gone = event(large, "disconnect");
      large.emit("message", "x".repeat(1_100_000));
      assert.match((await gone)[0], /^transport (error|close)$/);
      assert.equal(await other.timeout(30_000).emitWithAck("ack", 1), 1);
    });

    test("comes back when the server was killed and started again", { timeout: 60_000 }, async () => {
      const own = await startConformance(LIVELY);
      let again;
      const socket = io(own.url, {
        ...options,
        forceNew: true,
        reconnectionDelay: 50,
        reconnectionDelayMax: 200,
        auth: { again: true },
      });
      sockets.add(socket);
      try {
        await event(socket, "connect");
        const first = socket.id;
        const gone = event(socket, "disconnect");
        await own.stop();
        assert.match((await gone)[0], /^(transport close|transport error|ping timeout)$/);
        socket.emit("echo", "buffered"); // kept by the client until it is back
        const echo = event(socket, "echo");
        const auth = event(socket, "auth");
        again = await startConformance({ ...LIVELY, port: own.port });
        assert.deepEqual(await auth, [{ again: true }]);
        assert.deepEqual(await echo, ["buffered"]);
        assert.notEqual(socket.id, first);
        assert.equal(await socket.timeout(30_000).emitWithAck("ack", "back"), "back");
      } finally {
        socket.disconnect();
        await again?.stop();
      }
    });
  });
}

test("events sent during the upgrade are neither lost nor doubled nor reordered", async () => {
  for (let round = 0; round < 5; round += 1) {
    const socket = dial();
    const echoes = inbox(socket, "echo");
    await event(socket, "connect");
    let sent = 0;
    let after = 0;
    while (after < 50) {
      socket.emit("echo", sent, sent % 7 ? null : Buffer.from([sent & 255]));
      sent += 1;
      if (socket.io.engine.transport.name === "websocket") after += 1;
      if (sent % 3 === 0) await pace();
    }
    for (let i = 0; i < sent; i += 1) assert.equal((await echoes.next())[0], i);
    assert.equal(echoes.size, 0);
    socket.disconnect();
  }
});

test("a websocket client and a polling client talk in a room", async () => {
  const [one, two] = [
    await connected("/custom", transports["polling only"]),
    await connected("/custom", transports["websocket only"]),
  ];
  const heard = [inbox(one, "bcast"), inbox(two, "bcast")];
  for (const socket of [one, two]) await socket.timeout(30_000).emitWithAck("join", "mixed");
  one.emit("bcast", "mixed", ["from polling", Buffer.from([1])]);
  for (const box of heard) assert.deepEqual(await box.next(), [["from polling", Buffer.from([1])]]);
  two.emit("bcast", "mixed", "from websocket");
  for (const box of heard) assert.deepEqual(await box.next(), ["from websocket"]);
});

test("fifty clients at once", async () => {
  const all = await Promise.all(Array.from({ length: 50 }, () => connected("/", transports["websocket only"])));
  assert.equal(new Set(all.map((socket) => socket.id)).size, 50);
  const answers = await Promise.all(all.map((socket, i) => socket.timeout(30_000).emitWithAck("ack", i)));
  assert.deepEqual(answers, all.map((_, i) => i));
});
