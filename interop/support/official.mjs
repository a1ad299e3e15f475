// The cases of the official protocol suites, as data: test-suite/ of engine.io-protocol and of socket.io-protocol. Their
// programs cannot be had from a registry; the names of the cases are theirs, the words are ours.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { packetsOf, textPayload } from "./eio3.mjs";
import { fetchRaw } from "./http.mjs";
import { until } from "./wait.mjs";
import { openWebSocket, tryUpgrade } from "./websocket.mjs";

const bytes = (...values) => Buffer.from(values);
const twice = (value) => [value, value, value];

/** What differs between the revisions of Engine.IO: the form of a payload, and who pings. */
const FORMS = {
  3: {
    payload: textPayload,
    packets: packetsOf,
    heartbeat: { polling: [["post", "2"], ["poll", "3"]], websocket: [["send", "2"], ["hear", "3"]] },
  },
  4: {
    payload: (packets) => packets.map((it) => (typeof it === "string" ? it : `b${it.toString("base64")}`)).join("\x1e"),
    packets: ({ body }) => body.split("\x1e").map((it) => (it[0] === "b" ? Buffer.from(it.slice(1), "base64") : it)),
    heartbeat: { polling: [["poll", "2"], ["post", "3"]], websocket: [["hear", "2"], ["send", "3"]] },
  },
};

/** Begins each Socket.IO case that needs a namespace. Revision 3 joins the main one by opening. */
const JOINED = {
  3: [["websocket"], ["hear", "40"], ["hear", '42["auth",{}]']],
  4: [["websocket"], ["send", "40"], ["hear", /^40\{"sid":"[^"]+"\}$/], ["hear", '42["auth",{}]']],
};

/** The suite of Engine.IO, on a server whose pings are far apart. */
const ENGINE = {
  "handshake, HTTP long-polling": {
    "opens a session": [["polling"]],
    "fails with an invalid transport": [["refused", "GET", "EIO=N"], ["refused", "GET", "EIO=N&transport=abc"]],
    "fails with an invalid request method": [
      ["refused", "POST", "EIO=N&transport=polling"],
      ["refused", "PUT", "EIO=N&transport=polling"],
    ],
  },
  "handshake, WebSocket": {
    "opens a session": [["websocket"]],
    "fails with an invalid transport": [["refused upgrade", "EIO=N"], ["refused upgrade", "EIO=N&transport=abc"]],
  },
  "message, HTTP long-polling": {
    "one text packet": [["polling"], ["post", "4hello"], ["poll", "4hello"]],
    "several text packets": [["polling"], ["post", "4test1", "4test2", "4test3"], ["poll", "4test1", "4test2", "4test3"]],
    "text and binary packets": [["polling"], ["post", "4hello", bytes(1, 2, 3, 4)], ["poll", "4hello", bytes(1, 2, 3, 4)]],
    "an invalid packet closes the session": [["polling"], ["invalid post"], ["gone"]],
    "two polls at once close the session": [["polling"], ["two polls"], ["gone"]],
  },
  "message, WebSocket": {
    "a text packet": [["websocket"], ["send", "4hello"], ["hear", "4hello"]],
    "a binary packet": [["websocket"], ["send binary", 1, 2, 3, 4], ["hear binary", 1, 2, 3, 4]],
    "an invalid packet closes the session": [["websocket"], ["send", "abc"], ["ends"]],
  },
  "close, HTTP long-polling": { "by the client": [["polling"], ["close"], ["gone"]] },
  upgrade: {
    "to WebSocket": [["polling"], ["probe"], ["poll", "6"], ["send", "5"], ["send", "4hello"], ["hear", "4hello"]],
    "HTTP requests of the session are ignored afterwards": [
      ["polling"],
      ["upgrade"],
      ["gone"],
      ["send", "4hello"],
      ["hear", "4hello"],
    ],
    "a second WebSocket of the session is ignored afterwards": [
      ["polling"],
      ["upgrade"],
      ["second WebSocket"],
      ["send", "4hello"],
      ["hear", "4hello"],
    ],
  },
};

/**
 * The suites of both revisions have these. Where revision 3 is allowed, the reference and we take every request that does not
 * say 4 for one of revision 3: the suite of revision 3 fails there at both.
 */
const EIO = {
  "fails with an invalid EIO": {
    "HTTP long-polling": [
      ["refused", "GET", "transport=polling"],
      ["refused", "GET", "EIO=abc&transport=polling"],
    ],
    WebSocket: [
      ["refused upgrade", "transport=websocket"],
      ["refused upgrade", "EIO=abc&transport=websocket"],
    ],
  },
};

/** Those of its cases that wait for pings, or for their absence. */
const HEARTBEAT = (eio) => ({
  "sends ping and pong packets": {
    "HTTP long-polling": [["polling"], ...twice(FORMS[eio].heartbeat.polling).flat()],
    WebSocket: [["websocket"], ...twice(FORMS[eio].heartbeat.websocket).flat()],
  },
});
const TIMEOUT = {
  "closes the session upon ping timeout": {
    "HTTP long-polling": [["polling"], ["gone in time"]],
    WebSocket: [["websocket"], ["ends"]],
  },
  // The reference waits for the ping timeout there.
  "close, WebSocket": { "by the client": [["websocket"], ["send", "1"], ["ends"]] },
};

const TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';
const ATTACHED = [["send binary", 1, 2, 3], ["send binary", 4, 5, 6]];
const RETURNED = [["hear binary", 1, 2, 3], ["hear binary", 4, 5, 6]];

/** The suite of Socket.IO, in which packets are the same in both revisions. */
const SOCKET = {
  connect: {
    "an unknown namespace is refused": [["send", "40/random,"], ["hear", '44/random,{"message":"Invalid namespace"}']],
  },
  disconnect: {
    "joins and leaves a custom namespace": [
      ["send", "40/custom,"],
      ["hear", /^40\/custom,/],
      ["hear", '42/custom,["auth",{}]'],
      ["send", "41/custom,"],
      ["send", '42["message","message to main namespace"]'],
      ["hear", '42["message-back","message to main namespace"]'],
    ],
  },
  message: {
    "a text packet": [["send", '42["message",1,"2",{"3":[true]}]'], ["hear", '42["message-back",1,"2",{"3":[true]}]']],
    "binary attachments": [["send", `452-["message",${TWO}]`], ...ATTACHED, ["hear", `452-["message-back",${TWO}]`], ...RETURNED],
    "a text packet with an acknowledgement": [
      ["send", '42456["message-with-ack",1,"2",{"3":[false]}]'],
      ["hear", '43456[1,"2",{"3":[false]}]'],
    ],
    "binary attachments with an acknowledgement": [
      ["send", `452-789["message-with-ack",${TWO}]`],
      ...ATTACHED,
      ["hear", `462-789[${TWO}]`],
      ...RETURNED,
    ],
    "an unknown packet type closes the connection": [["send", "4abc"], ["ends"]],
    "an invalid payload closes the connection": [["send", "42{}"], ["ends"]],
    "an invalid acknowledgement id closes the connection": [
      ["send", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
      ["ends"],
    ],
  },
};

/** Its cases about CONNECT, which clients of revision 3 do not send for the main namespace. */
const CONNECT = {
  "connect, revision 5": {
    "the main namespace": [["send", "40"], ["hear", /^40\{"sid":"[^"]+"\}$/], ["hear", '42["auth",{}]']],
    "the main namespace with a payload": [
      ["send", '40{"token":"123"}'],
      ["hear", /^40\{"sid":"[^"]+"\}$/],
      ["hear", '42["auth",{"token":"123"}]'],
    ],
    "a custom namespace": [["send", "40/custom,"], ["hear", /^40\/custom,\{"sid":"[^"]+"\}$/], ["hear", '42/custom,["auth",{}]']],
    "a custom namespace with a payload": [
      ["send", '40/custom,{"token":"abc"}'],
      ["hear", /^40\/custom,\{"sid":"[^"]+"\}$/],
      ["hear", '42/custom,["auth",{"token":"abc"}]'],
    ],
    "an unknown namespace is refused": [["send", "40/random"], ["hear", '44/random,{"message":"Invalid namespace"}']],
    "an invalid handshake closes the connection": [["send", "4abc"], ["ends"]],
  },
};

/** A case at work: its session, and what is done in it. */
class Player {
  constructor(server, eio, path) {
    Object.assign(this, { server, eio, path, form: FORMS[eio] });
  }

  get(query) {
    return fetchRaw(this.server, query);
  }

  async play([what, ...args]) {
    const { server, path, eio, form } = this;
    const base = `${path}?EIO=${eio}`;
    switch (what) {
      case "polling": {
        const answer = await this.get(`${base}&transport=polling`);
        assert.equal(answer.status, 200);
        this.opened(form.packets(answer)[0], ["websocket"]);
        this.query = `${base}&transport=polling&sid=${this.sid}`;
        this.upgrade = `${base}&transport=websocket&sid=${this.sid}`;
        return;
      }
      case "websocket":
        this.ws = await openWebSocket(server, `${base}&transport=websocket`);
        return this.opened(await this.ws.next(), []);
      case "refused":
        return assert.equal((await fetchRaw(server, this.target(args[1]), { method: args[0] })).status, 400);
      case "refused upgrade":
        return this.noWebSocket(this.target(args[0]));
      case "post": {
        const answer = await this.post(form.payload(args));
        assert.deepEqual([answer.status, answer.body], [200, "ok"]);
        return;
      }
      case "poll": {
        const answer = await this.get(this.query);
        assert.equal(answer.status, 200);
        assert.deepEqual(form.packets(answer), args);
        return;
      }
      case "invalid post":
        // What the answer is, and whether there is one, the suite leaves open.
        return this.post("abc").then(() => {}, () => {});
      case "two polls": {
        const first = this.get(this.query);
        await first.sent;
        const second = await this.get(`${this.query}&t=burst`);
        const both = [await first, second].sort((one, other) => one.status - other.status);
        assert.deepEqual(form.packets(both[0]), ["1"]);
        assert.ok([400, 500].includes(both[1].status), `${both[1].status}`);
        return;
      }
      case "close": {
        const poll = this.get(this.query);
        await poll.sent;
        assert.equal((await this.post(form.payload(["1"]))).status, 200);
        const answer = await poll;
        // A poll that comes behind the close is refused: which of the two is first is the network's choice.
        if (answer.status === 200) assert.deepEqual(form.packets(answer), ["6"]);
        else assert.equal(answer.status, 400);
        return;
      }
      case "gone":
        return assert.equal((await this.get(this.query)).status, 400);
      case "gone in time":
        return until(async () => (await this.get(this.query)).status === 400, "the session ends");
      case "probe":
        this.ws = await openWebSocket(server, this.upgrade);
        this.ws.send("2probe");
        return assert.equal(await this.ws.next(), "3probe");
      case "upgrade":
        await this.play(["probe"]);
        this.ws.send("5");
        this.ws.send("4done");
        return assert.equal(await this.ws.next(), "4done");
      case "second WebSocket":
        return this.noWebSocket(this.upgrade);
      case "send":
        return this.ws.send(args[0]);
      case "send binary":
        return this.ws.send(this.typed(args));
      case "hear": {
        const heard = await this.ws.next();
        return args[0] instanceof RegExp ? assert.match(heard, args[0]) : assert.equal(heard, args[0]);
      }
      case "hear binary":
        return assert.deepEqual(await this.ws.next(), this.typed(args));
      case "ends":
        return this.ws.closed();
      default:
        assert.fail(`no step is called ${what}`);
    }
  }

  /** A WebSocket is refused, or opened and closed. */
  async noWebSocket(target) {
    const { status, ws } = await tryUpgrade(this.server, target);
    if (ws) await ws.closed();
    else assert.equal(status, 400);
  }

  /** The target of a query, with the revision in place of N. */
  target(query) {
    return `${this.path}?${query.replace("EIO=N", `EIO=${this.eio}`)}`;
  }

  /** A binary message, which has its type in front in revision 3. */
  typed(values) {
    return bytes(...(this.eio === 3 ? [4, ...values] : values));
  }

  post(body) {
    return fetchRaw(this.server, this.query, { method: "POST", body, headers: { "Content-Type": "text/plain" } });
  }

  opened(packet, upgrades) {
    assert.equal(packet[0], "0");
    const open = JSON.parse(packet.slice(1));
    assert.deepEqual(Object.keys(open).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert.equal(typeof open.sid, "string");
    assert.deepEqual([open.upgrades, open.maxPayload], [upgrades, 1_000_000]);
    this.sid = open.sid;
  }
}

function register(suite, groups, context, eio, path, first = []) {
  for (const [group, cases] of Object.entries(groups)) {
    describe(`${suite}: ${group}`, { concurrency: true }, () => {
      for (const [name, steps] of Object.entries(cases)) {
        test(name, async () => {
          const player = new Player(context.server, eio, path);
          for (const step of [...first, ...steps]) await player.play(step);
          player.ws?.drop();
        });
      }
    });
  }
}

/** Registers the suite of Engine.IO: on a calm server, on one that pings often, and on one that gives up early. */
export function engineSuite(eio, { calm, lively, hasty }) {
  const suite = `engine.io-protocol, revision ${eio}`;
  register(suite, ENGINE, calm, eio, "/engine.io/");
  if (eio === 4) register(suite, EIO, calm, eio, "/engine.io/");
  register(suite, HEARTBEAT(eio), lively, eio, "/engine.io/");
  register(suite, TIMEOUT, hasty, eio, "/engine.io/");
}

/** Registers the suite of Socket.IO: of revision 5, and what clients of Socket.IO 2 share with it. */
export function socketSuite(eio, { calm }) {
  const suite = `socket.io-protocol over Engine.IO ${eio}`;
  if (eio === 4) register(suite, CONNECT, calm, eio, "/socket.io/", [["websocket"]]);
  register(suite, SOCKET, calm, eio, "/socket.io/", JOINED[eio]);
}
