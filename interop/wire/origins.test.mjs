// The settings of CORS and of the cookie, each given once (protocol.md A.13).
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchRaw, Polling } from "../support/http.mjs";
import { tryUpgrade } from "../support/websocket.mjs";
import { CALM, expected } from "../support/server.mjs";
import { onOneServer } from "../support/suite.mjs";
import { polling, SOCKET, websocket } from "../support/session.mjs";

const ORIGIN = "https://a.example";
const context = onOneServer({ ...CALM, origin: ORIGIN, cookie: "lb" }, { bystanders: false });
const headers = { Origin: ORIGIN };
const preflight = { "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a, x-b" };

function assertAllowed(received) {
  assert.equal(received["access-control-allow-origin"], ORIGIN);
  assert.equal(received["access-control-allow-credentials"], "true");
  assert.equal(received["access-control-expose-headers"], "x-one,x-two");
  assert.match(received.vary, /Origin/);
}

for (const path of ["/engine.io/", SOCKET]) {
  test(`a page of the listed origin may read ${path}`, async () => {
    assertAllowed((await fetchRaw(context.server, polling(path), { headers })).headers);
    const { status, headers: received, ws } = await tryUpgrade(context.server, websocket(path), { headers });
    assert.equal(status, 101);
    assertAllowed(received);
    ws.drop();
  });

  test(`a preflight on ${path} is told all settings`, async () => {
    const request = { method: "OPTIONS", headers: { ...headers, ...preflight } };
    const response = await fetchRaw(context.server, polling(path), request);
    assert.equal(response.status, 204);
    assertAllowed(response.headers);
    assert.equal(response.headers["access-control-allow-methods"], "GET,POST");
    assert.equal(response.headers["access-control-allow-headers"], "x-a,x-c");
    assert.equal(response.headers["access-control-max-age"], "600");
  });

  test(`a page of another origin may not read ${path}`, async () => {
    const other = { Origin: "https://b.example" };
    for (const request of [{ headers: other }, { method: "OPTIONS", headers: { ...other, ...preflight } }]) {
      const response = await fetchRaw(context.server, polling(path), request);
      const served = request.method ? 204 : 200;
      assert.equal(response.status, expected({ reference: served, sansocket: 403 }));
      assert.notEqual(response.headers["access-control-allow-origin"], other.Origin);
      assert.match(response.headers.vary, /Origin/);
    }
    const { status, ws } = await tryUpgrade(context.server, websocket(path), { headers: other });
    assert.equal(status, expected({ reference: 101, sansocket: 400 }));
    ws?.drop();
  });

  test(`the cookie of ${path} comes with all its attributes, once`, async () => {
    const response = await fetchRaw(context.server, polling(path), { headers });
    const { sid } = JSON.parse(response.body.slice(1));
    const attributes = "Max-Age=60; Domain=a.example; Path=/x; HttpOnly; Secure; Partitioned; SameSite=None";
    assert.deepEqual([response.headers["set-cookie"]].flat(), [`lb=${sid}; ${attributes}`]);
  });
}

test("later answers set no cookie", async () => {
  const session = await Polling.connect(context.server);
  assert.equal((await session.post("4x")).headers["set-cookie"], undefined);
  assert.equal((await session.get()).headers["set-cookie"], undefined);
});
