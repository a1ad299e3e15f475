// Pings, pongs and their absence (protocol.md A.9, H.1 heartbeat, H.4 rows 67 and 68).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BRISK, ours } from "../support/server.mjs";
import { Polling } from "../support/http.mjs";
import { tryUpgrade } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { assertGone, engineSession, probed, SOCKET, socketSession } from "../support/session.mjs";

// No bystanders here: they would have to answer pings of their own.
const context = onOneServer(BRISK, { bystanders: false });

/** Milliseconds that `promise` takes, and its value. */
async function timed(promise) {
  const begun = performance.now();
  const value = await promise;
  return { took: performance.now() - begun, value };
}

function assertAbout(took, ms) {
  // Timers may be late on a busy machine, never early (a few ms for rounding and the way here).
  assert.ok(took > ms - 30 && took < ms + 400, `${took} ms instead of about ${ms} ms`);
}

for (const path of ["/engine.io/", SOCKET]) {
  describe(`the heartbeat on ${path}`, () => {
    // The Socket.IO server closes a connection that joins nothing; a few rounds fit before.
    const rounds = path === SOCKET ? 2 : 3;

    test("pings on a poll, and pongs keep the session", async () => {
      const session = await Polling.connect(context.server, path);
      for (let round = 0; round < rounds; round += 1) {
        const { took, value } = await timed(session.get());
        assert.equal(value.status, 200);
        assert.equal(value.body, "2");
        assertAbout(took, 300);
        assert.equal((await session.post("3")).body, "ok");
      }
    });

    test("pings on a WebSocket, and pongs keep the session", async () => {
      const ws = await engineSession(context.server, path);
      for (let round = 0; round < rounds; round += 1) {
        const { took, value } = await timed(ws.next());
        assert.equal(value, "2");
        assertAbout(took, 300);
        ws.send("3");
      }
      ws.drop();
    });

    test("ends a polling session without a pong", async () => {
      const session = await Polling.connect(context.server, path);
      assert.equal((await session.get()).body, "2");
      const { took } = await timed(session.get()); // held until the session ends
      assertAbout(took, 200);
      await assertGone(session);
    });

    test("ends a WebSocket session without a pong", async () => {
      const ws = await engineSession(context.server, path);
      assert.equal(await ws.next(), "2");
      const { took, value } = await timed(ws.next());
      assert.equal(value.closed, true);
      assertAbout(took, 200);
    });
  });
}

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
  const session = await Polling.connect(context.server);
  // Only requests that cannot answer a ping, until the session is gone.
  const begun = performance.now();
  for (;;) {
    const { body } = await session.get({ method: "PUT" });
    if (body === '{"code":1,"message":"Session ID unknown"}') break;
    assert.ok(performance.now() - begun < 2000, "the session outlives its heartbeat");
  }
  assertAbout(performance.now() - begun, 500);
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
    await ws.closed(3000);
  } finally {
    clearInterval(chatter);
  }
  // One refresh of the deadline a cycle, at most.
  assert.ok(performance.now() - begun < 1000, "the session outlives its heartbeat");
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
    await ws.closed(2000);
  } else {
    // The reference forgets the deadline, and the heartbeat with it.
    await assert.rejects(ws.next(1200), /no WebSocket message/);
    ws.drop();
  }
});

test("a ping timeout during an upgrade ends both transports", async () => {
  const { session, ws } = await probed(context.server);
  await ws.closed(2000);
  await assertGone(session);
});
