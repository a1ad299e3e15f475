// An Engine.IO session on a WebSocket (protocol.md A.3, A.10, A.11, H.4 rows 48-58).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ours } from "../support/server.mjs";
import { fetchRaw, rawConnection } from "../support/http.mjs";
import { BINARY, frame, openWebSocket, TEXT, upgradeRequest } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { until } from "../support/wait.mjs";
import { assertEchoes, assertRefused, engineSession, polling, UNKNOWN_SID } from "../support/session.mjs";

const context = onOneServer();
const connect = () => engineSession(context.server);

async function assertEchoed(message, back = message) {
  const ws = await connect();
  ws.send(message);
  assert.deepEqual(await ws.next(), back);
  ws.drop();
}

/** The WebSocket ends, and the session with it. */
async function assertEnds(ws, code) {
  assert.equal(await ws.closed(), code);
  assertRefused(await fetchRaw(context.server, `${polling()}&sid=${ws.open.sid}`), ...UNKNOWN_SID);
}

describe("a message", () => {
  for (const [name, message] of [
    ["text", "4hello"],
    ["text beyond ASCII", "4é😀\u0000"],
    ["nothing", "4"],
    ["the polling separator", "4a\x1e4b"],
    ["bytes", Buffer.from([1, 2, 3, 4])],
    ["no bytes", Buffer.alloc(0)],
    ["bytes that look like a packet", Buffer.from("2")],
    ["a long text", `4${"x".repeat(70_000)}`],
    ["many bytes", Buffer.alloc(70_000, 7)],
  ]) {
    test(`of ${name} comes back as it was`, () => assertEchoed(message));
  }

  test("of base64 in a text frame is binary", () => assertEchoed("bAQID", Buffer.from([1, 2, 3])));

  test("of exactly maxPayload bytes passes", async () => {
    await assertEchoed(`4${"x".repeat(999_999)}`);
    await assertEchoed(Buffer.alloc(1_000_000, 1));
  });

  test("that comes in fragments is one message", async () => {
    const ws = await connect();
    ws.sendRaw(frame(TEXT, "4he", { fin: false }));
    ws.sendRaw(frame(0, "ll", { fin: false }));
    ws.ping("between"); // control frames may come between fragments
    ws.sendRaw(frame(0, "o"));
    assert.equal(await ws.next(), "4hello");
    assert.equal((await ws.pongs.next()).toString(), "between");
    ws.drop();
  });

  test("that comes byte by byte is one message", async () => {
    const ws = await connect();
    for (const byte of frame(TEXT, "4é slow")) {
      await new Promise((resolve) => ws.socket.write(Buffer.from([byte]), resolve));
    }
    assert.equal(await ws.next(), "4é slow");
    ws.drop();
  });

  test("among a thousand keeps its place", async () => {
    const ws = await connect();
    const messages = Array.from({ length: 1000 }, (_, i) => (i % 3 ? `4${i}` : Buffer.from([i & 255, i >> 8])));
    ws.sendTogether(...messages);
    for (const message of messages) assert.deepEqual(await ws.next(), message);
    ws.drop();
  });

  test("in the same segment as the upgrade request is not lost", async () => {
    const connection = await rawConnection(context.server);
    const request = upgradeRequest("/engine.io/?EIO=4&transport=websocket");
    connection.write(Buffer.concat([Buffer.from(request), frame(TEXT, "4early bird")]));
    await connection.matches(/^HTTP\/1\.1 101 [^]*0\{"sid"[^]*4early bird$/);
    connection.destroy();
  });
});

describe("packets other than messages", () => {
  for (const packet of ["3", "3probe", "0", "0{}", "5", "6", "5x"]) {
    test(`${packet} is ignored`, async () => {
      const ws = await connect();
      ws.send(packet);
      await assertEchoes(ws);
      ws.drop();
    });
  }

  for (const packet of ["2", "2probe", "2x"]) {
    test(`${packet} from the client ends the session`, async () => {
      const ws = await connect();
      ws.send(packet);
      await assertEnds(ws);
    });
  }

  for (const packet of ["", "7", "8", "9x", "abc", "-4x", " 4x", "\x1e4a", "é"]) {
    test(`${JSON.stringify(packet)} does not parse and ends the session`, async () => {
      const ws = await connect();
      ws.send(packet);
      await assertEnds(ws);
    });
  }

  test("a close packet ends the session at once", async () => {
    const ws = await connect();
    ws.send("1");
    if (ours) return assertEnds(ws);
    // The reference waits for the heartbeat to fail.
    await assertEchoes(ws);
    ws.drop();
  });

  test("nothing behind the packet that ends the session is answered", async () => {
    const ws = await connect();
    ws.sendTogether("4before", "7", "4behind");
    assert.equal(await ws.next(), "4before");
    assert.deepEqual((await ws.next()).closed, true);
  });
});

describe("the WebSocket layer", () => {
  for (const [name, bytes, code] of [
    ["text that is no UTF-8", () => frame(TEXT, Buffer.from([0x34, 0xff, 0xfe])), 1007],
    ["a message over the limit", () => frame(TEXT, `4${"x".repeat(1_000_000)}`), 1009],
    ["bytes over the limit", () => frame(BINARY, Buffer.alloc(1_000_001)), 1009],
    ["fragments over the limit", () =>
      Buffer.concat([
        frame(BINARY, Buffer.alloc(600_000), { fin: false }),
        frame(0, Buffer.alloc(600_000)),
      ]), 1009],
    ["an unmasked frame", () => frame(TEXT, "4x", { masked: false }), 1002],
    ["a reserved bit", () => frame(TEXT, "4x", { rsv: 4 }), 1002],
    ["a reserved opcode", () => frame(3, "4x"), 1002],
    ["a continuation of nothing", () => frame(0, "4x"), 1002],
    ["a fragmented control frame", () => frame(9, "x", { fin: false }), 1002],
    ["a control frame too long", () => frame(9, "x".repeat(126)), 1002],
  ]) {
    test(`ends the session for ${name}`, async () => {
      const ws = await connect();
      ws.sendRaw(bytes());
      const seen = await ws.closed();
      // An abrupt end is as good an answer; another code is not.
      if (seen !== undefined) assert.equal(seen, code);
      assertRefused(await fetchRaw(context.server, `${polling()}&sid=${ws.open.sid}`), ...UNKNOWN_SID);
    });
  }

  test("announces a huge frame in vain", async () => {
    const ws = await connect();
    ws.sendRaw(Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]));
    await ws.closed();
  });

  test("answers pings with their payload", async () => {
    const ws = await connect();
    ws.ping("are you there");
    assert.equal((await ws.pongs.next()).toString(), "are you there");
    await assertEchoes(ws);
    ws.drop();
  });

  test("answers a close frame", async () => {
    const ws = await connect();
    await ws.close();
    assertRefused(await fetchRaw(context.server, `${polling()}&sid=${ws.open.sid}`), ...UNKNOWN_SID);
  });

  test("notices a connection that is cut", async () => {
    const ws = await connect();
    ws.drop();
    await until(async () => {
      const { body } = await fetchRaw(context.server, `${polling()}&sid=${ws.open.sid}`);
      return JSON.parse(body).code === 1;
    }, "the session is gone");
  });

  test("may be used by many at once", async () => {
    const many = await Promise.all(Array.from({ length: 50 }, connect));
    many.forEach((ws, i) => ws.send(`4mine is ${i}`));
    for (const [i, ws] of many.entries()) assert.equal(await ws.next(), `4mine is ${i}`);
    many.forEach((ws) => ws.drop());
  });

  test("opens on a path below the mount point", async () => {
    const ws = await openWebSocket(context.server, "/engine.io/below?EIO=4&transport=websocket");
    assert.equal((await ws.next())[0], "0");
    ws.drop();
  });
});
