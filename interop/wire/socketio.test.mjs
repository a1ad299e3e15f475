// Socket.IO packets, one by one (protocol.md C.1-C.5, H.3, H.4 rows 70-115), over a WebSocket unless said otherwise.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CALM, ours } from "../support/server.mjs";
import { fetchRaw, Polling } from "../support/http.mjs";
import { onOneServer } from "../support/suite.mjs";
import {
  assertGone,
  assertRefused,
  assertSocketEchoes,
  engineSession,
  join,
  polling,
  probed,
  SOCKET,
  socketSession,
  UNKNOWN_SID,
} from "../support/session.mjs";

const context = onOneServer();
const fresh = () => engineSession(context.server, SOCKET);
const joined = (...args) => socketSession(context.server, ...args);
const PH = (n) => `{"_placeholder":true,"num":${n}}`;

/** The connection ends, and the engine session with it. */
async function assertEnds(ws) {
  const last = await ws.next();
  assert.equal(last.closed, true, `got ${last} instead of the end`);
  assert.equal(last.code, undefined);
  assertRefused(await fetchRaw(context.server, `${polling(SOCKET)}&sid=${ws.open.sid}`), ...UNKNOWN_SID);
}

/** Each of `messages` (a packet, or a packet with its attachments) ends a connection that has joined `/`. */
function endsAConnection(name, ...messages) {
  for (const message of messages) {
    const parts = [message].flat();
    test(`${name}: ${show(parts)} ends the connection`, async () => {
      const ws = await joined();
      ws.sendTogether(...parts);
      await assertEnds(ws);
    });
  }
}

/** Nothing happens, and the connection goes on. */
function isIgnored(name, ...messages) {
  for (const message of messages) {
    const parts = [message].flat();
    test(`${name}: ${show(parts)} is ignored`, async () => {
      const ws = await joined();
      ws.sendTogether(...parts);
      await assertSocketEchoes(ws);
      ws.drop();
    });
  }
}

/**
 * Leaves a namespace and waits until the server knows. The reference handles a
 * packet for a joined namespace one tick later than the next CONNECT.
 */
async function leave(ws, packet = "41") {
  ws.send(packet);
  ws.ping("left");
  await ws.pongs.next();
}

/** `sent` is answered by exactly `received` on a connection that has joined `/`. */
function isAnswered(name, sent, received) {
  test(`${name}: ${show([sent].flat())} is answered`, async () => {
    const ws = await joined();
    ws.sendTogether(...[sent].flat());
    for (const item of [received].flat()) assert.deepEqual(await ws.next(), item);
    await assertSocketEchoes(ws);
    ws.drop();
  });
}

function show(parts) {
  const text = parts.map((part) => (typeof part === "string" ? part : `<${part.length} bytes>`)).join(" + ");
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

describe("joining", () => {
  test("the main namespace", async () => {
    const ws = await fresh();
    ws.send("40");
    assert.match(await ws.next(), /^40\{"sid":"[\w-]{20}"\}$/);
    assert.equal(await ws.next(), '42["auth",{}]');
    ws.drop();
  });

  test("the main namespace with a payload", async () => {
    const ws = await joined("/", { token: "123" });
    await assertSocketEchoes(ws);
    ws.drop();
  });

  test("a custom namespace", async () => {
    const ws = await fresh();
    ws.send("40/custom,");
    assert.match(await ws.next(), /^40\/custom,\{"sid":"[\w-]{20}"\}$/);
    assert.equal(await ws.next(), '42/custom,["auth",{}]');
    ws.drop();
  });

  test("a custom namespace with a payload", async () => {
    const ws = await joined("/custom", { token: "abc" });
    await assertSocketEchoes(ws, "/custom");
    ws.drop();
  });

  test("several namespaces on one connection, each with an id of its own", async () => {
    const ws = await fresh();
    const ids = new Set([ws.open.sid, await join(ws, "/"), await join(ws, "/custom")]);
    assert.equal(ids.size, 3);
    await assertSocketEchoes(ws, "/");
    await assertSocketEchoes(ws, "/custom");
    ws.drop();
  });

  test("a namespace that does not exist is refused, and the connection goes on", async () => {
    const ws = await fresh();
    ws.send("40/random");
    assert.equal(await ws.next(), '44/random,{"message":"Invalid namespace"}');
    ws.send('40/random,{"token":"x"}');
    assert.equal(await ws.next(), '44/random,{"message":"Invalid namespace"}');
    await join(ws);
    await assertSocketEchoes(ws);
    ws.drop();
  });

  for (const nsp of ["/CUSTOM", "/%63ustom", "/custom/", "/custom?x=1", "/12", "/é😀", "//", "/__proto__", "/constructor", "/\n"]) {
    test(`${JSON.stringify(nsp)} is taken literally and refused`, async () => {
      const ws = await fresh();
      ws.send(`40${nsp},`);
      assert.equal(await ws.next(), `44${nsp},{"message":"Invalid namespace"}`);
      ws.drop();
    });
  }

  test("a payload without the comma is part of the name", async () => {
    const ws = await fresh();
    ws.send('40/custom{"t":1}');
    assert.equal(await ws.next(), '44/custom{"t":1},{"message":"Invalid namespace"}');
    ws.drop();
  });

  for (const packet of ["40/", "40/,"]) {
    test(`${packet} is the main namespace`, async () => {
      const ws = await fresh();
      ws.send(packet);
      assert.match(await ws.next(), /^40\{"sid":"[\w-]{20}"\}$/);
      ws.drop();
    });
  }

  test("40/custom needs no comma", async () => {
    const ws = await fresh();
    ws.send("40/custom");
    assert.match(await ws.next(), /^40\/custom,\{"sid":"[\w-]{20}"\}$/);
    ws.drop();
  });

  for (const packet of ["405{}", "4012", '407{"a":1}', "40{} "]) {
    test(`${JSON.stringify(packet)} joins`, async () => {
      const ws = await fresh();
      ws.send(packet);
      assert.match(await ws.next(), /^40\{"sid":"[\w-]{20}"\}$/);
      ws.drop();
    });
  }

  test("with a blank before the payload", async () => {
    const ws = await fresh();
    ws.send("40 {}");
    assert.match(await ws.next(), /^40\{"sid":"[\w-]{20}"\}$/);
    ws.drop();
  });

  for (const packet of ["40null", "40[]", '40"x"', "40true", "40{bad", "40{}x", '40/custom,["x"]', "40/custom,null"]) {
    test(`${packet} ends the connection`, async () => {
      const ws = await fresh();
      ws.send(packet);
      await assertEnds(ws);
    });
  }

  test("twice at once", async () => {
    const ws = await fresh();
    ws.sendTogether("40", "40");
    if (ours) {
      await ws.closed();
      return;
    }
    const seen = [];
    for (let i = 0; i < 4; i += 1) seen.push(await ws.next());
    assert.equal(seen.filter((packet) => packet.startsWith('40{"sid"')).length, 2);
    ws.drop();
  });

  test("twice ends the connection", async () => {
    const ws = await joined();
    ws.send("40");
    await assertEnds(ws);
  });

  test("works again after leaving, with a new id", async () => {
    const ws = await fresh();
    const first = await join(ws);
    await leave(ws);
    const second = await join(ws);
    assert.notEqual(first, second);
    await assertSocketEchoes(ws);
    ws.drop();
  });

  test("right behind leaving works too, but not for the reference", async () => {
    const ws = await joined();
    ws.sendTogether("41", "40");
    if (ours) {
      assert.match(await ws.next(), /^40\{"sid":"[\w-]{20}"\}$/);
      assert.equal(await ws.next(), '42["auth",{}]');
      ws.drop();
    } else {
      await assertEnds(ws);
    }
  });

  test("carries auth payloads as they are", async () => {
    const ws = await joined("/", { nested: { list: [1, "two", null, true], "ключ": "é😀" }, __proto__x: 1 });
    ws.drop();
  });
});

describe("before joining", () => {
  for (const packet of ['42["e"]', "43[]", "430[1]", "41", '42/custom,["e"]', "41/custom,", '44{"message":"x"}', '451-["e",{"_placeholder":true,"num":0}]']) {
    test(`${packet} ends the connection`, async () => {
      const ws = await fresh();
      ws.sendTogether(...(packet.startsWith("45") ? [packet, Buffer.from([1])] : [packet]));
      await assertEnds(ws);
    });
  }

  test("an event right behind the CONNECT ends the connection", async () => {
    const ws = await fresh();
    ws.sendTogether("40", '42["echo",1]');
    // The reply may have left already; the echo must not.
    for (;;) {
      const item = await ws.next();
      if (item.closed) break;
      assert.doesNotMatch(item, /echo/);
    }
  });
});

describe("the connect timeout", () => {
  const TIMEOUT = 2000;
  const context = onOneServer({ ...CALM, "connect-timeout": TIMEOUT }, { bystanders: false });
  const fresh = () => engineSession(context.server, SOCKET);
  const joined = () => socketSession(context.server);

  test("no CONNECT at all ends the connection after the connect timeout", async () => {
    const begun = performance.now();
    const ws = await fresh();
    assert.equal((await ws.next()).closed, true);
    const took = performance.now() - begun;
    assert.ok(took > TIMEOUT - 50, `${took} ms instead of ${TIMEOUT} ms`);
  });

  test("no CONNECT at all ends a polling connection too", async () => {
    const session = await Polling.connect(context.server, SOCKET);
    assert.equal((await session.get()).body, "1");
    await assertGone(session);
  });

  test("a refused CONNECT does not stop the connect timeout", async () => {
    const ws = await fresh();
    ws.send("40/random,");
    assert.equal(await ws.next(), '44/random,{"message":"Invalid namespace"}');
    assert.equal((await ws.next()).closed, true);
  });

  test("leaving everything does not start the connect timeout again", async () => {
    const ws = await joined();
    const other = await fresh();
    ws.send("41");
    // The other one's timeout is later than ours would have been.
    await other.closed();
    await join(ws);
    ws.drop();
  });
});

describe("leaving", () => {
  test("the main namespace keeps the connection", async () => {
    const ws = await joined();
    await join(ws, "/custom");
    ws.send("41");
    await assertSocketEchoes(ws, "/custom");
    ws.drop();
  });

  for (const packet of ["41/custom", "41/custom,"]) {
    test(`${packet} keeps the main namespace`, async () => {
      const ws = await joined();
      await join(ws, "/custom");
      ws.send(packet);
      await assertSocketEchoes(ws);
      ws.drop();
    });
  }

  test("an id is ignored", async () => {
    const ws = await joined();
    await leave(ws, "4112");
    await join(ws);
    ws.drop();
  });

  test("what comes for the namespace afterwards ends the connection", async () => {
    for (const packet of ['42["echo",1]', "41", "430[]"]) {
      const ws = await joined();
      await leave(ws);
      ws.send(packet);
      await assertEnds(ws);
    }
  });

  test("drops the acknowledgements on their way", async () => {
    const session = await Polling.connect(context.server, SOCKET);
    await session.post("40");
    await session.collect((seen) => seen.includes('42["auth",{}]'));
    assert.equal((await session.post('427["message-with-ack",1]\x1e41')).body, "ok");
    await session.post("40");
    const next = (await session.get()).body;
    assert.match(next, /^40\{"sid"/);
  });

  endsAConnection("data for DISCONNECT", "41{}", "41[]", "41,", '41"x"', "41null");
  endsAConnection("a namespace that was not joined", '42/custom,["e"]', "41/custom,", "43/custom,1[]", '42/random,["e"]', "41/random,");
});

describe("an event", () => {
  isAnswered("plain", '42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]');
  isAnswered("without arguments", '42["message"]', '42["message-back"]');
  isAnswered("all JSON types", '42["echo",null,true,false,0,-1.5,"",[],{},[[{"a":[]}]]]', '42["echo",null,true,false,0,-1.5,"",[],{},[[{"a":[]}]]]');
  isAnswered("beyond ASCII", '42["echo","é😀\\u001e\\u0000ключ"]', '42["echo","é😀\\u001e\\u0000ключ"]');
  isAnswered("a lone surrogate", '42["echo","\\ud800"]', '42["echo","\\ud800"]');
  isAnswered("a key named __proto__", '42["echo",{"__proto__":{"x":1},"constructor":2}]', '42["echo",{"__proto__":{"x":1},"constructor":2}]');
  isAnswered("something like a placeholder", `42["echo",${PH(0)}]`, `42["echo",${PH(0)}]`);
  isAnswered("nested a hundred deep", `42["echo",${"[".repeat(100)}${"]".repeat(100)}]`, `42["echo",${"[".repeat(100)}${"]".repeat(100)}]`);
  isAnswered("JSON with a trailing blank", '42["echo",1] ', '42["echo",1]');
  isAnswered("the main namespace named", '42/,["echo",1]', '42["echo",1]');
  isAnswered("with an ack", '42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]');
  isAnswered("with ack id 0", '420["ack"]', "430[]");
  isAnswered("with a leading zero in the id", '4200["ack",1]', "430[1]");
  isAnswered("with a large ack id", '429007199254740991["ack"]', "439007199254740991[]");
  isAnswered("joining a room", '421["join","r"]', "431[]");

  test("in a custom namespace is answered there", async () => {
    const ws = await joined("/custom");
    ws.send('42/custom,12["ack","é"]');
    assert.equal(await ws.next(), '43/custom,12["é"]');
    ws.drop();
  });

  test("acks may be asked for twice with one id", async () => {
    const ws = await joined();
    ws.sendTogether('425["ack",1]', '425["ack",2]');
    assert.equal(await ws.next(), "435[1]");
    assert.equal(await ws.next(), "435[2]");
    ws.drop();
  });

  test("among many keeps its place", async () => {
    const ws = await joined();
    ws.sendTogether(...Array.from({ length: 300 }, (_, i) => (i % 2 ? `42["echo",${i}]` : `42${i}["ack",${i}]`)));
    for (let i = 0; i < 300; i += 1) assert.equal(await ws.next(), i % 2 ? `42["echo",${i}]` : `43${i}[${i}]`);
    ws.drop();
  });

  isIgnored("that nobody handles", '42["nobody",1]', '427["nobody",1]', '42["error"]', '42["connection"]', '42[""]', "42[1,2]", '42["__proto__"]', '42["constructor"]', '42["hasOwnProperty"]', '42["toString"]');
  isIgnored("without data", "42", "421");

  endsAConnection("not an event", "42[]", "42{}", "42null", "42[null]", "42[{}]", "42[true]", "42[[]]", '42"e"');
  endsAConnection("a reserved name", ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => `42["${name}"]`));
  endsAConnection("bad JSON", '42["e",1]x', '42["e"', '42["e",]', "42['e']", '42["e",01]', '42["e","\t"]', '42["e",NaN]', '42["\\x"]');
  endsAConnection("bad id", '42-1["echo",1]', '421.5["echo",1]', '42abc["message-with-ack",1,"2",{"3":[false]}]', '421e2["echo",1]', '42٣["echo",1]', '42+1["echo",1]');
  endsAConnection("bad type", "4", "4abc", "47", "49", '4-1["e"]', "4é");
  endsAConnection("attachments on a plain event", `421-["echo",${PH(0)}]`);
  endsAConnection("CONNECT_ERROR from the client", '44{"message":"x"}', '44"x"', "44");

  if (ours) {
    endsAConnection("blanks for ids", '42 1["ack"]', '4 2["ack"]');
    isIgnored("with a blank for an id", '42 ["ack"]');
    isAnswered("with a blank behind its id", '421 ["ack"]', "431[]");
    endsAConnection("an id over 64 bits", '4218446744073709551616["ack"]', '429999999999999999999999["ack"]');
    isAnswered("the largest id", '4218446744073709551615["ack"]', "4318446744073709551615[]");
  } else {
    isAnswered("blanks for ids", '42 1["ack"]', "431[]");
    isAnswered("blanks for ids", '42 ["ack"]', "430[]");
    isAnswered("an id over 64 bits", '429999999999999999999999["ack"]', "431e+22[]");
  }

  test("of absurd depth harms nobody", async () => {
    const ws = await joined();
    // Nobody handles it; whether it is refused is the parser's business.
    ws.send(`42["nobody",${"[".repeat(100_000)}${"]".repeat(100_000)}]`);
    ws.send('42["echo","after"]');
    const item = await ws.next();
    if (!item.closed) assert.equal(item, '42["echo","after"]');
    ws.drop();
  });

  test("of nearly a megabyte comes back", async () => {
    const ws = await joined();
    const packet = `42["echo","${"x".repeat(990_000)}"]`;
    ws.send(packet);
    assert.equal(await ws.next(), packet);
    ws.drop();
  });
});

describe("an acknowledgement nobody waits for", () => {
  isIgnored("unknown or missing id", "430[]", "4399[1,2]", "43[1]", "430", "43", [`461-5[${PH(0)}]`, Buffer.from([1])]);
  endsAConnection("not an array", "430{}", '430"x"', "430null", "43{}", "431[");
});

describe("attachments", () => {
  const one = Buffer.from([1, 2, 3]);
  const two = Buffer.from([4, 5, 6]);

  isAnswered("an event with two", [`452-["message",${PH(0)},${PH(1)}]`, one, two], [`452-["message-back",${PH(0)},${PH(1)}]`, one, two]);
  isAnswered("with an ack", [`452-789["message-with-ack",${PH(0)},${PH(1)}]`, one, two], [`462-789[${PH(0)},${PH(1)}]`, one, two]);
  isAnswered("nested", [`451-["echo",{"a":[{"b":${PH(0)}}]}]`, one], [`451-["echo",{"a":[{"b":${PH(0)}}]}]`, one]);
  isAnswered("empty", [`451-["echo",${PH(0)}]`, Buffer.alloc(0)], [`451-["echo",${PH(0)}]`, Buffer.alloc(0)]);
  isAnswered("as base64 in text", [`451-["echo",${PH(0)}]`, "bAQID"], [`451-["echo",${PH(0)}]`, one]);
  isAnswered("ten", [
    `4510-["echo",${Array.from({ length: 10 }, (_, i) => PH(i)).join(",")}]`,
    ...Array.from({ length: 10 }, (_, i) => Buffer.from([i])),
  ], [
    `4510-["echo",${Array.from({ length: 10 }, (_, i) => PH(i)).join(",")}]`,
    ...Array.from({ length: 10 }, (_, i) => Buffer.from([i])),
  ]);
  isAnswered("none used", ['451-["echo"]', one], '42["echo"]');
  isAnswered("string instead of true is no placeholder", ['451-["echo",{"_placeholder":"true","num":0}]', one], '42["echo",{"_placeholder":"true","num":0}]');
  isAnswered("out of order", [`452-["echo",${PH(1)},${PH(0)}]`, one, two], [`452-["echo",${PH(0)},${PH(1)}]`, two, one]);

  test("the same twice", async () => {
    const ws = await joined();
    ws.sendTogether(`451-["echo",${PH(0)},${PH(0)}]`, one);
    // The reference sends two copies; sending one that is named twice means the same.
    const head = await ws.next();
    if (head.startsWith("452-")) {
      assert.equal(head, `452-["echo",${PH(0)},${PH(1)}]`);
      assert.deepEqual([await ws.next(), await ws.next()], [one, one]);
    } else {
      assert.ok(ours);
      assert.equal(head, `451-["echo",${PH(0)},${PH(0)}]`);
      assert.deepEqual(await ws.next(), one);
    }
    await assertSocketEchoes(ws);
    ws.drop();
  });

  test("in a custom namespace", async () => {
    const ws = await joined("/custom");
    ws.sendTogether(`451-/custom,45["ack",${PH(0)}]`, one);
    assert.equal(await ws.next(), `461-/custom,45[${PH(0)}]`);
    assert.deepEqual(await ws.next(), one);
    ws.drop();
  });

  test("that come late keep the event waiting", async () => {
    const ws = await joined();
    ws.send(`452-["echo",${PH(0)},${PH(1)}]`);
    ws.send(one);
    ws.ping("still there");
    await ws.pongs.next();
    assert.equal(ws.unread, 0);
    ws.send(two);
    assert.equal(await ws.next(), `452-["echo",${PH(0)},${PH(1)}]`);
    assert.deepEqual([await ws.next(), await ws.next()], [one, two]);
    ws.drop();
  });

  test("may come in another POST than their event", async () => {
    const session = await Polling.connect(context.server, SOCKET);
    await session.post("40");
    await session.collect((seen) => seen.includes('42["auth",{}]'));
    await session.post(`452-["echo",${PH(0)},${PH(1)}]\x1ebAQID`);
    await session.post("bBAUG");
    const echo = await session.collect((seen) => seen.endsWith("bBAUG"));
    assert.equal(echo, `452-["echo",${PH(0)},${PH(1)}]\x1ebAQID\x1ebBAUG`);
    await session.post("1");
  });

  test("may come after the upgrade", async () => {
    const { session, ws } = await probed(context.server, SOCKET);
    await session.post("40");
    await session.post(`451-["echo",${PH(0)}]`).catch(() => {});
    ws.send("5");
    const seen = [];
    ws.send(one);
    while (!seen.some((item) => Buffer.isBuffer(item))) {
      const item = await ws.next();
      assert.ok(!item.closed, "the connection ended");
      seen.push(item);
    }
    assert.deepEqual(seen.at(-1), one);
    assert.equal(seen.at(-2), `451-["echo",${PH(0)}]`);
    ws.drop();
  });

  isIgnored("an event without data", ["451-", one]);

  endsAConnection("a wrong count", `450-["echo"]`, [`4511-["echo",${PH(0)}]`, one], `45["echo"]`, `45-["echo"]`, [`45-1-["echo"]`, one], [`451.5-["echo"]`, one], `45999999999999999999-["echo"]`, "45", "451", "451[", "46");
  endsAConnection("a wrong number", [`451-["echo",${PH(1)}]`, one], [`451-["echo",${PH(-1)}]`, one], ['451-["echo",{"_placeholder":true,"num":"0"}]', one], ['451-["echo",{"_placeholder":true}]', one], ['451-["echo",{"_placeholder":true,"num":null}]', one]);
  endsAConnection("a reserved name", `451-["connect",${PH(0)}]`, `451-[${PH(0)}]`);
  endsAConnection("text while bytes are due", [`451-["echo",${PH(0)}]`, '42["echo",1]'], [`452-["echo",${PH(0)},${PH(1)}]`, one, '42["echo",1]']);
  endsAConnection("bytes nobody announced", [one], [`451-["nobody",${PH(0)}]`, one, two], "bAQID");

  if (ours) {
    endsAConnection("a count that is no plain number", [`451.0-["echo",${PH(0)}]`, one], [`45 1-["echo",${PH(0)}]`, one], [`451e0-["echo",${PH(0)}]`, one], [`450x1-["echo",${PH(0)}]`, one]);
    endsAConnection("half a number", [`451-["echo",${PH(0.5)}]`, one]);
  } else {
    isAnswered("a count that is no plain number", [`451.0-["echo",${PH(0)}]`, one], [`451-["echo",${PH(0)}]`, one]);
    isAnswered("half a number", [`451-["echo",${PH(0.5)}]`, one], '42["echo",null]');
  }
});

describe("rooms", () => {
  test("a broadcast reaches every member, the sender too, and nobody else", async () => {
    const [one, two, outsider] = [await joined(), await joined(), await joined()];
    for (const ws of [one, two]) {
      ws.send('421["join","room"]');
      assert.equal(await ws.next(), "431[]");
    }
    one.send('42["bcast","room",{"n":1}]');
    for (const ws of [one, two]) assert.equal(await ws.next(), '42["bcast",{"n":1}]');
    await assertSocketEchoes(outsider);
    for (const ws of [one, two, outsider]) ws.drop();
  });

  test("bytes reach every member, on polling too", async () => {
    const [one, two] = [await joined(), await Polling.connect(context.server, SOCKET)];
    one.send('421["join","bytes"]');
    assert.equal(await one.next(), "431[]");
    await two.post("40");
    await two.collect((seen) => seen.includes('42["auth",{}]'));
    await two.post('421["join","bytes"]');
    assert.equal((await two.get()).body, "431[]");
    one.sendTogether(`451-["bcast","bytes",${PH(0)}]`, Buffer.from([1, 2, 3]));
    assert.equal(await one.next(), `451-["bcast",${PH(0)}]`);
    assert.deepEqual(await one.next(), Buffer.from([1, 2, 3]));
    const got = await two.collect((seen) => seen.endsWith("bAQID"));
    assert.equal(got, `451-["bcast",${PH(0)}]\x1ebAQID`);
    one.drop();
    await two.post("1");
  });

  test("belong to their namespace", async () => {
    const [one, two] = [await joined("/"), await joined("/custom")];
    one.send('421["join","same"]');
    assert.equal(await one.next(), "431[]");
    two.send('42/custom,1["join","same"]');
    assert.equal(await two.next(), "43/custom,1[]");
    one.send('42["bcast","same",1]');
    assert.equal(await one.next(), '42["bcast",1]');
    await assertSocketEchoes(two, "/custom");
    one.drop();
    two.drop();
  });

  test("are left with the namespace", async () => {
    const ws = await joined();
    ws.send('421["join","left"]');
    assert.equal(await ws.next(), "431[]");
    await leave(ws);
    await join(ws);
    ws.send('42["bcast","left",1]');
    await assertSocketEchoes(ws);
    ws.drop();
  });

  test("a member that vanished does not disturb a broadcast", async () => {
    const [one, two] = [await joined(), await joined()];
    for (const ws of [one, two]) {
      ws.send('421["join","vanishing"]');
      assert.equal(await ws.next(), "431[]");
    }
    two.drop();
    one.send('42["bcast","vanishing",1]');
    assert.equal(await one.next(), '42["bcast",1]');
    one.drop();
  });
});

test("one bad namespace packet takes all namespaces of its connection along", async () => {
  const ws = await joined();
  await join(ws, "/custom");
  ws.send('42/custom,{"not":"an event"}');
  await assertEnds(ws);
});

test("packets do the same over polling", async () => {
  const session = await Polling.connect(context.server, SOCKET);
  await session.post("40/custom,");
  const seen = await session.collect((packets) => packets.includes('42/custom,["auth",{}]'));
  assert.match(seen, /^40\/custom,\{"sid":"[\w-]{20}"\}\x1e42\/custom,\["auth",\{\}\]$/);
  await session.post('42/custom,3["ack",1]\x1e42/custom,["echo",2]');
  const got = await session.collect((packets) => packets.includes("echo"));
  assert.equal(got, '43/custom,3[1]\x1e42/custom,["echo",2]');
  await session.post("41/custom,\x1e1");
  await assertGone(session);
});
