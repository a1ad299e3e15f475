// The cases of socket.io-client's own suite that need a server, as data: the steps are explained in player.mjs. The suite's
// programs are in no registry; the words are ours. `elsewhere` has its other cases.
import { ACK, failure, part, same } from "./player.mjs";
import { round, SETTLED } from "./socketio-verbs.mjs";

/** A client that gives up soon, on a road to a server that never answers. */
const HELD = { way: "held", timeout: 30, randomizationFactor: 0 };
const TWICE = { ...HELD, reconnectionAttempts: 2 };
const DATE = new Date(0);

const connection = {
  "connects, and is answered": [["dial", "a"], ["do", "a.emit", "echo"], ["hear", "a", "echo"]],
  "has two connections for two sockets of one namespace": [
    ["dial both", "a", "/", {}, "b", "/", {}],
    ["is", "a.io", (io, play) => io !== play.at("b.io")],
    ["hear", "a", "connect"],
    ["hear", "b", "connect"],
  ],
  "has two connections for one namespace with two queries": [
    ["dial both", "a", "/?one", {}, "b", "/", {}],
    ["is", "a.io", (io, play) => io !== play.at("b.io")],
    ["hear", "a", "connect"],
    ["hear", "b", "connect"],
  ],
  "has two connections for two paths": [
    ["dial both", "a", "/", { path: "/one" }, "b", "/", { path: "/two" }],
    ["is", "a.io", (io, play) => io !== play.at("b.io")],
    ["hear", "a", "connect_error", failure("xhr poll error")],
    ["hear", "b", "connect_error", failure("xhr poll error")],
  ],
  "has one connection for two namespaces": [
    ["dial both", "a", "/", {}, "b", "/custom", {}],
    ["is", "a.io", same("b.io")],
    ["hear", "a", "connect"],
    ["hear", "b", "connect"],
    ["is", "a.io.engine", same("b.io.engine")],
  ],
  "answers what the server asks": [
    ["dial", "a"],
    ["reply", "a", "question", 5, { test: true }],
    ["do", "a.emit", "ask-me", "why"],
    ["hear", "a", "question", "why"],
    ["hear", "a", "answered", 5, { test: true }],
  ],
  "has a date in an acknowledgement as text": [
    ["dial", "a"],
    ["do", "a.emit", "ack", DATE, ACK],
    ["hear", "a", "ack", DATE.toISOString()],
  ],
  "has the value false": [["dial", "a"], ["do", "a.emit", "echo", false], ["hear", "a", "echo", false]],
  "has text beyond ASCII": [
    ["dial", "a"],
    ...["日本語の文", "Ж Ъ Щ", "Öl äß", "a — b", "“q”"].map((text) => ["do", "a.emit", "echo", text]),
    ...["日本語の文", "Ж Ъ Щ", "Öl äß", "a — b", "“q”"].map((text) => ["hear", "a", "echo", text]),
  ],
  "joins a namespace when the connection is there": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["hear", "a", "connect"],
    ["socket", "b", "m", "/custom"],
    ["hear", "b", "connect"],
    ...round("b"),
  ],
  "joins a namespace when the connection is closed": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["upon", "a", "connect", ["do", "a.disconnect"]],
    ["hear", "a", "disconnect", "io client disconnect"],
    ["socket", "b", "m", "/custom"],
    ["hear", "b", "connect"],
    ...round("b"),
  ],
  "reconnects by default": [
    ["dial", "a"],
    ["hear", "a", "connect"],
    ["do", "a.io.engine.close"],
    ["hear", "a", "disconnect", "forced close"],
    ["hear", "a.io", "reconnect", 1],
    ["hear", "a", "connect"],
    ...round("a"),
  ],
  "reconnects by itself after it was reconnected by hand": [
    ["dial", "a"],
    ["upon", "a", "connect", ["do", "a.disconnect"]],
    ["hear", "a", "connect"],
    ["hear", "a", "disconnect"],
    ["do", "a.connect"],
    ["hear", "a", "connect"],
    ["do", "a.io.engine.close"],
    ["hear", "a.io", "reconnect", 1],
    ["hear", "a", "connect"],
    ...round("a"),
  ],
  "tries again after its reconnection has failed": [
    ["manager", "m", TWICE],
    ["socket", "a", "m", "/"],
    ["hear", "m", "reconnect_failed"],
    ["heard", "m", "reconnect_attempt", 2],
    ["do", "a.connect"],
    ["hear", "m", "reconnect_failed"],
    ["heard", "m", "reconnect_attempt", 4],
  ],
  "does not reconnect when it is told to disconnect at the first error": [
    ["dial", "a", "/", HELD],
    ["upon", "a.io", "error", ["do", "a.disconnect"]],
    ["hear", "a.io", "error", failure("timeout")],
    SETTLED,
    ["heard", "a.io", "reconnect_attempt", 0],
  ],
  "stops reconnecting when it is told to disconnect": [
    ["dial", "a", "/", HELD],
    ["upon", "a.io", "reconnect_attempt", ["do", "a.disconnect"]],
    ["hear", "a.io", "reconnect_attempt", 1],
    SETTLED,
    ["heard", "a.io", "reconnect_attempt", 1],
  ],
  "reconnects again after it was stopped": [
    ["dial", "a", "/", HELD],
    ["upon", "a.io", "reconnect_attempt", ["do", "a.disconnect"], ["do", "a.connect"]],
    ["hear", "a.io", "reconnect_attempt"],
    ["hear", "a.io", "reconnect_attempt"],
    ["do", "a.disconnect"],
  ],
  "reconnects for one socket when another one is stopped": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["socket", "b", "m", "/custom"],
    ["hear", "a", "connect"],
    ["hear", "b", "connect"],
    ["upon", "m", "reconnect_attempt", ["do", "a.disconnect"]],
    ["do", "m.engine.close"],
    ["hear", "b", "connect"],
    ...round("b"),
    ["heard", "a", "connect", 1],
  ],
  "fails after two attempts that time out": [
    ["manager", "m", TWICE],
    ["socket", "a", "m", "/"],
    ["hear", "m", "error", failure("timeout")],
    ["hear", "m", "reconnect_failed"],
    ["heard", "m", "reconnect_attempt", 2],
    ["heard", "m", "reconnect", 0],
  ],
  "tells of each attempt and of its error": [
    ["manager", "m", TWICE],
    ["socket", "a", "m", "/custom"],
    ["hear", "m", "reconnect_failed"],
    ["order", ["m", "reconnect_attempt"], ["m", "reconnect_failed"]],
    ["hear", "m", "reconnect_error", failure("timeout")],
    ["hear", "m", "reconnect_error", failure("timeout")],
  ],
  "counts its attempts": [
    ["manager", "m", TWICE],
    ["socket", "a", "m", "/custom"],
    ["hear", "m", "reconnect_attempt", 1],
    ["hear", "m", "reconnect_attempt", 2],
    ["hear", "m", "reconnect_failed"],
  ],
  "connects with the default timeout at the first attempt": [
    ["manager", "m"],
    ["socket", "a", "m", "/custom"],
    ["hear", "a", "connect"],
    SETTLED,
    ...round("a"),
    ["heard", "m", "reconnect_attempt", 0],
  ],
  "connects while another socket disconnects": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["hear", "a", "connect"],
    ["socket", "b", "m", "/custom"],
    ["do", "a.disconnect"],
    ["hear", "b", "connect"],
    ...round("b"),
  ],
  "keeps its connection until the last socket disconnects": [
    ["manager", "m", { autoConnect: false }],
    ["socket", "a", "m", "/"],
    ["socket", "b", "m", "/custom"],
    ["do", "a.connect"],
    ["hear", "a", "connect"],
    ["do", "b.connect"],
    ["hear", "b", "connect"],
    ["do", "a.disconnect"],
    ...round("b"),
    ["heard", "b", "disconnect", 0],
    ["heard", "m", "close", 0],
    ["do", "b.disconnect"],
    ["hear", "m", "close"],
  ],
  "has a date as text": [["dial", "a"], ["do", "a.emit", "echo", DATE], ["hear", "a", "echo", DATE.toISOString()]],
  "has a date in an object as text": [
    ["dial", "a"],
    ["do", "a.emit", "echo", { date: DATE }],
    ["hear", "a", "echo", { date: DATE.toISOString() }],
  ],
  "has bytes as an ArrayBuffer": [
    ["dial", "a"],
    ["set", "a.io.engine.binaryType", "arraybuffer"],
    ["do", "a.emit", "echo", Buffer.from("some bytes")],
    ["hear", "a", "echo", (value) => value instanceof ArrayBuffer && Buffer.from(value).equals(Buffer.from("some bytes"))],
  ],
  "opens a known socket again": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["upon", "a", "connect", ["do", "a.disconnect"]],
    ["hear", "a", "connect"],
    ["hear", "a", "disconnect"],
    ["socket", "b", "m", "/"],
    ["is", "b", same("a")],
    ["is", "b.active", true],
    ["hear", "a", "connect"],
    ...round("a"),
  ],
  "does not open a known socket again that is active": [
    ["manager", "m"],
    ["watch", "e", "m.engine", "packetCreate"],
    ["hear", "m", "open"],
    ["socket", "a", "m", "/"],
    ["socket", "b", "m", "/"],
    ["is", "b", same("a")],
    ["hear", "a", "connect"],
    ["do", "a.disconnect"],
    ["hear", "e", "packetCreate", part({ data: "0" })],
    ["hear", "e", "packetCreate", part({ data: "1" })],
    ["heard", "e", "packetCreate", 2],
  ],
  "does not open a socket again that is active in another namespace": [
    ["manager", "m"],
    ["watch", "e", "m.engine", "packetCreate"],
    ["hear", "m", "open"],
    ["socket", "a", "m", "/"],
    ["socket", "b", "m", "/custom"],
    ["hear", "a", "connect"],
    ["hear", "b", "connect"],
    ["do", "a.disconnect"],
    ["do", "b.disconnect"],
    ...["0", "0/custom,", "1", "1/custom,"].map((data) => ["hear", "e", "packetCreate", part({ data })]),
    ["heard", "e", "packetCreate", 4],
  ],
  "closes its connection when it cannot read a packet, and reconnects": [
    ["manager", "m"],
    ["socket", "a", "m", "/"],
    ["hear", "a", "connect"],
    ["keep", "old", "m.engine"],
    ["do", "m.engine.emit", "data", "bad"],
    ["hear", "m", "reconnect", 1],
    ["until", "old.readyState", "closed"],
    ["is", "m.engine", (engine, play) => engine !== play.at("old")],
    ["hear", "a", "connect"],
    ...round("a"),
  ],
};

const socket = {
  "has the id that the server has": [
    ["dial", "a"],
    ["do", "a.emit", "id", ACK],
    ["hear", "a", "ack", same("a.id")],
    ["is", "a.id", (id, play) => id !== play.at("a.io.engine.id")],
  ],
  "has the id that the server has, in another namespace": [
    ["dial", "a", "/custom"],
    ["do", "a.emit", "id", ACK],
    ["hear", "a", "ack", same("a.id")],
    ["is", "a.id", (id, play) => id !== play.at("a.io.engine.id")],
  ],
  "has no id when it is disconnected": [
    ["dial", "a"],
    ["hear", "a", "connect"],
    ["upon", "a", "disconnect", ["is", "a.id", undefined]],
    ["do", "a.disconnect"],
    ["hear", "a", "disconnect", "io client disconnect"],
  ],
  "has no error when it disconnects while it opens": [
    ["dial", "a", "/", { timeout: 100 }],
    ["do", "a.disconnect"],
    ["dial", "b"],
    ["hear", "b", "connect"],
    SETTLED,
    ["heard", "a.io", "error", 0],
    ["heard", "a", "connect_error", 0],
  ],
  "has an error when its first poll times out": [
    ["dial", "a", "/", { ...HELD, transports: ["polling"] }],
    ["hear", "a", "connect_error", failure("timeout")],
  ],
  "has an error when its WebSocket times out": [
    ["dial", "a", "/", { ...HELD, transports: ["websocket"] }],
    ["hear", "a", "connect_error", failure("timeout")],
  ],
  "has no connection error once it is connected": [
    ["dial", "a"],
    ["upon", "a", "connect", ["do", "a.io.engine.close"]],
    ["hear", "a", "connect"],
    ["hear", "a", "connect"],
    ...round("a"),
    ["heard", "a", "connect_error", 0],
  ],
  "has another id after a reconnection": [
    ["dial", "a"],
    ["hear", "a", "connect"],
    ["keep", "first", "a.id"],
    ["upon", "a.io", "reconnect_attempt", ["is", "a.id", undefined]],
    ["do", "a.io.engine.close"],
    ["hear", "a.io", "reconnect", 1],
    ["hear", "a", "connect"],
    ["is", "a.id", (id, play) => typeof id === "string" && id !== play.at("first")],
  ],
  "sends its query, an object": [
    ["dial", "a", "/", { query: { e: "f" } }],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ query: part({ e: "f", EIO: "4" }) })],
  ],
  "sends its query, text": [
    ["dial", "a", "/?c=d"],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ query: part({ c: "d" }) })],
  ],
  "sends its query, an object, in another namespace": [
    ["dial", "a", "/custom", { query: { a: "b" } }],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ query: part({ a: "b" }) })],
  ],
  "sends its query, text, in another namespace": [
    ["dial", "a", "/custom?b=c&d=e"],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ query: part({ b: "c", d: "e" }) })],
  ],
  "encodes its query": [
    ["dial", "a", "/custom", { query: { "&a": "&=?a" } }],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ query: part({ "&a": "&=?a" }) })],
  ],
  "sends its auth, an object": [
    ["dial", "a", "/custom", { auth: { a: "b", c: "d" } }],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ auth: { a: "b", c: "d" }, query: part({ a: undefined }) })],
  ],
  "sends its auth, of a function": [
    ["dial", "a", "/custom", { auth: (answer) => answer({ e: "f" }) }],
    ["do", "a.emit", "handshake", ACK],
    ["hear", "a", "ack", part({ auth: { e: "f" }, query: part({ e: undefined }) })],
  ],
  "is refused by a middleware": [["dial", "a", "/locked"], ["hear", "a", "connect_error", failure("locked")]],
  "does not try again after a middleware has refused it": [
    ["dial", "a", "/locked"],
    ["upon", "a", "connect_error", ["do", "a.io.engine.close"]],
    ["hear", "a", "connect_error"],
    SETTLED,
    ["heard", "a", "connect_error", 1],
    ["heard", "a.io", "reconnect_attempt", 0],
  ],
  "disconnects and connects at once": [
    ["dial", "a", "/", { transports: ["websocket"] }],
    ["upon", "a", "connect", ["do", "a.disconnect"], ["do", "a.connect"]],
    ["hear", "a", "connect"],
    ["hear", "a", "connect"],
    ...round("a"),
    ["heard", "a", "disconnect", 1],
  ],
  "sends what it has kept before what it sends upon connecting": [
    ["dial", "a", "/", { autoConnect: false }],
    ["upon", "a", "connect", ["do", "a.emit", "ack", "second", ACK]],
    ["do", "a.emit", "ack", "first", ACK],
    ["do", "a.connect"],
    ["hear", "a", "ack", "first"],
    ["hear", "a", "ack", "second"],
  ],
};

const volatile = {
  "discards a volatile event while it is not connected": [
    ["dial", "a", "/", { autoConnect: false }],
    ["do", "a.volatile.emit", "ack", "lost", ACK],
    ["do", "a.emit", "ack", "kept", ACK],
    ["do", "a.connect"],
    ["hear", "a", "ack", "kept"],
    ...round("a"),
    ["heard", "a", "ack", 1],
  ],
  "discards a volatile event while another one is on its way": [
    // While it is upgraded, this client takes a transport for ready to which nothing is written.
    ["dial", "a", "/", { transports: ["websocket"] }],
    ["upon", "a", "connect", ["do", "a.emit", "ack", "sent", ACK], ["do", "a.volatile.emit", "ack", "lost", ACK]],
    ["hear", "a", "ack", "sent"],
    ...round("a"),
    ["heard", "a", "ack", 1],
  ],
  "sends a volatile event when nothing else is on its way": [
    ["dial", "a", "/", { transports: ["websocket"] }],
    ["hear", "a", "connect"],
    ["until", "a.io.engine.transport.writable", true],
    ["do", "a.volatile.emit", "ack", "sent", ACK],
    ["hear", "a", "ack", "sent"],
  ],
};

const acknowledgements = {
  "times out when the server does not acknowledge": [
    ["dial", "a"],
    ["do", "a.timeout(50).emit", "unanswered", ACK],
    ["hear", "a", "ack", failure("operation has timed out")],
  ],
  "times out when the server acknowledges too late": [
    ["dial", "a", "/", { way: "own" }],
    ["hear", "a", "connect"],
    ["hold"],
    ["do", "a.timeout(50).emit", "ack", 42, ACK],
    ["hear", "a", "ack", failure("operation has timed out")],
    ["release"],
    ...round("a"),
    ["heard", "a", "ack", 1],
  ],
  "has a default timeout": [
    ["dial", "a", "/", { ackTimeout: 50 }],
    ["do", "a.emit", "unanswered", ACK],
    ["hear", "a", "ack", failure("operation has timed out")],
  ],
  "forgets a callback without a timeout when it disconnects": [
    ["dial", "a"],
    ["upon", "a", "connect", ["do", "a.emit", "ack", "a", ACK], ["do", "a.disconnect"], ["is", "a.acks", {}]],
    ["hear", "a", "disconnect"],
    ["do", "a.connect"],
    ["hear", "a", "connect"],
    ["hear", "a", "connect"],
    ...round("a"),
    ["heard", "a", "ack", 0],
  ],
  ...Object.fromEntries(
    [
      ["callback with a timeout", "a.timeout(30000).emit", {}, [ACK], "ack"],
      ["callback with a default timeout", "a.emit", { ackTimeout: 30_000 }, [ACK], "ack"],
      ["promise", "a.emitWithAck", {}, [], "rejected"],
      ["promise with a timeout", "a.timeout(30000).emitWithAck", {}, [], "rejected"],
    ].map(([kind, emit, options, ack, event]) => [
      `fails a ${kind} when it disconnects`,
      [
        ["dial", "a", "/", options],
        ["upon", "a", "connect", ["do", emit, "ack", "a", ...ack], ["do", "a.disconnect"], ["is", "a.acks", {}]],
        ["hear", "a", event, failure("socket has been disconnected")],
      ],
    ]),
  ),
  "sends an event that waits for an acknowledgement when it is connected again": [
    ["dial", "a"],
    ["upon", "a", "connect", ["do", "a.disconnect"], ["do", "a.emit", "ack", "a", ACK]],
    ["hear", "a", "connect"],
    SETTLED,
    ["heard", "a", "ack", 0],
    ["do", "a.connect"],
    ["hear", "a", "ack", "a"],
  ],
  "sends an event after a ping that is overdue, when it has reconnected": [
    ["dial", "a"],
    ["upon", "a", "connect", ["set", "a.io.engine._pingTimeoutTime", 1], ["do", "a.emit", "ack", "123", ACK]],
    ["hear", "a", "ack", "123"],
    ["order", ["a", "disconnect"], ["a.io", "reconnect"], ["a", "ack"]],
    ["heard", "a", "ack", 1],
  ],
};

const packets = (...data) => data.map((it) => ["hear", "e", "packetCreate", part({ data: it })]);

const retry = {
  "keeps the order of events that are acknowledged one by one": [
    ["dial", "a", "/", { retries: 1, ackTimeout: 30_000 }],
    ["watch", "e", "a.io.engine", "packetCreate"],
    ...[1, 2, 3].flatMap((n) => [["do", "a.emit", "ack", n, ACK], ["is", "a._queue.length", n]]),
    ...[1, 2, 3].map((n) => ["hear", "a", "ack", null, n]),
    ["is", "a._queue.length", 0],
    ["do", "a.disconnect"],
    ...packets("0", '20["ack",1]', '21["ack",2]', '22["ack",3]', "1"),
    ["heard", "e", "packetCreate", 5],
  ],
  "fails when the server does not acknowledge": [
    ["dial", "a", "/", { retries: 3, ackTimeout: 50 }],
    ["watch", "e", "a.io.engine", "packetCreate"],
    ["do", "a.emit", "unanswered", ACK],
    ["hear", "a", "ack", failure("operation has timed out")],
    ...Array.from({ length: 4 }, () => ["hear", "a", "unanswered"]),
    ["do", "a.disconnect"],
    ...packets("0", ...[0, 1, 2, 3].map((id) => `2${id}["unanswered"]`), "1"),
    ["heard", "e", "packetCreate", 6],
  ],
  "does not try while it is disconnected": [
    ["dial", "a", "/", { autoConnect: false, retries: 3, ackTimeout: 30_000 }],
    ["do", "a.emit", "ack", 1, ACK],
    ["is", "a._queue.0.tryCount", 0],
    ["do", "a.connect"],
    ["watch", "e", "a.io.engine", "packetCreate"],
    ["hear", "a", "ack", null, 1],
    ["do", "a.disconnect"],
    ...packets("0", '20["ack",1]', "1"),
  ],
  // Without a timeout, this client takes an acknowledgement that does not begin with null for an error.
  "does not send an event of its connect handler twice": [
    ["dial", "a", "/", { retries: 3, transports: ["websocket"] }],
    ["watch", "e", "a.io.engine", "packetCreate", "packet"],
    ["upon", "a", "connect", ["do", "a.emit", "ack", null]],
    ["hear", "e", "packet", part({ type: "open" })],
    ["hear", "e", "packet", part({ data: /^0\{"sid":/ })],
    ["hear", "e", "packet", part({ data: '2["auth",{}]' })],
    ["hear", "e", "packet", part({ data: "30[null]" })],
    ["do", "a.emit", "ack", null],
    ["hear", "e", "packet", part({ data: "31[null]" })],
    ...packets("0", '20["ack",null]', '21["ack",null]'),
    ["heard", "e", "packetCreate", 3],
  ],
};

const recovery = {
  "has its id again": [
    ["dial", "a", "/", { to: "recovering" }],
    ["is", "a.recovered", false],
    ["do", "a.emit", "echo"],
    ["hear", "a", "echo"],
    ["keep", "first", "a.id"],
    ["do", "a.io.engine.close"],
    ["hear", "a", "connect"],
    ["hear", "a", "connect"],
    ["is", "a.id", same("first")],
    ["is", "a.recovered", true],
  ],
};

export const cases = {
  connection,
  socket,
  "volatile events": volatile,
  acknowledgements,
  retry,
  "connection state recovery": recovery,
};

/** The other cases: what tests them, or why no server has a part in them. */
export const elsewhere = {
  "socketio-client.test.mjs tests it": [
    "reconnects by hand", // disconnects on its own wish and connects again
    "sends an ArrayBuffer", // echoes typed arrays and array buffers as bytes
    "sends an ArrayBuffer in an object", // echoes nested attachments
    "sends bytes and text in order", // keeps two thousand events in order
    "waits for an acknowledgement by a promise", // acknowledges with the same arguments
    "fails a promise when the server does not acknowledge", // times out on an event that nobody acknowledges
    "does not time out when the server acknowledges", // each call that has a timeout
    "does not time out when the server acknowledges, by a promise", // the same
  ],
  "the client reads an address, and connects to nothing": [
    "an address that is not given",
    "a relative address",
    "an address without a scheme",
    "an address without a scheme and slashes",
    "the port is part of the id",
    "the namespace of an address",
    "an address of IPv6",
    "an address of IPv6 from the page",
    "a path of its own",
  ],
  "nobody listens where the client connects to": [
    "stops reconnecting",
    "fails after two attempts",
    "does not reconnect when it must not",
    "opens another socket between two attempts",
    "has a connection error",
  ],
  "the client's own timers": [
    "the delay grows with each attempt",
    "timers that a test replaces",
    "timers that a test does not replace",
    "times out while it is not connected",
  ],
  "the client alone: nothing of it is sent": [
    "does not connect unless it is told to",
    "refuses a CONNECT of Socket.IO 2", // the case hands the packet to the client
    "refuses a reserved name of an event",
    "marks packets for compression",
    "marks packets not to be compressed",
    "listeners of any event", // each case's log is made by one
    "listeners of any event, in front",
    "listeners of any event, removed",
    "listeners of any outgoing event",
    "listeners of any outgoing event, with bytes",
    "listeners of any outgoing event, in front",
    "listeners of any outgoing event, removed",
  ],
  "whether Node ends while a socket is open": [
    "autoUnref",
    "autoUnref, while reconnecting",
    "autoUnref, polling",
    "autoUnref, WebSocket",
    "no autoUnref",
  ],
};
