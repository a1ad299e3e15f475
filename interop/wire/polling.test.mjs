// HTTP long-polling: polls, posts, payloads and their errors (protocol.md A.3, A.7, A.8, H.4 rows 13-40).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { expected, ours } from "../support/server.mjs";
import { isTaken, Polling, rawConnection } from "../support/http.mjs";
import { onOneServer } from "../support/suite.mjs";
import { assertGone, assertPollingEchoes, SOCKET } from "../support/session.mjs";

const context = onOneServer();
const connect = (path) => Polling.connect(context.server, path);
const RS = "\x1e";

function assertOk(response) {
  assert.equal(response.status, 200);
  assert.equal(response.body, "ok");
}

/** What a POST gets whose payload does not parse: the session ends either way. */
function assertParseError(response) {
  const { status, body } = expected({
    reference: { status: 200, body: "ok" },
    sansocket: { status: 400, body: "" },
  });
  assert.equal(response.status, status);
  assert.equal(response.body, body);
}

/** Posts, then polls once: the echo of what was delivered. */
async function echoOf(payload) {
  const session = await connect();
  assertOk(await session.post(payload));
  return packetsOf(session, payload.split(RS).length);
}

/** That many packets, by as many polls as the server takes to bring them: ours puts at most 16 in each answer. */
async function packetsOf(session, count) {
  const packets = [];
  while (packets.length < count) {
    const poll = await session.get();
    assert.equal(poll.status, 200);
    packets.push(...poll.body.split(RS));
  }
  return packets.join(RS);
}

describe("a poll", () => {
  test("has the headers of a text that nobody stores", async () => {
    const session = await connect();
    await session.post("4x");
    const poll = await session.get();
    assert.equal(poll.status, 200);
    assert.equal(poll.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(poll.headers["cache-control"], "no-store");
    assert.equal(poll.headers["content-length"], "2");
    assert.equal(poll.headers["x-xss-protection"], undefined);
  });

  test("counts bytes and not characters in Content-Length", async () => {
    const session = await connect();
    await session.post("4é😀");
    const poll = await session.get();
    assert.equal(poll.body, "4é😀");
    assert.equal(poll.headers["content-length"], "7");
  });

  test("is held until there is something", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    assertOk(await session.post("4late"));
    assert.equal((await answer).body, "4late");
  });

  test("brings everything that was waiting, in order", async () => {
    const session = await connect();
    for (let i = 0; i < 20; i += 1) assertOk(await session.post(`4${i}`));
    assert.equal(await packetsOf(session, 20), Array.from({ length: 20 }, (_, i) => `4${i}`).join(RS));
    await assertPollingEchoes(session);
  });

  test("works on kept-alive connections", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    const head = `HTTP/1.1\r\nHost: x\r\n`;
    connection.write(`POST ${session.query} ${head}Content-Length: 4\r\n\r\n4one`);
    await connection.matches(/\r\n\r\nok$/);
    connection.write(`GET ${session.query} ${head}\r\n`);
    await connection.matches(/\r\n\r\n4one$/);
    connection.write(`POST ${session.query} ${head}Content-Length: 4\r\n\r\n4two`);
    await connection.matches(/4oneHTTP[^]*\r\n\r\nok$/);
    connection.write(`GET ${session.query} ${head}\r\n`);
    await connection.matches(/\r\n\r\n4two$/);
    connection.destroy();
  });

  test("adds the header old browsers want", async () => {
    const session = await connect();
    await session.post("4x");
    const headers = { "User-Agent": "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko" };
    assert.equal((await session.get({ headers })).headers["x-xss-protection"], "0");
  });

  test("while another is pending ends the session", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    const second = await session.get();
    assert.equal(second.status, 400);
    assert.equal(second.body, "");
    const first = await answer;
    assert.equal(first.status, 200);
    assert.equal(first.body, "1");
    await assertGone(session);
  });

  test("that its client aborts ends the session", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    answer.abort();
    await answer.catch(() => {});
    // The server learns of it a moment later; a poll that comes before is a second poll, which is as deadly.
    let response = await session.get();
    if (response.body === "1" || response.body === "") response = await session.get();
    assert.equal(response.status, 400);
    assert.equal(JSON.parse(response.body).code, 1);
  });
});

describe("a post", () => {
  test("is answered with ok", async () => {
    const session = await connect();
    const response = await session.post("4hello");
    assertOk(response);
    assert.equal(response.headers["content-type"], "text/html");
    assert.equal(response.headers["content-length"], "2");
    assert.equal(response.headers["cache-control"], "no-store");
  });

  for (const type of ["application/json", "text/html", "application/x-www-form-urlencoded", undefined]) {
    test(`with Content-Type ${type} is text all the same`, async () => {
      const session = await connect();
      assertOk(await session.post("4typed", type ? { "Content-Type": type } : {}));
      assert.equal((await session.get()).body, "4typed");
    });
  }

  test("without Content-Length is read as it streams", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    connection.write(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n4ab\r\n`);
    connection.write("2\r\ncd\r\n0\r\n\r\n");
    await connection.matches(/^HTTP\/1\.1 200 OK[^]*\r\n\r\nok$/);
    connection.destroy();
    assert.equal((await session.get()).body, "4abcd");
  });

  test("that arrives byte by byte is one payload", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    connection.socket.setNoDelay(true);
    const bytes = Buffer.from(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n4é😀${RS}4hello`);
    for (const byte of bytes) await new Promise((resolve) => connection.socket.write(Buffer.from([byte]), resolve));
    await connection.matches(/\r\n\r\nok$/);
    connection.destroy();
    assert.equal((await session.get()).body, `4é😀${RS}4hello`);
  });

  test("of octets ends the session", async () => {
    const session = await connect();
    const response = await session.post("4hello", { "Content-Type": "application/octet-stream" });
    assert.equal(response.status, 400);
    assert.equal(response.body, "");
    await assertGone(session);
  });

  test("while another is in progress ends the session", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    connection.write(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4hel`);
    await isTaken(context.server, connection.socket.localPort, "/engine.io/");
    const second = await session.post("4second");
    assert.equal(second.status, 400);
    assert.equal(second.body, "");
    await connection.ended();
    assert.doesNotMatch(connection.text(), /^HTTP\/1\.1 200/);
    await assertGone(session);
  });

  test("that its client aborts ends the session", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    const connection = await rawConnection(context.server);
    connection.write(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4hel`);
    await isTaken(context.server, connection.socket.localPort, "/engine.io/");
    connection.destroy();
    await answer.catch(() => {}); // whatever the poll gets, it ends
    await assertGone(session);
  });
});

describe("a payload", () => {
  for (const [name, payload] of [
    ["one text", "4hello"],
    ["several texts", `4test1${RS}4test2${RS}4test3`],
    ["text and binary", `4hello${RS}bAQIDBA==`],
    ["the specification's sample", `bAQIDBA==${RS}4${RS}b${RS}4é😀`],
    ["an empty message", "4"],
    ["an empty binary message", "b"],
    ["text beyond ASCII", "4\u0000\u007f߿ࠀ￿𐀀"],
    ["seventeen packets", Array.from({ length: 17 }, (_, i) => `4${i}`).join(RS)],
    ["a thousand packets", Array.from({ length: 1000 }, (_, i) => `4${i}`).join(RS)],
    ["all byte values", `b${Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("base64")}`],
  ]) {
    test(`of ${name} comes back as it was`, async () => {
      assert.equal(await echoOf(payload), payload);
    });
  }

  test("with missing padding is accepted", async () => {
    assert.equal(await echoOf("bAQI"), "bAQI=");
    assert.equal(await echoOf("bAQ"), "bAQ==");
  });

  test("of packets that mean nothing is ignored", async () => {
    for (const payload of ["3", "3probe", "0", "0{}", "5", "6", `6${RS}5${RS}0{}${RS}3`]) {
      const session = await connect();
      assertOk(await session.post(payload));
      await assertPollingEchoes(session);
    }
  });

  for (const [name, payload] of [
    ["empty", ""],
    ["unknown type", "abc"],
    ["type 7", "7"],
    ["type 9 with data", "9x"],
    ["leading separator", `${RS}4a`],
    ["only a separator", RS],
  ]) {
    test(`that does not parse (${name}) ends the session`, async () => {
      const session = await connect();
      assertParseError(await session.post(payload));
      await assertGone(session);
    });
  }

  for (const [name, payload] of [
    ["trailing separator", `4a${RS}`],
    ["empty packet between", `4a${RS}${RS}4b`],
    ["unknown type behind", `4a${RS}x${RS}4b`],
  ]) {
    test(`is delivered up to the error (${name})`, async () => {
      const session = await connect();
      const { answer } = await session.pendingGet();
      assertParseError(await session.post(payload));
      assert.equal((await answer).body, "4a");
      await assertGone(session);
    });
  }

  test("with garbage for base64", async () => {
    const session = await connect();
    const response = await session.post("b!!!");
    if (ours) {
      assert.equal(response.status, 400);
      await assertGone(session);
    } else {
      assertOk(response);
      assert.equal((await session.get()).body, "b");
    }
  });

  test("that is no UTF-8", async () => {
    const session = await connect();
    const response = await session.post(Buffer.from([0x34, 0xff, 0xfe, 0x41]));
    if (ours) {
      assert.equal(response.status, 400);
      await assertGone(session);
    } else {
      assertOk(response);
      assert.equal((await session.get()).body, "4\ufffd\ufffdA");
    }
  });

  test("with a ping from the client ends the session", async () => {
    const session = await connect();
    assertOk(await session.post("2"));
    await assertGone(session);
  });

  test("with a probe outside an upgrade ends the session", async () => {
    const session = await connect();
    assertOk(await session.post("2probe"));
    await assertGone(session);
  });
});

describe("closing by the client", () => {
  test("answers the pending poll with a noop", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    assertOk(await session.post("1"));
    const poll = await answer;
    assert.equal(poll.status, 200);
    assert.equal(poll.body, "6");
    await assertGone(session);
  });

  test("works without a pending poll", async () => {
    const session = await connect();
    assertOk(await session.post("1"));
    await assertGone(session);
  });

  test("drops what is behind in the payload", async () => {
    const session = await connect();
    const { answer } = await session.pendingGet();
    assertOk(await session.post(`4a${RS}1${RS}4b`));
    assert.equal((await answer).body, "4a");
    await assertGone(session);
  });
});

describe("closing by the server", () => {
  // A Socket.IO packet in the wrong place makes the server close.
  const offence = '42["too","early"]';

  test("answers the pending poll with a close packet", async () => {
    const session = await connect(SOCKET);
    const { answer } = await session.pendingGet();
    assertOk(await session.post(offence));
    assert.equal((await answer).body, "1");
    await assertGone(session);
  });

  test("without a pending poll answers the next one with noop and close", async () => {
    const session = await connect(SOCKET);
    assertOk(await session.post(offence));
    assert.equal((await session.get()).body, `6${RS}1`);
    await assertGone(session);
  });

  test("delivers what was waiting first", async () => {
    const session = await connect(SOCKET);
    assertOk(await session.post("40"));
    const greeting = await session.get();
    assert.match(greeting.body, /^40\{"sid":"[^"]+"\}/);
    if (!greeting.body.includes('42["auth",{}]')) assert.equal((await session.get()).body, '42["auth",{}]');
    assertOk(await session.post('42["echo","kept"]'));
    assertOk(await session.post("42{}"));
    assert.equal((await session.get()).body, '42["echo","kept"]');
    assert.equal((await session.get()).body, `6${RS}1`);
    await assertGone(session);
  });
});

describe("the size limit", () => {
  const body = (size) => `4${"x".repeat(size - 1)}`;

  test("lets exactly maxPayload bytes pass", async () => {
    const session = await connect();
    assertOk(await session.post(body(1_000_000)));
    assert.equal((await session.get()).body, body(1_000_000));
  });

  test("answers 413 to one byte more, and the session lives", async () => {
    const session = await connect();
    const response = await session.post(body(1_000_001));
    assert.equal(response.status, 413);
    assert.equal(response.body, "");
    await assertPollingEchoes(session);
  });

  test("answers 413 by Content-Length alone", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    connection.write(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000001\r\n\r\n`);
    for (let i = 0; i < 11 && connection.text() === ""; i += 1) {
      await new Promise((resolve) => connection.socket.write("4".repeat(91_000), resolve));
    }
    await connection.matches(/^HTTP\/1\.1 413 /);
    connection.destroy();
    await assertPollingEchoes(session);
  });

  test("counts a chunked body while it streams", async () => {
    const session = await connect();
    const connection = await rawConnection(context.server);
    connection.write(`POST ${session.query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const chunk = `${(100_000).toString(16)}\r\n${"4".repeat(100_000)}\r\n`;
    for (let i = 0; i < 11; i += 1) connection.write(chunk);
    await connection.matches(/^HTTP\/1\.1 413 /);
    connection.destroy();
    await assertPollingEchoes(session);
  });

  test("counts bytes and not characters", async () => {
    const session = await connect();
    assert.equal((await session.post(`4${"é".repeat(500_000)}`)).status, 413);
    await assertPollingEchoes(session);
  });
});

describe("compression of polls", () => {
  const poll = async (size, encoding) => {
    const session = await connect();
    const packet = `4${"z".repeat(size - 1)}`;
    await session.post(packet);
    return { packet, response: await session.get({ headers: { "Accept-Encoding": encoding } }) };
  };

  test("leaves 1023 bytes alone", async () => {
    const { packet, response } = await poll(1023, "gzip");
    assert.equal(response.headers["content-encoding"], undefined);
    assert.equal(response.body, packet);
  });

  test("packs 1024 bytes for who accepts gzip", async (t) => {
    const { packet, response } = await poll(1024, "gzip, deflate");
    if (response.headers["content-encoding"] === undefined && ours) {
      // A server may decline to compress; the message must be there all the same.
      assert.equal(response.body, packet);
      return t.diagnostic("this server does not compress polls");
    }
    assert.equal(response.headers["content-encoding"], "gzip");
    assert.equal(gunzipSync(response.bytes).toString(), packet);
  });

  test("leaves everything alone for who does not accept it", async () => {
    for (const encoding of ["br", "identity"]) {
      const { packet, response } = await poll(5000, encoding);
      assert.equal(response.headers["content-encoding"], undefined);
      assert.equal(response.body, packet);
    }
  });
});

describe("sessions", () => {
  test("do not see each other's messages", async () => {
    const [one, two] = [await connect(), await connect()];
    assertOk(await one.post("4for one"));
    assertOk(await two.post("4for two"));
    assert.equal((await two.get()).body, "4for two");
    assert.equal((await one.get()).body, "4for one");
  });

  test("may poll and post at the same time", async () => {
    const session = await connect();
    for (let i = 0; i < 30; i += 1) {
      const poll = session.get();
      assertOk(await session.post(`4${i}`));
      assert.equal((await poll).body, `4${i}`);
    }
  });
});
