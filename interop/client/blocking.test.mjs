// The core's example without async (protocol/examples/blocking_client.rs) against each peer server, and against a
// server of this process, which asks it for binary acknowledgements.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { once } from "node:events";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Server } from "socket.io";
import { blockingClientCommand, FOREIGN, Program, startPeer } from "../support/peers.mjs";
import { GRACE, STRICT } from "../support/server.mjs";
import { within } from "../support/wait.mjs";

const client = (...args) => new Program([...blockingClientCommand(), ...args]);

for (const kind of [...FOREIGN, "sansocket"]) {
  describe(`the blocking client and ${kind}`, { timeout: 300_000 }, () => {
    let peer;
    let program;
    beforeEach(async () => {
      peer = await startPeer(kind, { ticks: true });
    });
    afterEach(async () => {
      await program?.kill();
      await peer.kill();
    });

    test("an event is acknowledged with its arguments", async () => {
      program = client(peer.url, "ack", '["two",{"three":[3]},null]');
      await program.line(/^connected as \S+$/);
      await program.line(/^answer \["two",\{"three":\[3\]\},null\] with 0 attachments$/);
    });

    test("it acknowledges what the server asks", async () => {
      program = client(`${peer.url}/chat`, "ask", '["really?",1]');
      await program.line(/^event question \["really\?",1\]/);
      await program.line(/^event answered \["really\?",1\]/);
    });

    test("it stays while nothing but pings comes", async (t) => {
      const strict = await startPeer(kind, STRICT);
      t.after(() => strict.kill());
      program = client(`${strict.url}/chat`);
      await program.line(/^connected/);
      await new Promise((resolve) => setTimeout(resolve, GRACE + 1000)); // longer than the heartbeat grants
      assert.deepEqual(program.seen.slice(1), []);
    });

    test("a refusal says why, and ends it", async () => {
      program = client(`${peer.url}/auth`);
      await program.line(/^refused: .*not authorized$/);
      assert.equal(await program.exit(), 0);
    });

    test("it does not come back when the server disconnects it", async () => {
      program = client(`${peer.url}/chat`, "kick");
      await program.line(/^disconnected: io server disconnect$/);
      assert.equal(await program.exit(), 0);
    });

    test("it comes back when the server does, each time", async () => {
      program = client(peer.url, "ack", "[7]");
      for (let round = 0; round < 3; round++) {
        await program.line(/^answer \[7\]/);
        await program.line(/^event tick \[\d+\]/);
        await peer.kill();
        await program.line(/^disconnected: transport close$/);
        await peer.start();
      }
      await program.line(/^answer \[7\]/);
    });
  });
}

describe("the blocking client", { timeout: 300_000 }, () => {
  let program;
  afterEach(() => program?.kill());

  test("binary comes and goes, and bye ends it", async () => {
    const http = createServer();
    const io = new Server(http, { serveClient: false });
    try {
      http.listen(0, "127.0.0.1");
      await once(http, "listening");
      const connected = new Promise((resolve) => io.on("connection", resolve));
      program = client(`http://127.0.0.1:${http.address().port}/?room=a%20b`);
      const socket = await within(connected, "connection");
      assert.equal(socket.handshake.query.room, "a b");
      const large = Buffer.alloc(300_000, 7);
      const answer = await new Promise((resolve) => socket.emit("question", large, ["x", Buffer.from([1])], (...args) => resolve(args)));
      assert.deepEqual(answer, [large, ["x", Buffer.from([1])]]);
      const ended = within(new Promise((resolve) => socket.once("disconnect", resolve)), "disconnect");
      socket.emit("bye");
      assert.equal(await ended, "client namespace disconnect");
      assert.equal(await program.exit(), 0);
    } finally {
      io.close();
      http.closeAllConnections();
    }
  });

  test("it says what is wrong with the server, and tries again", async () => {
    const http = createServer((_request, response) => response.end("<html>"));
    http.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    program = client(`http://127.0.0.1:${http.address().port}`);
    await program.line(/^no connection: transport error \(.*502.*\); again in/);
    await program.line(/^no connection/);
    http.close();
    http.closeAllConnections();
    await program.line(/^no connection: transport error \(the connection .*\); again in/);
  });

  test("a server that accepts and says nothing is given up", async () => {
    const silent = createTcpServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    program = client(`http://127.0.0.1:${silent.address().port}`);
    await program.line(/^no connection: transport error/);
    await program.kill();
    silent.close();
  });

  test("what is no address is refused", async () => {
    program = client("localhost:3000");
    assert.equal(await program.exit(), 1);
    assert.match(program.errors, /must begin with http/);
  });
});
