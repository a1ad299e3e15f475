// The cases of engine.io-client's own suite that need a server, as data: the steps are explained in player.mjs. The suite's
// programs are in no registry; the words are ours. `elsewhere` has its other cases.
import { NodeWebSocket, NodeXHR, Socket } from "engine.io-client";
import { arrayBuffer, failure, part } from "./player.mjs";

const EVENTS = ["open", "message", "upgrading", "upgrade", "upgradeError", "error", "close", "packetCreate"];

export const verbs = {
  /** `["open", "a", {transports: ["polling"]}]`: a client of Engine.IO. */
  open(play, name, options) {
    const socket = new Socket(play.servers.small.server.url, { path: "/engine.io", ...options });
    play.record(name, play.add(name, socket, () => socket.close()), EVENTS);
  },
};

const POLLING = { transports: ["polling"] };
const WEBSOCKET = { transports: ["websocket"] };
/** Longer than what a client does at once, and what it does next, takes. */
const SETTLED = ["idle", 200];
const FIVE = [0, 1, 2, 3, 4];
const int8 = () => new Int8Array(FIVE);

/** Sends these in one go, and has each back in this order. */
const echoed = (...messages) => [
  ...messages.map((it) => ["do", "a.send", it]),
  ...messages.map((it) => ["hear", "a", "message", typeof it === "string" ? it : sameBytes(it)]),
];
/** Their bytes, whatever holds them. */
const sameBytes = (sent) => (value) => {
  const bytes = (it) => (it instanceof ArrayBuffer ? Buffer.from(it) : Buffer.from(it.buffer, it.byteOffset, it.byteLength));
  return typeof value === "object" && bytes(value).equals(bytes(sent));
};
const upgraded = (options) => [
  ["open", "a", options],
  ["set", "a.binaryType", "arraybuffer"],
  ["hear", "a", "upgrade"],
  ["is", "a.transport.name", "websocket"],
];

/** The server takes bodies and messages of at most a hundred bytes. */
const connection = {
  "has back characters at the ends of Unicode's planes": [
    ["open", "a"],
    ["hear", "a", "open"],
    ...echoed("\u{10000}-\u{efffd}\u{f0000}-\u{10ffff}\ue000-\uf8ff"),
  ],
  "sends nothing once it is closed": [
    ["open", "a"],
    ["upon", "a", "open", ["do", "a.close"], ["do", "a.send", "late"]],
    ["hear", "a", "close", "forced close"],
    SETTLED,
    ["heard", "a", "packetCreate", 0],
  ],
  "puts as many packets in a POST as the server takes": [
    ["open", "a", POLLING],
    ["hear", "a", "open"],
    // The second, third and fourth are exactly a hundred bytes with what is around them.
    ...echoed("a".repeat(99), "b".repeat(30), "c".repeat(30), "d".repeat(35), "€".repeat(33), "f".repeat(99)),
  ],
  "sends a packet that is larger than the server takes": [
    ["open", "a", POLLING],
    ["hear", "a", "open"],
    ["do", "a.send", "a".repeat(101)],
    ["do", "a.send", "b"],
    ["hear", "a", "close", "transport error"],
    ["heard", "a", "message", 0],
  ],
  "closes after an upgrade that has begun": [
    ["open", "a"],
    ["upon", "a", "upgrading", ["do", "a.close"]],
    ["hear", "a", "close", "forced close"],
    ["order", ["a", "upgrading"], ["a", "upgrade"], ["a", "close"]],
  ],
  "closes when an upgrade fails": [
    ["open", "a"],
    ["upon", "a", "upgrading", ["do", "a.close"], ["do", "a.transport.onError", "an error"]],
    ["hear", "a", "close"],
    ["hear", "a", "upgradeError"],
  ],
  "sends nothing while it waits for an upgrade to close": [
    ["open", "a"],
    ["upon", "a", "upgrading", ["do", "a.close"], ["do", "a.send", "late"]],
    ["hear", "a", "close"],
    ["heard", "a", "packetCreate", 0],
  ],
  "sends what was waiting before it closes after an upgrade": [
    ["open", "a"],
    ["upon", "a", "upgrading", ["do", "a.send", "in time"], ["do", "a.close"]],
    ["hear", "a", "close"],
    ["heard", "a", "packetCreate", 1],
    ["is", "a.writeBuffer.length", 0],
  ],
};

/** Among the steps inside an error: the answer that it tells of, which is only there meanwhile. */
const refused = (message, description, responseText) => [
  "given",
  part({ type: "TransportError", message, description, context: part({ readyState: 4, responseText }) }),
];
/** A query of its own takes the place of the client's. */
const denied = (transport) => ({ [transport]: { query: { EIO: 4, transport, deny: 1 } } });

const socket = {
  "tries polling when its WebSocket is refused": [
    ["open", "a", { transports: ["websocket", "polling"], transportOptions: denied("websocket"), tryAllTransports: true }],
    ["hear", "a", "open"],
    ["is", "a.transport.name", "polling"],
    ...echoed("hello"),
  ],
  "tries a WebSocket when its polling is refused": [
    ["open", "a", { transports: ["polling", "websocket"], transportOptions: denied("polling"), tryAllTransports: true }],
    ["hear", "a", "open"],
    ["is", "a.transport.name", "websocket"],
    ...echoed("hello"),
  ],
  "does not try the next transport unless it is told to": [
    ["open", "a", { transports: ["polling", "websocket"], transportOptions: denied("polling") }],
    ["hear", "a", "error", part({ message: "xhr poll error", description: 403 })],
    SETTLED,
    ["heard", "a", "open", 0],
  ],
  "uses a transport that it is given, polling": [
    ["open", "a", { transports: [NodeXHR] }],
    ["hear", "a", "open"],
    ["is", "a.transport.name", "polling"],
    ...echoed("hello"),
  ],
  "uses a transport that it is given, WebSocket": [
    ["open", "a", { transports: [NodeWebSocket] }],
    ["hear", "a", "open"],
    ["is", "a.transport.name", "websocket"],
    ...echoed("hello"),
  ],
  "is told that a POST is too large": [
    ["open", "a", POLLING],
    ["hear", "a", "open"],
    ["upon", "a", "error", refused("xhr post error", 413, "")],
    ["do", "a.send", "a".repeat(101)],
    ["hear", "a", "error"],
    ["hear", "a", "close", "transport error", failure()],
  ],
  "is told that a message is too large": [
    ["open", "a", WEBSOCKET],
    ["hear", "a", "open"],
    ["do", "a.send", "a".repeat(101)],
    [
      "hear",
      "a",
      "close",
      "transport close",
      part({ description: "websocket connection closed", context: part({ code: 1009, reason: "" }) }),
    ],
  ],
  "is told that its session is unknown, polling": [
    ["open", "a", { ...POLLING, query: { sid: "abc" } }],
    ["upon", "a", "error", refused("xhr poll error", 400, '{"code":1,"message":"Session ID unknown"}')],
    ["hear", "a", "error"],
    ["hear", "a", "close", "transport error", failure()],
  ],
  "is told that its session is unknown, WebSocket": [
    ["open", "a", { ...WEBSOCKET, query: { sid: "abc" } }],
    ["hear", "a", "error", part({ type: "TransportError", message: "websocket error", description: part({ type: "error" }) })],
    ["hear", "a", "close", "transport error", failure()],
  ],
  "notices a ping that is overdue, once": [
    ["open", "a"],
    ["is", "a._hasPingExpired()", false],
    ["hear", "a", "open"],
    ["is", "a._hasPingExpired()", false],
    ["set", "a._pingTimeoutTime", 1],
    ["is", "a._hasPingExpired()", true],
    ["is", "a._hasPingExpired()", true],
    ["hear", "a", "close", "ping timeout"],
    SETTLED,
    ["heard", "a", "close", 1],
  ],
};

/** A message of the server that tells these headers. */
const headers = (expected) => (text) => part(expected)(JSON.parse(text)) === true;
const told = (options, expected) => [
  ["open", "a", options],
  ["hear", "a", "open"],
  ["do", "a.send", "headers"],
  ["hear", "a", "message", headers(expected)],
];

const node = {
  "puts as many packets with bytes in a POST as the server takes": [
    ["open", "a", POLLING],
    ["hear", "a", "open"],
    ...echoed(Buffer.alloc(72, 1), Buffer.alloc(20, 2), "a".repeat(20), Buffer.alloc(20, 3), Buffer.alloc(72, 4)),
  ],
  "sends cookies that are not over": told({ ...POLLING, withCredentials: true }, { cookie: "kept=1; strict=2" }),
  "sends no cookies unless it is told to": told({ ...POLLING, withCredentials: false }, { cookie: undefined }),
  "sends headers of its own, WebSocket": told({ ...WEBSOCKET, extraHeaders: { "X-One": "two" } }, { "x-one": "two" }),
  "sends headers of its own, polling": told({ ...POLLING, extraHeaders: { "X-One": "two" } }, { "x-one": "two" }),
};

const bytes = {
  "has bytes back, polling": [
    ["open", "a", POLLING],
    ["set", "a.binaryType", "arraybuffer"],
    ["hear", "a", "open"],
    ["do", "a.send", int8()],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
  ],
  "has bytes and text back, polling": [
    ["open", "a", POLLING],
    ["set", "a.binaryType", "arraybuffer"],
    ["hear", "a", "open"],
    ["do", "a.send", int8()],
    ["do", "a.send", "5 €"],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
    ["hear", "a", "message", "5 €"],
  ],
  "has bytes back that it sends as base64, polling": [
    ["open", "a", { forceBase64: true }],
    ["set", "a.binaryType", "arraybuffer"],
    ["hear", "a", "open"],
    ["do", "a.send", int8()],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
  ],
  "puts as many packets with typed arrays in a POST as the server takes": [
    ["open", "a", POLLING],
    ["hear", "a", "open"],
    ...echoed(new Uint8Array(72).fill(1), new Uint8Array(20).fill(2), "a".repeat(20), new Uint8Array(20).buffer, new Uint8Array(72)),
  ],
  "has bytes back, WebSocket": [
    ...upgraded(),
    ["do", "a.send", int8()],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
  ],
  "has bytes and text back, WebSocket": [
    ...upgraded(),
    ["do", "a.send", int8()],
    ["do", "a.send", "5 €"],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
    ["hear", "a", "message", "5 €"],
  ],
  "has bytes back that it sends as base64, WebSocket": [
    ...upgraded({ forceBase64: true }),
    ["do", "a.send", int8()],
    ["hear", "a", "message", arrayBuffer(...FIVE)],
  ],
};

export const cases = { connection, socket, "in Node": node, bytes };

/** The other cases: what tests them, or why no server has a part in them. */
export const elsewhere = {
  "engineio-client.test.mjs tests it": [
    "connects", // opens
    "connects, WebSocket",
    "has text beyond ASCII, polling", // echoes text and bytes
  ],
  "the client reads or writes an address, and connects to nothing": [
    "the number of the protocol",
    ...["http", "https", "wss", "wss and a port"].map((it) => `an address of ${it}`),
    ...["a host", "a host and a port", "a path without a slash behind it"],
    ...["", " and a port", " as a host (1)", " as a host (2)", " as a host and a port", " without brackets"].map(
      (it) => `an address of IPv6${it}`,
    ),
    "random text",
    "the parts of an address",
    ...["", " without a port", " with a port"].map((it) => `the target of a poll${it}`),
    ...[" without a port", " without a port, which is text", " with a port"].map((it) => `the target of a poll over TLS${it}`),
    ...["with a time", "by IPv6", "by IPv6 with a port"].map((it) => `the target of a poll ${it}`),
    ...["", " over TLS", " with a time", " by IPv6", " by IPv6 with a port"].map((it) => `the target of a WebSocket${it}`),
  ],
  "the client alone: nothing of it is sent": [
    "leaves out upgrades that it does not know",
    "does not change the options that it is given",
    "has no transports",
    "timers that a test replaces",
    "begins with a WebSocket after an upgrade",
    "does not begin with a WebSocket after an upgrade",
    "the class of transports",
    "the classes of polling and of WebSockets",
    "an agent of its own, WebSocket",
    "an agent of its own, polling",
    "marks messages for compression",
    "marks small messages not to be compressed",
    "headers of its own for one transport",
    "reads a cookie",
    "reads a cookie with attributes",
    "reads a cookie with odd characters",
  ],
  "whether Node ends while a socket is open": [
    "autoUnref",
    "autoUnref, polling",
    "autoUnref, WebSocket",
    "no autoUnref",
  ],
};
