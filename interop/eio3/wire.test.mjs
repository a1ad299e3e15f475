// Engine.IO 3 and JSONP, byte by byte: the cases of the official suite for revision 3 and more, as data.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fetchRaw } from "../support/http.mjs";
import { CALM, expected, startConformance, STRICT } from "../support/server.mjs";
import { assertRefused, BAD_METHOD, BAD_REQUEST, UNKNOWN_SID, UNKNOWN_TRANSPORT } from "../support/session.mjs";
import { onOneServer } from "../support/suite.mjs";
import { until } from "../support/wait.mjs";
import { openWebSocket, tryUpgrade } from "../support/websocket.mjs";
import {
  BYTES,
  bytesPayload,
  fromText,
  OldPolling,
  oldSession,
  packetsOf,
  TEXT,
  textPayload,
  unwrap,
} from "../support/eio3.mjs";

const context = onOneServer({ ...CALM, "allow-eio3": true });
const get = (path) => fetchRaw(context.server, path);
const bytes = (...values) => Buffer.from(values);

const HANDSHAKE = { upgrades: ["websocket"], pingInterval: 600_000, pingTimeout: 60_000, maxPayload: 1_000_000 };

describe("handshake", () => {
  for (const query of ["EIO=3&transport=polling", "transport=polling", "EIO=3&transport=polling&b64=1"]) {
    test(`answers ${query}`, async () => {
      const response = await get(`/engine.io/?${query}`);
      assert.equal(response.status, 200);
      assert.equal(response.headers["content-type"], TEXT);
      assert.equal(response.headers["cache-control"], "no-store");
      const [packet, ...rest] = fromText(response.body);
      assert.deepEqual(rest, []);
      const { sid, ...others } = JSON.parse(packet.slice(1));
      assert.match(sid, /^[\w-]{20}$/);
      assert.deepEqual(others, HANDSHAKE);
      assert.equal(textPayload([packet]), response.body);
    });
  }

  test("opens a WebSocket", async () => {
    const ws = await oldSession(context.server);
    const { sid, ...others } = ws.open;
    assert.ok(sid);
    assert.deepEqual(others, { ...HANDSHAKE, upgrades: [] });
    ws.drop();
  });

  for (const [method, query, refusal] of [
    ["GET", "EIO=3", UNKNOWN_TRANSPORT],
    ["GET", "EIO=3&transport=abc", UNKNOWN_TRANSPORT],
    ["POST", "EIO=3&transport=polling", BAD_METHOD],
    ["PUT", "EIO=3&transport=polling", BAD_METHOD],
    ["GET", "EIO=3&transport=websocket", BAD_REQUEST],
    ["GET", "EIO=3&transport=polling&sid=unknown", UNKNOWN_SID],
  ]) {
    test(`refuses ${method} ${query}`, async () => {
      assertRefused(await fetchRaw(context.server, `/engine.io/?${query}`, { method }), ...refusal);
    });
  }

  test("refuses a request of the other revision", async () => {
    const session = await OldPolling.open(context.server);
    assertRefused(await get(session.query.replace("EIO=3", "EIO=4")), ...BAD_REQUEST);
  });
});

test("is refused by a server that does not allow it", async () => {
  const server = await startConformance(CALM);
  try {
    assertRefused(await fetchRaw(server, "/engine.io/?EIO=3&transport=polling"), 400, 5, "Unsupported protocol version");
  } finally {
    await server.stop();
  }
});

/** What is posted, and what the echo server sends back. A Buffer is posted as bytes, or is a binary message. */
const EXCHANGES = [
  ["one message", "", "6:4hello", ["4hello"], TEXT],
  ["several messages", "", "6:4test16:4test26:4test3", ["4test1", "4test2", "4test3"], TEXT],
  ["an empty message", "", "1:4", ["4"], TEXT],
  ["no message", "", "0:2:4a", ["4a"], TEXT],
  ["leading zeros", "", "06:4hello", ["4hello"], TEXT],
  ["text beyond ASCII", "&b64=1", "3:4😀2:4€", ["4😀", "4€"], TEXT],
  ["bytes as bytes", "", bytes(1, 5, 255, 4, 1, 2, 3, 4), [bytes(1, 2, 3, 4)], BYTES],
  ["bytes as base64", "", "10:b4AQIDBA==", [bytes(1, 2, 3, 4)], BYTES],
  ["bytes for a client without", "&b64=1", "6:4hello10:b4AQIDBA==", ["4hello", bytes(1, 2, 3, 4)], TEXT],
  ["text as bytes", "", bytesPayload(["4hello"]), ["4hello"], TEXT],
  ["a long message as bytes", "", bytesPayload([Buffer.alloc(12_345, 7)]), [Buffer.alloc(12_345, 7)], BYTES],
];

describe("polling", () => {
  for (const [name, query, posted, packets, type] of EXCHANGES) {
    test(`carries ${name}`, async () => {
      const session = await OldPolling.open(context.server, query);
      const answer = await session.post(posted);
      assert.deepEqual([answer.status, answer.body, answer.headers["content-type"]], [200, "ok", "text/html"]);
      if (packets.length > 1) return assert.deepEqual(await session.packets(packets.length), packets);
      const poll = await session.get();
      assert.equal(poll.headers["content-type"], type);
      assert.deepEqual(packetsOf(poll), packets);
      // Byte for byte.
      assert.deepEqual(poll.bytes, type === BYTES ? bytesPayload(packets) : Buffer.from(textPayload(packets)));
    });
  }

  test("carries text and bytes in one body", async () => {
    const session = await OldPolling.open(context.server);
    const packets = ["4hello", bytes(1, 2, 3, 4), "4world"];
    await session.post(bytesPayload(packets));
    assert.deepEqual(await session.packets(3), packets);
  });

  test("text beyond ASCII is text, or bytes that old clients read right", async () => {
    const session = await OldPolling.open(context.server);
    await session.post("2:4€");
    const poll = await session.get();
    assert.equal(poll.headers["content-type"], expected({ reference: TEXT, sansocket: BYTES }));
    assert.deepEqual(packetsOf(poll), ["4€"]);
  });

  for (const body of ["", "abc", "3:4a", "-1:2", "1:7", "2:4😀"]) {
    test(`ends a session that posts ${JSON.stringify(body)}`, async () => {
      const session = await OldPolling.open(context.server);
      const answer = await session.post(body);
      assert.equal(answer.status, expected({ reference: 200, sansocket: 400 }));
      assertRefused(await session.get(), ...UNKNOWN_SID);
    });
  }

  test("bytes that are cut off are refused, or taken as they are", async () => {
    const session = await OldPolling.open(context.server);
    const answer = await session.post(bytes(0, 3, 255, 52, 97));
    assert.equal(answer.status, expected({ reference: 200, sansocket: 400 }));
    if (answer.status === 200) assert.deepEqual(await session.packets(1), ["4a"]);
    else assertRefused(await session.get(), ...UNKNOWN_SID);
  });

  test("a ping is answered, and a pong ends the session", async () => {
    const session = await OldPolling.open(context.server);
    await session.post("1:2");
    assert.equal((await session.get()).body, "1:3");
    await session.post("2:2x");
    assert.equal((await session.get()).body, "1:3");
    assert.equal((await session.post("1:3")).body, "ok");
    assertRefused(await session.get(), ...UNKNOWN_SID);
  });

  test("closing releases the pending poll", async () => {
    const session = await OldPolling.open(context.server);
    const poll = await session.pendingGet();
    const [answer, posted] = await Promise.all([poll.answer, session.post("1:1")]);
    assert.deepEqual([posted.status, posted.body], [200, "ok"]);
    assert.equal(answer.body, "1:6");
    assertRefused(await session.get(), ...UNKNOWN_SID);
  });
});

describe("WebSocket", () => {
  const exchanges = [
    ["", "4hello", "4hello"],
    ["", "4€", "4€"],
    ["", "4", "4"],
    ["", "2", "3"],
    ["", "2probe", "3"],
    ["", bytes(4, 1, 2), bytes(4, 1, 2)],
    ["", "b4AQID", bytes(4, 1, 2, 3)],
    ["&b64=1", bytes(4, 1, 2), "b4AQI="],
    ["&b64=1", "b4AQID", "b4AQID"],
  ];
  for (const [query, sent, received] of exchanges) {
    test(`answers ${JSON.stringify(sent)} with ${JSON.stringify(received)}${query}`, async () => {
      const ws = await oldSession(context.server, query);
      ws.send(sent);
      assert.deepEqual(await ws.next(), received);
      ws.drop();
    });
  }

  test("ignores bytes that are no message", async () => {
    const ws = await oldSession(context.server);
    ws.send(bytes());
    ws.send(bytes(9, 1));
    ws.send("4after");
    assert.equal(await ws.next(), "4after");
    ws.drop();
  });

  for (const sent of ["abc", "", "3"]) {
    test(`closes after ${JSON.stringify(sent)}`, async () => {
      const ws = await oldSession(context.server);
      ws.send(sent);
      await ws.closed();
    });
  }

  test("base64 is for revision 4, too", async () => {
    const ws = await openWebSocket(context.server, "/engine.io/?EIO=4&transport=websocket&b64=1");
    await ws.next();
    ws.send(bytes(1, 2));
    assert.equal(await ws.next(), "bAQI=");
    ws.drop();
  });
});

describe("upgrade", () => {
  test("moves the session, and releases the poll", async () => {
    const session = await OldPolling.open(context.server);
    const poll = await session.pendingGet();
    const ws = await openWebSocket(context.server, session.upgrade);
    ws.send("2probe");
    assert.equal(await ws.next(), "3probe");
    assert.equal((await poll.answer).body, "1:6");
    ws.send("5");
    ws.send("4hello");
    assert.equal(await ws.next(), "4hello");
    ws.send(bytes(4, 1));
    assert.deepEqual(await ws.next(), bytes(4, 1));
    assertRefused(await session.get(), ...BAD_REQUEST);
    ws.drop();
  });

  test("a WebSocket of the other revision is refused", async () => {
    const session = await OldPolling.open(context.server);
    const answer = await tryUpgrade(context.server, session.upgrade.replace("EIO=3", "EIO=4"));
    if (answer.ws) await answer.ws.closed();
    else assert.equal(answer.status, 400);
    await session.post("2:4a");
    assert.deepEqual(await session.packets(1), ["4a"]);
  });
});

describe("heartbeat", () => {
  test("the client pings; without pings it is given up, on either transport", async () => {
    const server = await startConformance({ ...STRICT, "allow-eio3": true });
    try {
      const ws = await oldSession(server);
      const polling = await OldPolling.open(server);
      for (let ping = 0; ping < 3; ping += 1) {
        const poll = polling.get();
        ws.send("2");
        assert.equal(await ws.next(), "3");
        await polling.post("1:2");
        assert.equal((await poll).body, "1:3");
      }
      // Nothing but the end: the server does not ping.
      assert.deepEqual((await ws.next()).closed, true);
      await until(async () => (await polling.get()).status === 400, "the polling session ends");
    } finally {
      await server.stop();
    }
  });
});

describe("JSONP", () => {
  const form = (data) => `d=${encodeURIComponent(data)}`;
  const FORM = "application/x-www-form-urlencoded";

  for (const [j, index] of [
    ["7", "7"],
    ["x7y", "7"],
    ["alert(1)", "1"],
    ["", ""],
  ]) {
    for (const eio of ["3", "4"]) {
      test(`wraps a handshake of revision ${eio} with j=${j}`, async () => {
        const response = await get(`/engine.io/?EIO=${eio}&transport=polling&j=${encodeURIComponent(j)}`);
        assert.equal(response.status, 200);
        assert.equal(response.headers["content-type"], TEXT);
        assert.ok(response.body.startsWith(`___eio[${index}]("`) && response.body.endsWith('");'), response.body);
        assert.match(unwrap(response.body), eio === "3" ? /^\d+:0\{"sid"/ : /^0\{"sid"/);
      });
    }
  }

  test("keeps a browser of one make from seeing an attack in it", async () => {
    const headers = { "User-Agent": "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko" };
    const response = await fetchRaw(context.server, "/engine.io/?EIO=3&transport=polling&j=0", { headers });
    assert.equal(response.headers["x-xss-protection"], "0");
  });

  test("escapes what a script would stumble over", async () => {
    const session = await OldPolling.open(context.server, "&j=5&b64=1");
    const posted = await session.post(form('15:4a"b\u2028</script>\\n'), FORM);
    assert.deepEqual([posted.status, posted.body, posted.headers["content-type"]], [200, "ok", "text/html"]);
    assert.equal((await session.get()).body, String.raw`___eio[5]("15:4a\"b\u2028</script>\n");`);
  });

  test("takes back the escapes of line ends", async () => {
    const session = await OldPolling.open(context.server, "&j=0&b64=1");
    await session.post(form("4:4a\\nb"), FORM);
    assert.deepEqual(await session.packets(1), ["4a\nb"]);
    await session.post(form("5:4a\\\\nb"), FORM);
    assert.deepEqual(await session.packets(1), ["4a\\nb"]);
  });

  test("a form without the field is nothing, and a malformed one ends the session", async () => {
    const session = await OldPolling.open(context.server, "&j=0&b64=1");
    assert.equal((await session.post("e=1", FORM)).body, "ok");
    await session.post(form("10:b4AQIDBA=="), FORM);
    assert.equal((await session.get()).body, '___eio[0]("10:b4AQIDBA==");');
    await session.post(form("abc"), FORM);
    assertRefused(await session.get(), ...UNKNOWN_SID);
  });

  test("carries revision 4 as well", async () => {
    const path = "/engine.io/?EIO=4&transport=polling";
    const response = await get(`${path}&j=0`);
    const query = `${path}&sid=${JSON.parse(unwrap(response.body).slice(1)).sid}&j=0`;
    await fetchRaw(context.server, query, { method: "POST", body: form("4é"), headers: { "Content-Type": FORM } });
    assert.equal((await get(query)).body, '___eio[0]("4é");');
  });
});

describe("Socket.IO 2", () => {
  const join = async (query = "") => {
    const ws = await oldSession(context.server, query, "/socket.io/");
    assert.equal(await ws.next(), "40");
    assert.equal(await ws.next(), '42["auth",{}]');
    return ws;
  };
  const echoes = async (ws, nsp = "") => {
    ws.send(`42${nsp}["echo",1]`);
    assert.equal(await ws.next(), `42${nsp}["echo",1]`);
    ws.drop();
  };

  test("the main namespace is joined by opening", async () => echoes(await join()));

  test("over polling it is joined in the second answer", async () => {
    const session = await OldPolling.open(context.server, "", "/socket.io/");
    assert.deepEqual(await session.packets(2), ["40", '42["auth",{}]']);
  });

  test("joining it again ends the connection", async () => {
    const ws = await join();
    ws.send("40");
    await ws.closed();
  });

  for (const [asked, reply, auth] of [
    ["40/custom,", "40/custom,", "{}"],
    ["40/custom?token=a%20b&x=1,", "40/custom,", '{"token":"a b","x":"1"}'],
    ['40/custom,{"token":"ignored"}', "40/custom,", "{}"],
  ]) {
    test(`${asked} joins`, async () => {
      const ws = await join();
      ws.send(asked);
      assert.equal(await ws.next(), reply);
      assert.equal(await ws.next(), `42/custom,["auth",${auth}]`);
      ws.send('42/custom?token=other,["echo",1]');
      assert.equal(await ws.next(), '42/custom,["echo",1]');
      ws.send("41/custom,");
      await echoes(ws);
    });
  }

  test("an unknown namespace is refused", async () => {
    const ws = await join();
    ws.send("40/unknown,");
    assert.equal(await ws.next(), '44/unknown,{"message":"Invalid namespace"}');
    await echoes(ws);
  });

  test("attachments have their type in front", async () => {
    const ws = await join();
    ws.send('451-["echo",{"_placeholder":true,"num":0}]');
    ws.send(bytes(4, 1, 2, 3));
    assert.equal(await ws.next(), '451-["echo",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await ws.next(), bytes(4, 1, 2, 3));
    ws.drop();
  });

  test("the session's id is the name of its room", async () => {
    const [one, other] = [await join(), await join()];
    other.send(`42["bcast","${one.open.sid}","hello"]`);
    assert.equal(await one.next(), '42["bcast","hello"]');
    other.drop();
    one.drop();
  });
});
