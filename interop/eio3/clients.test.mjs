// The official clients of four major versions on one server, at the same time and in the same rooms.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { once } from "node:events";
import { io as io4 } from "socket.io-client";
import io1 from "socket.io-client-1";
import io2 from "socket.io-client-2";
import { io as io3 } from "socket.io-client-3";
import { plain, pythonMember, rustMember, socketMember, talk } from "../support/members.mjs";
import { LIVELY, ours, startConformance } from "../support/server.mjs";
import { Inbox, until, within } from "../support/wait.mjs";

const VERSIONS = { "1.7": io1, "2.5": io2, "3.1": io3, "4.8": io4 };
const TRANSPORTS = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: {},
};
const isOld = (version) => version < "3";

/** What arrives must be what was sent. */
const PAYLOADS = [
  { text: "hello", list: [1, null, true, { deep: ["x"] }] },
  { text: "é € 😀 \u2028 \n \\n" },
  "line\nbreak",
  { image: Buffer.from([0, 1, 2, 255]), beside: Buffer.alloc(3000, 9) },
  Buffer.from("€"),
];

let server;
const sockets = new Set();
before(async () => (server = await startConformance({ ...LIVELY, "allow-eio3": true })));
afterEach(() => {
  for (const socket of sockets) {
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  }
  sockets.clear();
  server.assertAlive();
});
after(() => server?.stop());

function dial(version, transport, nsp = "/", options = {}) {
  const socket = VERSIONS[version](server.url + nsp, {
    forceNew: true,
    reconnectionDelay: 20,
    ...TRANSPORTS[transport],
    ...options,
  });
  sockets.add(socket);
  return socket;
}

const event = async (socket, name) => (await within(once(socket, name), name)).map(plain);

async function connected(version, transport, nsp, options) {
  const socket = dial(version, transport, nsp, options);
  await event(socket, "connect");
  if (transport === "upgrade") await until(() => socket.io.engine.transport.name === "websocket", "the upgrade");
  return socket;
}

const call = (socket, name, ...args) =>
  within(new Promise((resolve) => socket.emit(name, ...args, (...answer) => resolve(answer.map(plain)))), name);

function inbox(socket, name) {
  const box = new Inbox();
  socket.on(name, (...args) => box.push(args.map(plain)));
  return box;
}

/**
 * Whether that client can carry that payload over that transport. In Node the client of 1.x polls without bytes (`b64=1`),
 * and in such payloads 1.x encodes text as UTF-8 twice, which no later peer does.
 */
const carries = (version, transport, payload) =>
  version !== "1.7" || transport !== "polling" || !JSON.stringify(payload).match(/[^\x00-\x7f]/);

for (const version of Object.keys(VERSIONS)) {
  for (const transport of Object.keys(TRANSPORTS)) {
    describe(`${version} by ${transport}`, () => {
      test("events and acknowledgements come back as they were", async () => {
        const socket = await connected(version, transport);
        const echoes = inbox(socket, "echo");
        for (const payload of PAYLOADS.filter((payload) => carries(version, transport, payload))) {
          socket.emit("echo", payload, 1);
          assert.deepEqual(await echoes.next(), [payload, 1]);
          assert.deepEqual(await call(socket, "ack", payload, "two"), [payload, "two"]);
        }
      });

      test("a namespace is joined with what the client shows, and left", async () => {
        const query = { token: "a b", x: "1" };
        const shown = isOld(version) ? { query } : { auth: query };
        // 1.x has no query for a namespace but in its address.
        const nsp = version === "1.7" ? "/custom?token=a%20b&x=1" : "/custom";
        const socket = dial(version, transport, nsp, version === "1.7" ? {} : shown);
        const [auth] = await event(socket, "auth");
        if (version !== "1.7") assert.deepEqual(auth, query);
        assert.deepEqual(await call(socket, "ack", 1), [1]);
        socket.disconnect();
        assert.equal(socket.connected, false);
      });

      test("an unknown namespace is refused", async () => {
        const socket = dial(version, transport, "/unknown");
        const refusal = await event(socket, isOld(version) ? "error" : "connect_error");
        assert.deepEqual(isOld(version) ? refusal[0] : { message: refusal[0].message ?? "Invalid namespace" }, {
          message: "Invalid namespace",
        });
      });

      test("a connection that breaks is made again", async () => {
        const socket = await connected(version, transport);
        const before = socket.id;
        const again = event(socket, "connect");
        socket.io.engine.close();
        await again;
        assert.notEqual(socket.id, before);
        assert.deepEqual(await call(socket, "ack", "again"), ["again"]);
      });

      test("a connection lives through heartbeats", async () => {
        const socket = await connected(version, transport);
        const gone = once(socket, "disconnect").then(() => assert.fail("it was disconnected"));
        const beats = new Inbox();
        if (isOld(version)) socket.on("pong", () => beats.push(1));
        else socket.io.engine.on("heartbeat", () => beats.push(1));
        if (!isOld(version)) socket.io.engine.on("ping", () => beats.push(1));
        for (let beat = 0; beat < 3; beat += 1) await Promise.race([beats.next("heartbeat"), gone]);
        assert.deepEqual(await call(socket, "ack", 1), [1]);
        gone.catch(() => {});
      });
    });
  }
}

test("all of them, python-socketio and our own client talk in one room", async () => {
  const kinds = Object.keys(TRANSPORTS);
  const joining = Object.keys(VERSIONS).flatMap((version) =>
    kinds.map(async (transport) => {
      const member = socketMember(`${version} by ${transport}`, await connected(version, transport));
      return { ...member, version, transport };
    }),
  );
  joining.push(...kinds.map((transport) => pythonMember(server.url, transport)));
  if (ours) joining.push(...kinds.map((transport) => rustMember(server.url, transport)));
  const joined = await Promise.allSettled(joining);
  const members = joined.flatMap(({ value }) => value ?? []);
  try {
    for (const { reason } of joined) assert.ifError(reason);
    await talk(members, PAYLOADS, ({ version, transport }, payload) => carries(version, transport, payload));
  } finally {
    for (const member of members) await member.leave();
  }
});

test("a client of 2.x knows its socket by the id that the server has for it", async () => {
  for (const [nsp, prefix] of [
    ["/", ""],
    ["/custom", "/custom#"],
  ]) {
    const socket = await connected("2.5", "websocket", nsp);
    assert.equal(socket.id, prefix + socket.io.engine.id);
    const other = await connected("4.8", "websocket", nsp);
    const heard = event(socket, "bcast");
    other.emit("bcast", socket.id, "for you");
    assert.deepEqual(await heard, ["for you"]);
  }
});

test("a client of 2.x joins a namespace again and again on one connection", async () => {
  const socket = await connected("2.5", "websocket");
  const custom = socket.io.socket("/custom");
  for (let time = 0; time < 5; time += 1) {
    if (time > 0) custom.connect();
    await event(custom, "auth");
    assert.deepEqual(await call(custom, "ack", time), [time]);
    custom.disconnect();
  }
  assert.deepEqual(await call(socket, "ack", "still here"), ["still here"]);
});
