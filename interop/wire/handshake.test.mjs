// Opening a session: requests that are refused, and how (protocol.md A.5-A.7, H.1, H.4 rows 1-12).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { expected, ours, USUAL } from "../support/server.mjs";
import { fetchRaw, Polling, rawConnection } from "../support/http.mjs";
import { openWebSocket, tryUpgrade, upgradeRequest } from "../support/websocket.mjs";
import { onOneServer } from "../support/suite.mjs";
import {
  assertEchoes,
  assertPollingEchoes,
  assertRefused,
  BAD_METHOD,
  BAD_REQUEST,
  engineSession,
  polling,
  SOCKET,
  UNKNOWN_SID,
  UNKNOWN_TRANSPORT,
  UNSUPPORTED,
  websocket,
} from "../support/session.mjs";

const context = onOneServer(USUAL);
const get = (path, options) => fetchRaw(context.server, path, options);
const upgrade = (path, options) => tryUpgrade(context.server, path, options);

function assertOpen(open, upgrades) {
  assert.deepEqual(Object.keys(open).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
  assert.equal(typeof open.sid, "string");
  assert.match(open.sid, /^[\w-]{20}$/);
  assert.deepEqual(open.upgrades, upgrades);
  assert.equal(open.pingInterval, 25_000);
  assert.equal(open.pingTimeout, 20_000);
  assert.equal(open.maxPayload, 1_000_000);
}

describe("a polling handshake", () => {
  for (const path of ["/engine.io/", SOCKET]) {
    test(`on ${path} answers the open packet`, async () => {
      const response = await get(polling(path));
      assert.equal(response.status, 200);
      assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8");
      assert.equal(response.headers["cache-control"], "no-store");
      assert.equal(response.headers["content-length"], String(response.bytes.length));
      assert.equal(response.headers["set-cookie"], undefined);
      assert.equal(response.body[0], "0");
      assertOpen(JSON.parse(response.body.slice(1)), ["websocket"]);
    });
  }

  test("has the five keys in the reference's order", async () => {
    const { body } = await get(polling());
    assert.match(
      body,
      /^0\{"sid":"[\w-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/,
    );
  });

  test("gives every session another id", async () => {
    const ids = new Set();
    for (let i = 0; i < 50; i += 1) ids.add((await Polling.connect(context.server)).sid);
    assert.equal(ids.size, 50);
  });

  test("ignores a cache buster and unknown parameters", async () => {
    assert.equal((await get(`${polling()}&t=abc123&user=7&b64=1`)).status, 200);
  });

  test("takes an empty sid as none", async () => {
    const response = await get(`${polling()}&sid=`);
    assert.equal(response.status, 200);
    assert.equal(response.body[0], "0");
  });

  test("takes the last of two EIO keys, or refuses both", async () => {
    const response = await get("/engine.io/?transport=polling&EIO=3&EIO=4");
    if (ours && response.status === 400) assert.ok(response.body.startsWith('{"code":'));
    else assert.equal(response.body[0], "0");
  });

  for (const eio of ["", "&EIO=abc", "&EIO=3", "&EIO=5", "&EIO=", "&EIO=04"]) {
    test(`is refused with ${eio || "no EIO"}`, async () => {
      assertRefused(await get(`/engine.io/?transport=polling${eio}`), ...UNSUPPORTED);
    });
  }

  for (const transport of ["", "&transport=abc", "&transport=constructor", "&transport=__proto__", "&transport=webtransport", "&transport="]) {
    test(`is refused with ${transport || "no transport"}`, async () => {
      assertRefused(await get(`/engine.io/?EIO=4${transport}`), ...UNKNOWN_TRANSPORT);
    });
  }

  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
    test(`is refused as ${method}`, async () => {
      assertRefused(await get(polling(), { method }), ...BAD_METHOD);
    });
  }

  test("is refused as HEAD, without a body", async () => {
    const response = await get(polling(), { method: "HEAD" });
    assert.equal(response.status, 400);
    assert.equal(response.body, "");
  });

  test("is refused as POST with an empty sid", async () => {
    assertRefused(await get(`${polling()}&sid=`, { method: "POST", body: "4x" }), ...BAD_METHOD);
  });

  test("is refused for the websocket transport without an Upgrade header", async () => {
    assertRefused(await get(websocket()), ...BAD_REQUEST);
  });

  test("works on paths below the mount point", async () => {
    const response = await get("/socket.io/foo/bar?EIO=4&transport=polling");
    assert.equal(response.status, 200);
    assert.equal(response.body[0], "0");
  });

  test("is not handled without the slash before the query", async () => {
    assert.equal((await get("/socket.io?EIO=4&transport=polling")).status, 404);
  });

  test("is not handled elsewhere", async () => {
    assert.equal((await get("/elsewhere/?EIO=4&transport=polling")).status, 404);
  });

  test("works with HTTP/1.0", async () => {
    const connection = await rawConnection(context.server);
    connection.write(`GET ${polling()} HTTP/1.0\r\nHost: x\r\n\r\n`);
    await connection.ended();
    assert.match(connection.text(), /^HTTP\/1\.[01] 200 OK\r\n/);
    assert.match(connection.text(), /\r\n\r\n0\{"sid":"[^"]+".*\}$/);
  });

  test("works with Connection: close", async () => {
    const connection = await rawConnection(context.server);
    connection.write(`GET ${polling()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await connection.ended();
    assert.match(connection.text(), /\r\n\r\n0\{"sid":"[^"]+".*\}$/);
  });

  test("works twice on one kept-alive connection", async () => {
    const connection = await rawConnection(context.server);
    connection.write(`GET ${polling()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await connection.matches(/\r\n\r\n0\{.*\}$/);
    connection.write(`GET ${polling()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await connection.matches(/\r\n\r\n0\{.*\}HTTP\/1\.1 200 OK[^]*\r\n\r\n0\{.*\}$/);
    connection.destroy();
  });
});

describe("JSONP", () => {
  const jsonp = async (index, pattern) => {
    const response = await get(`${polling()}&j=${index}`);
    assert.equal(response.status, 200);
    assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8"); // the reference says so of a script, too
    assert.match(response.body, pattern);
  };

  test("wraps a handshake into a call", () => jsonp("7", /^___eio\[7\]\("0\{\\"sid\\":.*\}"\);$/));
  test("takes only digits for the index", () => jsonp("x7y", /^___eio\[7\]\(/));
  test("goes without an index", () => jsonp("x", /^___eio\[\]\(/));
});

describe("an unknown session id", () => {
  for (const sid of ["abc", "__proto__", "constructor", "hasOwnProperty", "%00", "x".repeat(2000)]) {
    const name = sid.length > 50 ? "of 2000 characters" : sid;
    test(`${name} is refused for GET`, async () => {
      assertRefused(await get(`${polling()}&sid=${sid}`), ...UNKNOWN_SID);
    });
    test(`${name} is refused for POST`, async () => {
      assertRefused(await get(`${polling()}&sid=${sid}`, { method: "POST", body: "4x" }), ...UNKNOWN_SID);
    });
  }

  test("of the other server on this port is unknown too", async () => {
    const session = await Polling.connect(context.server, "/engine.io/");
    assertRefused(await get(`${polling(SOCKET)}&sid=${session.sid}`), ...UNKNOWN_SID);
    await assertPollingEchoes(session);
  });

  test("is judged after the transport", async () => {
    assertRefused(await get("/engine.io/?EIO=4&transport=abc&sid=abc"), ...UNKNOWN_TRANSPORT);
  });
});

describe("requests that fit the session only partly", () => {
  test("another revision is refused and harms nothing", async () => {
    const session = await Polling.connect(context.server);
    assertRefused(await get(`/engine.io/?EIO=3&transport=polling&sid=${session.sid}`), ...BAD_REQUEST);
    await assertPollingEchoes(session);
  });

  test("another transport is refused and harms nothing", async () => {
    const session = await Polling.connect(context.server);
    assertRefused(await get(`${websocket()}&sid=${session.sid}`), ...BAD_REQUEST);
    await assertPollingEchoes(session);
  });

  test("polling on a WebSocket session is refused and harms nothing", async () => {
    const ws = await engineSession(context.server);
    assertRefused(await get(`${polling()}&sid=${ws.open.sid}`), ...BAD_REQUEST);
    assertRefused(await get(`${polling()}&sid=${ws.open.sid}`, { method: "POST", body: "4x" }), ...BAD_REQUEST);
    await assertEchoes(ws);
    ws.drop();
  });

  for (const method of ["PUT", "DELETE", "PATCH"]) {
    test(`${method} with a session id is refused and harms nothing`, async () => {
      const session = await Polling.connect(context.server);
      const response = await get(session.query, { method });
      const { status, body } = expected({
        reference: { status: 500, body: "" },
        sansocket: { status: 400, body: '{"code":2,"message":"Bad handshake method"}' },
      });
      assert.equal(response.status, status);
      assert.equal(response.body, body);
      await assertPollingEchoes(session);
    });
  }
});

describe("a WebSocket handshake", () => {
  for (const path of ["/engine.io/", SOCKET]) {
    test(`on ${path} begins with the open packet`, async () => {
      const ws = await openWebSocket(context.server, websocket(path));
      const first = await ws.next();
      assert.equal(first[0], "0");
      assertOpen(JSON.parse(first.slice(1)), []);
      ws.drop();
    });
  }

  test("does not negotiate compression that was not asked for", async () => {
    const { headers, ws } = await upgrade(websocket());
    assert.equal(headers["sec-websocket-extensions"], undefined);
    ws.drop();
  });

  test("declines permessage-deflate by default", async () => {
    const { headers, ws } = await upgrade(websocket(), {
      headers: { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" },
    });
    assert.equal(headers["sec-websocket-extensions"], undefined);
    ws.drop();
  });

  const refusedWith = (response, message) => {
    assert.equal(response.status, 400);
    assert.equal(response.statusLine, "HTTP/1.1 400 Bad Request");
    assert.match(response.headers["content-type"], /^text\/html\b/);
    assert.equal(response.headers["content-length"], String(message.length));
    assert.equal(response.body, message);
  };

  for (const transport of ["", "&transport=abc", "&transport=constructor", "&transport=webtransport"]) {
    test(`is refused with ${transport || "no transport"}`, async () => {
      refusedWith(await upgrade(`/engine.io/?EIO=4${transport}`), "Transport unknown");
    });
  }

  for (const sid of ["abc", "__proto__"]) {
    test(`is refused with the unknown sid ${sid}`, async () => {
      refusedWith(await upgrade(`${websocket()}&sid=${sid}`), "Session ID unknown");
    });
  }

  test("is refused as POST", async () => {
    refusedWith(await upgrade(websocket(), { method: "POST", headers: { "Content-Length": "0" } }), "Bad handshake method");
  });

  for (const eio of ["", "&EIO=abc", "&EIO=3"]) {
    test(`is refused with ${eio || "no EIO"}`, async () => {
      const response = await upgrade(`/engine.io/?transport=websocket${eio}`);
      if (ours) return refusedWith(response, "Unsupported protocol version");
      // The reference upgrades first and then writes its refusal as plain HTTP.
      assert.equal(response.status, 101);
      await response.ws.closed();
    });
  }

  test("is refused for the polling transport", async () => {
    const response = await upgrade(polling());
    if (ours) return refusedWith(response, "Bad request");
    assert.equal(response.status, 101);
    await response.ws.closed();
  });

  test("without a key or with a foreign version is no WebSocket", async () => {
    for (const headers of [{ "Sec-WebSocket-Version": "7" }, { "Sec-WebSocket-Key": undefined }, { "Sec-WebSocket-Key": "short" }]) {
      const connection = await rawConnection(context.server);
      connection.write(upgradeRequest(websocket(), { key: "dGhlIHNhbXBsZSBub25jZQ==", headers }));
      await connection.matches(/^HTTP\/1\.1 4\d\d /);
      connection.destroy();
    }
  });
});

describe("bytes that are hardly HTTP", () => {
  for (const [name, bytes] of [
    ["garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    ["an Origin with a control character", `GET ${polling()} HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n`],
    ["a negative Content-Length", `POST ${polling()}&sid=abc HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n`],
    ["an endless header", `GET ${polling()} HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(3_000_000)}`],
  ]) {
    test(`${name} is answered with 4xx or the end of the connection`, async () => {
      const connection = await rawConnection(context.server);
      connection.write(Buffer.from(bytes, "latin1"));
      await connection.ended();
      assert.match(connection.text(), /^(HTTP\/1\.[01] 4\d\d |$)/);
      connection.destroy();
    });
  }

  test("a request that never ends delays nobody", async () => {
    const connection = await rawConnection(context.server);
    connection.write(`GET ${polling()} HTTP/1.1\r\nHost: x\r\nX-Sl`);
    assert.equal((await get(polling())).status, 200);
    connection.destroy();
  });
});
