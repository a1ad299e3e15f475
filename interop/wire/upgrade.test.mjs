// From polling to WebSocket (protocol.md A.12, H.1 upgrade, H.4 rows 59-67).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ours } from "../support/server.mjs";
import { fetchRaw, Polling } from "../support/http.mjs";
import { openWebSocket, tryUpgrade } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { until } from "../support/wait.mjs";
import {
  assertEchoes,
  assertGone,
  assertPollingEchoes,
  assertRefused,
  BAD_REQUEST,
  probed,
  SOCKET,
  UNKNOWN_SID,
  polling,
  websocket,
} from "../support/session.mjs";

const context = onOneServer();
const RS = "\x1e";
const candidate = (session) => openWebSocket(context.server, `${websocket(session.path)}&sid=${session.sid}`);

async function upgraded() {
  const { session, ws } = await probed(context.server);
  ws.send("5");
  await assertEchoes(ws);
  return { session, ws };
}

/** Upgrades as soon as the server has seen the attempt before fail. */
async function upgradeAtLast(session) {
  const ws = await until(async () => {
    const answer = await tryUpgrade(context.server, `${websocket()}&sid=${session.sid}`);
    if (answer.status !== 101) return undefined;
    answer.ws.send("2probe");
    return (await answer.ws.next()) === "3probe" && answer.ws;
  }, "another upgrade is admitted");
  ws.send("5");
  await assertEchoes(ws);
  ws.drop();
}

/** One more WebSocket for a session that has one: refused, or opened and ended at once. */
async function assertNoSecondWebSocket(session) {
  const answer = await tryUpgrade(context.server, `${websocket()}&sid=${session.sid}`);
  if (ours && answer.status === 400) return assert.equal(answer.body, "Bad request");
  assert.equal(answer.status, 101);
  const first = await answer.ws.next();
  assert.equal(first.closed, true, `got ${first} instead of the end`);
}

describe("an upgrade", () => {
  test("goes by probe, noop and confirmation", async () => {
    const session = await Polling.connect(context.server);
    const { answer } = await session.pendingGet();
    const ws = await candidate(session);
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    const poll = await answer;
    assert.equal(poll.status, 200);
    assert.equal(poll.body, "6");
    ws.send("5");
    ws.send("4hello");
    assert.equal(await ws.next(), "4hello");
    ws.drop();
  });

  test("releases a poll that comes after the probe", async () => {
    const { session, ws } = await probed(context.server);
    const poll = await session.get();
    assert.equal(poll.body, "6");
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("carries packets that come together with the confirmation", async () => {
    const { ws } = await probed(context.server);
    ws.sendTogether("5", "4one", Buffer.from([2]), "4three");
    assert.equal(await ws.next(), "4one");
    assert.deepEqual(await ws.next(), Buffer.from([2]));
    assert.equal(await ws.next(), "4three");
    ws.drop();
  });

  test("answers each probe", async () => {
    const { ws } = await probed(context.server);
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("sends data over a pending poll before the confirmation", async () => {
    const session = await Polling.connect(context.server);
    const ws = await candidate(session);
    const { answer } = await session.pendingGet();
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    await session.post("4between");
    const first = (await answer).body;
    if (first === "6") assert.equal((await session.get()).body, "4between");
    else assert.equal(first, "4between");
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("keeps data that nobody polled for the WebSocket", async () => {
    const { session, ws } = await probed(context.server);
    for (let i = 0; i < 5; i += 1) assert.equal((await session.post(`4${i}${RS}bAQ==`)).body, "ok");
    ws.send("5");
    for (let i = 0; i < 5; i += 1) {
      assert.equal(await ws.next(), `4${i}`);
      assert.deepEqual(await ws.next(), Buffer.from([1]));
    }
    await assertEchoes(ws);
    ws.drop();
  });

  test("lets polling go on while the probe is silent", async () => {
    const session = await Polling.connect(context.server);
    const ws = await candidate(session);
    await assertPollingEchoes(session);
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("without a probe", async () => {
    const session = await Polling.connect(context.server);
    const ws = await candidate(session);
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  for (const first of ["4hello", "2", "1", "3", "3probe", "0", "6", "abc", "", "2other", Buffer.from([1])]) {
    const name = typeof first === "string" ? JSON.stringify(first) : "a binary message";
    test(`that begins with ${name} fails, and the session stays on polling`, async () => {
      const session = await Polling.connect(context.server);
      const ws = await candidate(session);
      ws.send(first);
      await ws.closed();
      await assertPollingEchoes(session);
    });
  }

  test("that loses its WebSocket may be tried again", async () => {
    const { session, ws } = await probed(context.server);
    ws.drop();
    await assertPollingEchoes(session);
    await upgradeAtLast(session);
  });

  test("that fails may be tried again", async () => {
    const session = await Polling.connect(context.server);
    const ws = await candidate(session);
    ws.send("4hello");
    await ws.closed();
    await upgradeAtLast(session);
  });

  test("admits no second WebSocket meanwhile", async () => {
    const { session, ws } = await probed(context.server);
    await assertNoSecondWebSocket(session);
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("that is never confirmed is given up, and the session stays on polling", async () => {
    // Before the server's time can have begun: so it may be seen late, never early.
    const begun = Date.now();
    const { session, ws } = await probed(context.server);
    await ws.closed();
    const took = Date.now() - begun;
    assert.ok(took > 9_990, `given up after ${took} ms instead of 10 s`);
    await assertPollingEchoes(session);
  });

  test("that is never begun is given up too", async () => {
    const session = await Polling.connect(context.server);
    const ws = await candidate(session);
    await ws.closed();
    await assertPollingEchoes(session);
  });

  test("ends with the session when the client closes it", async () => {
    const { session, ws } = await probed(context.server);
    assert.equal((await session.post("1")).body, "ok");
    await ws.closed();
    await assertGone(session);
  });

  test("ends with the session when the server closes it", async () => {
    const { session, ws } = await probed(context.server, SOCKET);
    assert.equal((await session.post('42["too early"]')).body, "ok");
    const poll = await session.get();
    assert.match(poll.body, /^(6\x1e)?1$/);
    await ws.closed();
    await assertGone(session);
  });

  test("ends with the session after a parse error on polling", async () => {
    const { session, ws } = await probed(context.server);
    await session.post("abc");
    await ws.closed();
    await assertGone(session);
  });
});

describe("after the upgrade", () => {
  test("polls and posts are refused and harm nothing", async () => {
    const { session, ws } = await upgraded();
    assertRefused(await session.get(), ...BAD_REQUEST);
    assertRefused(await session.post("4hello"), ...BAD_REQUEST);
    assertRefused(await session.post("1"), ...BAD_REQUEST);
    await assertEchoes(ws);
    ws.drop();
  });

  test("a second WebSocket is not admitted and harms nothing", async () => {
    const { session, ws } = await upgraded();
    await assertNoSecondWebSocket(session);
    await assertEchoes(ws);
    ws.drop();
  });

  test("a second confirmation is ignored", async () => {
    const { ws } = await upgraded();
    ws.send("5");
    await assertEchoes(ws);
    ws.drop();
  });

  test("a probe ends the session", async () => {
    const { session, ws } = await upgraded();
    ws.send("2probe");
    await ws.closed();
    assertRefused(await fetchRaw(context.server, `${polling()}&sid=${session.sid}`), ...UNKNOWN_SID);
  });

  test("the end of the WebSocket ends the session", async () => {
    const { session, ws } = await upgraded();
    await ws.close();
    await assertGone(session);
  });
});

test("a WebSocket session has nothing to upgrade", async () => {
  const ws = await openWebSocket(context.server, websocket());
  const { sid } = JSON.parse((await ws.next()).slice(1));
  if (ours) {
    await assertNoSecondWebSocket({ sid });
  } else {
    // The reference takes the second one for an upgrade, until it speaks.
    const second = await candidate({ sid, path: "/engine.io/" });
    second.send("4hello");
    await second.closed();
  }
  await assertEchoes(ws);
  ws.drop();
});

test("an upgrade request for the polling transport does not upgrade", async () => {
  const session = await Polling.connect(context.server);
  const answer = await tryUpgrade(context.server, session.query);
  if (answer.status === 101) await answer.ws.closed();
  else assert.equal(answer.status, 400);
  await assertPollingEchoes(session);
});
