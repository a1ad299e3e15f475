// Connection state recovery: npm's socket.io-client, whose connection is cut in the middle of a conversation, at many bytes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial, createServer } from "node:net";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { ours, startConformance, USUAL } from "./support/server.mjs";
import { until } from "./support/wait.mjs";

const EVENTS = 12;
let server;
let sender;

before(async () => {
  server = await startConformance({ ...USUAL, recovery: 20_000 });
  sender = io(server.url, { transports: ["websocket"], forceNew: true });
  await once(sender, "connect");
});

after(async () => {
  sender?.close();
  await server?.stop();
});

/**
 * A way to the server that is cut once, after so many bytes in one direction. With `unnoticed`, only the client's side is
 * closed: the server still has the connection. `withheld` is the number of bytes that had come and were not passed on: if
 * there are any, the client cannot but notice.
 */
async function road({ down, unnoticed = false }) {
  let left = Infinity;
  const seen = { cuts: 0, withheld: 0, isShut: false };
  const open = new Set();
  const proxy = createServer((near) => {
    if (seen.isShut) return near.destroy();
    const far = dial(server.port, "127.0.0.1");
    open.add(near).add(far);
    const cut = () => {
      near.destroy();
      if (!unnoticed) far.destroy();
    };
    const pass = (from, to, counted) =>
      from.on("data", (data) => {
        if (!counted || data.length < left) {
          if (counted) left -= data.length;
          to.write(data);
          return;
        }
        to.write(data.subarray(0, left), cut);
        seen.withheld = data.length - left;
        left = Infinity;
        seen.cuts += 1;
        // Whatever else is open goes, too: it is the network that is lost.
        for (const socket of open) if (socket !== to && !(unnoticed && socket.isFar)) socket.destroy();
      });
    far.isFar = true;
    pass(near, far, !down);
    pass(far, near, down);
    for (const [a, b] of [[near, far], [far, near]]) {
      a.on("error", () => {}).on("close", () => {
        open.delete(a);
        if (!(unnoticed && b.isFar && seen.cuts > 0)) b.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    seen,
    arm: (bytes) => (left = bytes),
    close() {
      for (const socket of open) socket.destroy();
      proxy.close();
    },
  };
}

let rooms = 0;

async function conversation(transports, way, bytes) {
  const label = `${transports} cut after ${bytes} bytes ${JSON.stringify(way)}`;
  const through = await road(way);
  const client = io(through.url, {
    transports,
    forceNew: true,
    reconnectionDelay: 5,
    reconnectionDelayMax: 20,
    randomizationFactor: 0,
  });
  try {
    const heard = [];
    client.on("bcast", (number) => heard.push(number));
    // Not every cut is a loss: behind the last byte of an answer nothing is open that the client would miss.
    let losses = 0;
    client.on("disconnect", () => (losses += 1));
    const room = `room ${(rooms += 1)}`;
    await once(client, "connect");
    if (transports[1]) await once(client.io.engine, "upgrade");
    await client.emitWithAck("join", room);
    const { id } = client;
    assert.equal(client.recovered ?? false, false);
    through.arm(bytes);
    let sent = 0;
    // At least so many, and until the cut has come.
    const say = async () => {
      sender.emit("bcast", room, (sent += 1));
      // What the client sends is cut, too.
      client.volatile.emit("sink");
      await new Promise((resolve) => setTimeout(resolve, 3));
    };
    while (sent < EVENTS) await say();
    await until(async () => through.seen.cuts > 0 || (await say()), `the cut: ${label}`);
    // A WebSocket does not survive a cut, nor does long-polling if bytes of a request or an answer are missing.
    if (!transports.includes("polling") || through.seen.withheld > 0) await until(() => losses > 0, `a loss: ${label}`);
    await until(() => heard.length >= sent && client.connected, label);
    sender.emit("bcast", room, "last");
    await until(() => heard.at(-1) === "last", label);
    assert.deepEqual(heard, [...Array.from({ length: sent }, (_, at) => at + 1), "last"], label);
    await until(() => client.connected, label);
    assert.equal(client.id, id, label);
    assert.equal(through.seen.cuts, 1, label);
    if (losses > 0 && client.recovered !== undefined) {
      await until(() => client.recovered === true, label);
      assert.equal(await client.emitWithAck("recovered"), true, label);
    }
  } finally {
    client.close();
    through.close();
  }
}

/** At every so many bytes, some at a time. */
async function everywhere(transports, way, end, step) {
  const positions = [];
  for (let bytes = 1; bytes < end; bytes += step) positions.push(bytes);
  const work = async () => {
    while (positions.length > 0) await conversation(transports, way, positions.pop());
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

const skip = ours ? false : "the reference's clients begin anew if they are back before it has noticed";

test("WebSocket, cut at every byte of what the server sends", () => everywhere(["websocket"], { down: true }, 420, 1));

test("WebSocket, cut at bytes of what the client sends", () => everywhere(["websocket"], { down: false }, 200, 3));

test("long-polling, cut at bytes of what the server sends", { skip }, () => everywhere(["polling"], { down: true }, 2400, 13));

test("long-polling, cut at bytes of what the client sends", { skip }, () => everywhere(["polling"], { down: false }, 2400, 29));

test("a loss that the server has not noticed when the client is back", { skip }, () => everywhere(["websocket"], { down: true, unnoticed: true }, 420, 9));

test("volatile events are not sent again, and have no offset", async () => {
  const through = await road({ down: true });
  const client = io(through.url, { transports: ["websocket"], forceNew: true, reconnectionDelay: 5, reconnectionDelayMax: 20, randomizationFactor: 0 });
  try {
    const heard = [];
    client.on("volatile", (...args) => heard.push(args));
    client.on("bcast", (number) => heard.push(number));
    await once(client, "connect");
    await client.emitWithAck("join", "volatile room");
    sender.emit("volatile", "volatile room", 1);
    sender.emit("bcast", "volatile room", 2);
    await until(() => heard.length === 2, "both events");
    assert.deepEqual(heard, [[1], 2]);
    const lost = once(client, "disconnect");
    through.arm(1);
    through.seen.isShut = true;
    sender.emit("bcast", "volatile room", 3);
    await lost;
    sender.emit("volatile", "volatile room", 4);
    sender.emit("bcast", "volatile room", 5);
    // The server has had both before the client comes back.
    await sender.emitWithAck("recovered");
    through.seen.isShut = false;
    await until(() => heard.at(-1) === 5, "what was missed");
    assert.deepEqual(heard, [[1], 2, 3, 5]);
    assert.equal(client.recovered, true);
  } finally {
    client.close();
    through.close();
  }
});

test("a session that is over is not given back, and the client is told", async () => {
  const short = await startConformance({ ...USUAL, recovery: 200 });
  try {
    const client = io(short.url, { transports: ["websocket"], forceNew: true, reconnectionDelay: 1500, randomizationFactor: 0 });
    await once(client, "connect");
    const { id } = client;
    client.io.engine.close();
    await once(client, "connect");
    assert.notEqual(client.id, id);
    assert.ok(!client.recovered);
    assert.equal(await client.emitWithAck("recovered"), false);
    client.close();
  } finally {
    await short.stop();
  }
});
