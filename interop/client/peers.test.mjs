// The peer servers do what README.md says of them: npm's socket.io-client is asked.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { FOREIGN, startPeer } from "../support/peers.mjs";
import { Inbox, within } from "../support/wait.mjs";
import { HASTY, ours } from "../support/server.mjs";

const once = (socket, event) => within(new Promise((resolve) => socket.once(event, (...args) => resolve(args))), event);

for (const kind of ours ? [...FOREIGN, "sansocket"] : FOREIGN) {
  for (const transport of ["polling", "websocket"]) {
    describe(`${kind} over ${transport}`, () => {
      const folder = mkdtempSync(join(tmpdir(), "peer-"));
      const record = join(folder, "record");
      let peer;
      const sockets = [];
      const connect = (namespace = "/", options = {}, server = peer) => {
        const socket = io(server.url + namespace, { transports: [transport], forceNew: true, ...options });
        sockets.push(socket);
        return socket;
      };

      before(async () => {
        peer = await startPeer(kind, { record });
      });
      after(async () => {
        for (const socket of sockets) socket.disconnect();
        await peer?.kill();
        rmSync(folder, { recursive: true });
      });

      test("echo and ack give everything back, binary too", async () => {
        const socket = connect();
        const args = [1, "two", { three: [Buffer.from([1, 2, 3])] }, Buffer.from([255, 0])];
        const echoed = once(socket, "echo");
        socket.emit("echo", ...args);
        assert.deepEqual(await echoed, args);
        const acked = await new Promise((resolve) => socket.emit("ack", ...args, (...back) => resolve(back)));
        assert.deepEqual(acked, args);
        assert.deepEqual(await new Promise((resolve) => socket.emit("ack", (...back) => resolve(back))), []);
      });

      test("ask asks, and tells what was answered", async () => {
        const socket = connect();
        socket.on("question", (...args) => args.pop()(...args, Buffer.from("yes")));
        const answered = once(socket, "answered");
        await within(socket.emitWithAck("ask", "really?", Buffer.from([7])), "acknowledgement of ask");
        assert.deepEqual(await answered, ["really?", Buffer.from([7]), Buffer.from("yes")]);
      });

      test("burst sends numbered ticks in order", async () => {
        const socket = connect();
        const ticks = new Inbox();
        socket.on("tick", (n) => ticks.push(n));
        socket.emit("burst", 300);
        for (let i = 0; i < 300; i++) assert.equal(await ticks.next("tick"), i);
      });

      test("log records and acknowledges", async () => {
        const socket = connect("/chat");
        const sent = [];
        for (let i = 0; i < 20; i++) sent.push({ uid: `${transport}-${i}`, payload: { i } });
        const acks = sent.map(({ uid, payload }) => socket.emitWithAck("log", uid, payload));
        assert.deepEqual(await within(Promise.all(acks), "acknowledgements"), sent.map(({ uid }) => uid));
        const recorded = readFileSync(record, "utf8").trim().split("\n").map((line) => JSON.parse(line));
        assert.deepEqual(recorded, sent);
      });

      test("/auth wants the token", async () => {
        const [error] = await once(connect("/auth", { auth: { token: "wrong" } }), "connect_error");
        assert.equal(error.message, "not authorized");
        assert.deepEqual(error.data, { code: 401 });
        assert.equal((await once(connect("/auth"), "connect_error"))[0].message, "not authorized");
        await once(connect("/auth", { auth: { token: "secret" } }), "connect");
      });

      test("/late emits before it lets in", async () => {
        const socket = connect("/late");
        const order = [];
        socket.on("connect", () => order.push("connect"));
        const early = once(socket, "early");
        assert.deepEqual(await early, [1]);
        // npm's client keeps what is early until it is connected.
        assert.deepEqual(order, ["connect"]);
      });

      test("kick ends the socket, close the connection", async (t) => {
        const kicked = connect("/chat");
        const isOut = once(kicked, "disconnect");
        kicked.emit("kick");
        assert.equal((await isOut)[0], "io server disconnect");
        kicked.connect();
        await once(kicked, "connect");

        // AsyncServer says so in a packet, which npm's client ignores on a WebSocket, and leaves that open: the end is seen
        // by the heartbeat. For the others a machine that stands still for so long is no end.
        const isSilent = kind === "asgi" && transport === "websocket";
        const server = await startPeer(kind, isSilent ? HASTY : {});
        t.after(() => server.kill());
        const socket = connect("/chat", {}, server);
        t.after(() => socket.disconnect());
        const ended = once(socket, "disconnect");
        socket.emit("close");
        const [reason, details] = await ended;
        if (kind === "sansocket") {
          // It has no way to close a connection without taking its sockets out of their namespaces first.
          assert.equal(reason, "io server disconnect");
          socket.connect();
        } else {
          if (reason === "transport error") {
            // python-engineio has the end ready for the next poll, but refuses the poll: it no longer knows a session
            // that is closed. Only a poll that was there before the end is answered with it, and which of the two comes
            // first is chance. What is not one of its servers, or has another reason to fail, must say "transport close".
            assert.ok(kind !== "node" && transport === "polling", `${reason} by ${kind} over ${transport}`);
            assert.equal(details.message, "xhr poll error");
            assert.equal(details.description, 400);
          } else {
            // The server gives the socket up as late as the client does: either may be first.
            assert.ok(reason === "transport close" || (isSilent && reason === "ping timeout"), reason);
          }
        }
        await once(socket, "connect");
      });
    });
  }

  test(`${kind} can be restarted where it was`, { timeout: 180_000 }, async () => {
    const peer = await startPeer(kind, { ticks: true, transports: "websocket", path: "/elsewhere" });
    const socket = io(peer.url, { transports: ["websocket"], path: "/elsewhere", reconnectionDelay: 50 });
    try {
      for (let round = 0; round < 2; round++) {
        await once(socket, "tick");
        const ended = once(socket, "disconnect");
        await peer.kill();
        await ended;
        await peer.start();
      }
      await once(socket, "tick");
      const refused = io(peer.url, { transports: ["polling"], path: "/elsewhere", reconnection: false, forceNew: true });
      await once(refused, "connect_error");
      refused.disconnect();
    } finally {
      socket.disconnect();
      await peer.kill();
    }
  });
}
