// Pings, pongs and their absence (protocol.md A.9, H.1 heartbeat, H.4 rows 67 and 68).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ours } from "../support/server.mjs";
import { Polling } from "../support/http.mjs";
import { tryUpgrade } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { assertGone, engineSession, join, probed, SOCKET, socketSession } from "../support/session.mjs";

// Pings are frequent; the time for a pong is one that a busy machine keeps, so that only what a test withholds is late.
const INTERVAL = 1500;
const TIMEOUT = 5000;
/** Less than five pings take. */
const CONNECT = 5000;
/** How late a timer may be on a machine that stands still for some seconds: a guard, not a promise. */
const LATE = 20_000;

// No bystanders here: they would have to answer pings of their own.
const context = onOneServer({ "ping-interval": INTERVAL, "ping-timeout": TIMEOUT, "connect-timeout": CONNECT }, { bystanders: false });

/**
 * That `ms` have passed since `begun`, which is before the server's timer can have begun: before the request for a
 * session, before a pong. Then a timer may be seen late, never early (a few ms for rounding).
 */
function assertAbout(begun, ms) {
  const took = performance.now() - begun;
  assert.ok(took > ms - 5 && took < ms + LATE, `${took} ms instead of about ${ms} ms`);
}

// The Socket.IO server closes a connection that joins nothing.
async function pollingSession(path) {
  const session = await Polling.connect(context.server, path);
  if (path === SOCKET) {
    assert.equal((await session.post("40")).body, "ok");
    await session.collect((seen) => seen.includes('42["auth",{}]'));
  }
  return session;
}

async function webSocketSession(path) {
  const ws = await engineSession(context.server, path);
  if (path === SOCKET) await join(ws);
  return ws;
}

for (const path of ["/engine.io/", SOCKET]) {
  describe(`the heartbeat on ${path}`, { concurrency: true }, () => {
    test("pings on a poll, and pongs keep the session", async () => {
      let begun = performance.now();
      const session = await pollingSession(path);
      for (let round = 0; round < 3; round += 1) {
        const { status, body } = await session.get();
        assertAbout(begun, INTERVAL);
        assert.equal(status, 200);
        assert.equal(body, "2");
        begun = performance.now();
        assert.equal((await session.post("3")).body, "ok");
      }
    });

    test("pings on a WebSocket, and pongs keep the session", async () => {
      let begun = performance.now();
      const ws = await webSocketSession(path);
      for (let round = 0; round < 3; round += 1) {
        const packet = await ws.next();
        assertAbout(begun, INTERVAL);
        assert.equal(packet, "2");
        begun = performance.now();
        ws.send("3");
      }
      ws.drop();
    });

    test("ends a polling session without a pong", async () => {
      const begun = performance.now();
      const session = await pollingSession(path);
      assert.equal((await session.get()).body, "2");
      await session.get(); // held until the session ends
      assertAbout(begun, INTERVAL + TIMEOUT);
      await assertGone(session);
    });

    test("ends a WebSocket session without a pong", async () => {
      const begun = performance.now();
      const ws = await webSocketSession(path);
      assert.equal(await ws.next(), "2");
      const end = await ws.next();
      assertAbout(begun, INTERVAL + TIMEOUT);
      assert.equal(end.closed, true);
    });
  });
}

// Each has sessions of its own, and mostly waits.
describe("the heartbeat", { concurrency: true }, () => {
  test("only pings come after leaving the last namespace", async () => {
    const ws = await socketSession(context.server);
    ws.send("41");
    // Longer than the connect timeout, which must not start again.
    for (let round = 0; round < 5; round += 1) {
      assert.equal(await ws.next(), "2");
      ws.send("3");
    }
    ws.drop();
  });

  test("pings and pongs do not disturb a packet and its attachments", async () => {
    const ws = await socketSession(context.server);
    ws.send('451-["echo",{"_placeholder":true,"num":0}]');
    assert.equal(await ws.next(), "2");
    ws.sendTogether("3", Buffer.from([1]));
    assert.equal(await ws.next(), '451-["echo",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await ws.next(), Buffer.from([1]));
    ws.drop();
  });

  test("a session that nobody polls ends too", async () => {
    const begun = performance.now();
    const session = await Polling.connect(context.server);
    // Only requests that cannot answer a ping, until the session is gone.
    for (;;) {
      const { body } = await session.get({ method: "PUT" });
      if (body === '{"code":1,"message":"Session ID unknown"}') break;
      assert.ok(performance.now() - begun < INTERVAL + TIMEOUT + LATE, "the session outlives its heartbeat");
    }
    assertAbout(begun, INTERVAL + TIMEOUT);
  });

  test("an unanswered ping waits for the next poll", async () => {
    const session = await Polling.connect(context.server);
    assert.equal((await session.get()).body, "2");
    assert.equal((await session.post("3")).body, "ok");
    assert.equal((await session.get()).body, "2");
  });

  test("a pong with data is a pong", async () => {
    const ws = await engineSession(context.server);
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await ws.next(), "2");
      ws.send("3abc");
    }
    ws.drop();
  });

  test("pongs nobody asked for do no harm", async () => {
    const ws = await engineSession(context.server);
    ws.sendTogether("3", "3", "3");
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await ws.next(), "2");
      ws.sendTogether("3", "3");
    }
    ws.drop();
  });

  test("messages do not replace pongs for ever", async () => {
    const ws = await engineSession(context.server);
    assert.equal(await ws.next(), "2");
    const begun = performance.now();
    const chatter = setInterval(() => ws.socket.writable && ws.send("4x"), 40);
    try {
      await ws.closed();
    } finally {
      clearInterval(chatter);
    }
    // One refresh of the deadline a cycle, at most.
    assert.ok(performance.now() - begun < 2 * TIMEOUT + LATE, "the session outlives its heartbeat");
  });

  test("the heartbeat goes on over an upgrade", async () => {
    const { ws } = await probed(context.server);
    ws.send("5");
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await ws.next(), "2");
      ws.send("3");
    }
    assert.equal(await ws.next(), "2");
    assert.equal((await ws.next()).closed, true);
  });

  test("a ping unanswered at the upgrade is still due", async () => {
    const session = await Polling.connect(context.server);
    assert.equal((await session.get()).body, "2");
    const { ws } = await tryUpgrade(context.server, `/engine.io/?EIO=4&transport=websocket&sid=${session.sid}`);
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    ws.send("5");
    if (ours) {
      await ws.closed();
    } else {
      // The reference forgets the deadline, and the heartbeat with it.
      await assert.rejects(ws.next(INTERVAL + TIMEOUT + 1000), /no WebSocket message/);
      ws.drop();
    }
  });

  test("a ping timeout during an upgrade ends both transports", async () => {
    const { session, ws } = await probed(context.server);
    await ws.closed();
    await assertGone(session);
  });
});
