// What browsers of other origins are told (protocol.md A.13, H.4 rows 12 and 14; CORS is open to `*`).
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchRaw, Polling } from "../support/http.mjs";
import { tryUpgrade } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import { assertPollingEchoes, assertRefused, polling, SOCKET, UNKNOWN_TRANSPORT, websocket } from "../support/session.mjs";

const context = onOneServer();
const headers = { Origin: "https://elsewhere.example" };

for (const path of ["/engine.io/", SOCKET]) {
  test(`a handshake on ${path} is open to every origin`, async () => {
    for (const sent of [headers, {}]) {
      const response = await fetchRaw(context.server, polling(path), { headers: sent });
      assert.equal(response.status, 200);
      assert.equal(response.headers["access-control-allow-origin"], "*");
      assert.equal(response.headers["access-control-allow-credentials"], undefined);
    }
  });

  test(`a preflight on ${path} is answered`, async () => {
    const response = await fetchRaw(context.server, polling(path), {
      method: "OPTIONS",
      headers: {
        ...headers,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-custom",
      },
    });
    assert.equal(response.status, 204);
    assert.equal(response.body, "");
    assert.equal(response.headers["access-control-allow-origin"], "*");
    assert.equal(response.headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
    assert.equal(response.headers["access-control-allow-headers"], "content-type, x-custom");
    assert.match(response.headers.vary, /Access-Control-Request-Headers/);
  });

  test(`a WebSocket on ${path} is open to every origin`, async () => {
    const { status, headers: received, ws } = await tryUpgrade(context.server, websocket(path), { headers });
    assert.equal(status, 101);
    assert.equal(received["access-control-allow-origin"], "*");
    ws.drop();
  });
}

test("polls and posts carry the header", async () => {
  const session = await Polling.connect(context.server);
  assert.equal((await session.post("4x", headers)).headers["access-control-allow-origin"], "*");
  assert.equal((await session.get({ headers })).headers["access-control-allow-origin"], "*");
});

test("refusals carry the header", async () => {
  const response = await fetchRaw(context.server, "/engine.io/?EIO=4&transport=abc", { headers });
  assertRefused(response, ...UNKNOWN_TRANSPORT);
  assert.equal(response.headers["access-control-allow-origin"], "*");
});

test("a post that is too large carries the header", async () => {
  const session = await Polling.connect(context.server);
  const response = await session.post("4".repeat(1_000_001), headers);
  assert.equal(response.status, 413);
  assert.equal(response.headers["access-control-allow-origin"], "*");
});

test("a preflight with a session id leaves the session alone", async () => {
  const session = await Polling.connect(context.server);
  const response = await session.get({ method: "OPTIONS", headers });
  assert.equal(response.status, 204);
  await assertPollingEchoes(session);
});
