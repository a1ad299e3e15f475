// The official Engine.IO client for JavaScript against the echo server.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Socket } from "engine.io-client";
import { HASTY, LIVELY, startConformance } from "./support/server.mjs";
import { Inbox, pace, until, within } from "./support/wait.mjs";

let server;
const sockets = new Set();
before(async () => (server = await startConformance(LIVELY)));
afterEach(() => {
  for (const socket of sockets) socket.close();
  sockets.clear();
  server.assertAlive();
});
after(() => server.stop());

const event = (emitter, name, ms) =>
  within(new Promise((resolve) => emitter.once(name, (...args) => resolve(args))), name, ms);

function dial(options = {}, target = server) {
  const socket = new Socket(target.url, { path: "/engine.io", ...options });
  socket.binaryType = "nodebuffer";
  socket.inbox = new Inbox();
  socket.on("message", (data) => socket.inbox.push(data));
  sockets.add(socket);
  return socket;
}

const transports = {
  "polling only": { transports: ["polling"] },
  "websocket only": { transports: ["websocket"] },
  "polling with upgrade": { transports: ["polling", "websocket"] },
};

for (const [name, options] of Object.entries(transports)) {
  describe(name, () => {
    const open = async (target) => {
      const socket = dial(options, target);
      await event(socket, "open");
      if (name === "polling with upgrade") {
        await until(() => socket.transport.name === "websocket", "the transport is websocket");
      }
      return socket;
    };

    test("opens", async () => {
      const socket = await open();
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.equal(socket.transport.name, name === "polling only" ? "polling" : "websocket");
    });

    test("echoes text and bytes", async () => {
      const socket = await open();
      const messages = ["hello", "", "é😀\u0000", "2", "b64", Buffer.from([1, 2, 3, 4]), Buffer.alloc(0), Buffer.alloc(1000, 255)];
      for (const message of messages) socket.send(message);
      for (const message of messages) {
        const back = await socket.inbox.next();
        // The packet of an empty text has no data at all on the wire.
        assert.deepEqual(back ?? "", message);
      }
    });

    test("keeps three thousand messages in order", async () => {
      const socket = await open();
      for (let i = 0; i < 3000; i += 1) socket.send(i % 10 ? `message ${i}` : Buffer.from([i & 255, i >> 8]));
      for (let i = 0; i < 3000; i += 1) {
        assert.deepEqual(await socket.inbox.next(), i % 10 ? `message ${i}` : Buffer.from([i & 255, i >> 8]));
      }
    });

    test("sends large messages, several at once", async () => {
      const socket = await open();
      const messages = Array.from({ length: 6 }, (_, i) => (i % 2 ? String(i).repeat(600_000) : Buffer.alloc(600_000, i)));
      for (const message of messages) socket.send(message);
      for (const message of messages) {
        const back = await socket.inbox.next(8000);
        assert.ok(typeof message === "string" ? back === message : message.equals(back));
      }
    });

    test("answers pings for several rounds", async () => {
      const socket = await open();
      let pings = 0;
      socket.on("ping", () => (pings += 1));
      await until(() => pings >= 5, "five pings");
      socket.send("alive");
      assert.equal(await socket.inbox.next(), "alive");
    });

    test("closes, and the server forgets it", async () => {
      const socket = await open();
      const closed = event(socket, "close");
      socket.close();
      assert.equal((await closed)[0], "forced close");
      await until(async () => {
        const response = await fetch(`${server.url}/engine.io/?EIO=4&transport=polling&sid=${socket.id}`);
        return response.status === 400 && (await response.json()).code === 1;
      }, "the session is unknown");
    });

    test("is closed when the server is killed", async () => {
      const own = await startConformance(LIVELY);
      try {
        const socket = await open(own);
        const closed = event(socket, "close");
        await own.stop();
        assert.match((await closed)[0], /^(transport close|transport error|ping timeout)$/);
      } finally {
        await own.stop();
      }
    });

    test("is closed when it stops answering pings", async () => {
      const own = await startConformance(HASTY);
      try {
        const socket = await open(own);
        const closed = event(socket, "close");
        const send = socket._sendPacket;
        socket._sendPacket = (type, ...rest) => type !== "pong" && send.call(socket, type, ...rest);
        assert.match((await closed)[0], /^(transport close|transport error|ping timeout)$/);
      } finally {
        await own.stop();
      }
    });
  });
}

test("messages sent during the upgrade are neither lost nor doubled nor reordered", async () => {
  for (let round = 0; round < 10; round += 1) {
    const socket = dial();
    await event(socket, "open");
    let sent = 0;
    let after = 0;
    while (after < 50) {
      socket.send(sent % 5 ? `${sent}` : Buffer.from([sent & 255, (sent >> 8) & 255]));
      sent += 1;
      if (socket.transport.name === "websocket") after += 1;
      if (sent % 3 === 0) await pace();
    }
    for (let i = 0; i < sent; i += 1) {
      assert.deepEqual(await socket.inbox.next(), i % 5 ? `${i}` : Buffer.from([i & 255, (i >> 8) & 255]));
    }
    assert.equal(socket.inbox.size, 0);
    socket.close();
  }
});

test("twenty clients upgrade at once", async () => {
  const all = Array.from({ length: 20 }, () => dial());
  await Promise.all(all.map((socket) => event(socket, "open")));
  all.forEach((socket, i) => socket.send(`mine is ${i}`));
  await until(() => all.every((socket) => socket.transport.name === "websocket"), "all are upgraded");
  for (const [i, socket] of all.entries()) assert.equal(await socket.inbox.next(), `mine is ${i}`);
});

test("an unknown path is an error and no crash", async () => {
  const socket = dial({ path: "/elsewhere" });
  const [error] = await event(socket, "error");
  assert.match(String(error), /xhr poll error|Error/);
});
