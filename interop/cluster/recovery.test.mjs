// Connection state recovery across nodes on Redis streams: npm's client is cut from one node and comes back to another, in all
// pairs of two of ours and two of JavaScript's.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as dial, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { createClient } from "redis";
import { io } from "socket.io-client";
import { startNodes, startRedis, stopNodes } from "../support/cluster.mjs";
import { until, within } from "../support/wait.mjs";

/** A way to a node that can be cut, and then leads to another one. */
async function road() {
  const open = new Set();
  const way = { port: undefined };
  const proxy = createServer((near) => {
    if (way.port === undefined) return near.destroy();
    const far = dial(way.port, "127.0.0.1");
    for (const [a, b] of [[near, far], [far, near]]) {
      open.add(a);
      a.pipe(b);
      a.on("error", () => {}).on("close", () => {
        open.delete(a);
        b.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  way.url = `http://127.0.0.1:${proxy.address().port}`;
  way.cut = () => {
    way.port = undefined;
    for (const socket of open) socket.destroy();
  };
  way.close = () => {
    way.cut();
    proxy.close();
  };
  return way;
}

/** A client by that way, which notes the broadcasts to its room. */
async function join(way, room) {
  const client = io(way.url, { transports: ["websocket"], forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
  client.heard = [];
  client.on("bcast", (value) => client.heard.push(value));
  await within(once(client, "connect"), "the connection");
  await within(client.emitWithAck("join", room), "the room");
  return client;
}

const portOf = (node) => Number(new URL(node.url).port);
const KINDS = ["ours streams, recovering", "ours streams, recovering", "js streams, recovering", "js streams, recovering"];

describe("a client that is cut from one node and comes back to another", { timeout: 240_000 }, () => {
  let redis;
  let keys;
  let nodes = [];
  /** Waits until the client knows of the cut, and the node that it has left has handed its session over. */
  const isAway = async (client) => {
    await until(() => !client.connected, "the client notices");
    await until(async () => (await keys.exists(`sio:session:${client._pid}`)) === 1, "its session waits");
  };

  before(async () => {
    redis = await startRedis();
    keys = await createClient({ url: redis.url }).connect();
    nodes = await startNodes(redis, KINDS);
    // JavaScript's have no place in the stream before its first entry.
    await until(async () => {
      for (const node of nodes) await node.client.call("bcast-all", "ready", node.name);
      const hears = ({ client }) => new Set(client.heard.filter(([event]) => event === "ready").map(([, name]) => name)).size;
      return nodes.every((node) => hears(node) === nodes.length);
    }, "everybody hears everybody");
  });

  after(async () => {
    await stopNodes(nodes);
    await keys?.close();
    await redis?.stop();
  });

  const move = async (from, to, room) => {
    const way = await road();
    way.port = portOf(from);
    const client = await join(way, room);
    // What it hears is in the stream's order: a client that stays, at one of ours.
    const beside = await road();
    beside.port = portOf(nodes[0]);
    const witness = await join(beside, room);
    const say = (node, value) => node.client.call("bcast", room, value);
    try {
      const id = client.id;
      await within(client.emitWithAck("remember", `kept at ${from.name}`), "the answer");
      // Its offset is this one's.
      await say(nodes[3], "first");
      await until(() => client.heard.length === 1 && witness.heard.length === 1, "both hear the first");
      way.cut();
      await isAway(client);
      const values = [];
      for (const node of nodes) {
        for (const value of [`${node.name} 1`, Buffer.from([1, 2]), `${node.name} 2`]) {
          await say(node, value);
          values.push(value);
        }
        await node.client.call("bcast", `not ${room}`, "for others");
        await node.client.call("bcast-except", room, id, "not for it");
        values.push("not for it");
      }
      const texts = () => values.filter((value) => typeof value === "string");
      await until(() => witness.heard.length === 1 + values.length, "the witness hears all");
      way.port = portOf(to);
      await until(() => client.connected, "it is back");
      assert.deepEqual([client.recovered, client.id], [true, id], "with its session");
      for (const node of nodes) await say(node, `${node.name} 3`);
      await until(() => client.heard.length >= 1 + values.length, "it hears what it has missed, and what comes");
      await until(() => witness.heard.length === 1 + values.length + nodes.length, "the witness, too");
      const isForIt = (value) => value !== "not for it";
      assert.deepEqual([...client.heard].map(String).sort(), witness.heard.filter(isForIt).map(String).sort(), "each once");
      const missed = witness.heard.slice(0, 1 + values.length).filter(isForIt);
      assert.deepEqual(client.heard.slice(0, missed.length), missed, "in order");
      assert.ok(texts().length > 0);
      assert.equal(await within(client.emitWithAck("recall"), "the answer"), `kept at ${from.name}`);
    } finally {
      for (const one of [client, witness]) one.disconnect();
      for (const one of [way, beside]) one.close();
    }
  };

  for (const [from, kindFrom] of KINDS.entries()) {
    for (const [to, kindTo] of KINDS.entries()) {
      test(`${kindFrom} ${from} to ${kindTo} ${to}`, () => move(nodes[from], nodes[to], `room ${from} ${to}`));
    }
  }

  test("a client that comes back twice, by way of each kind of node", async () => {
    const way = await road();
    way.port = portOf(nodes[0]);
    const client = await join(way, "tour");
    try {
      await nodes[1].client.call("bcast", "tour", 0);
      await until(() => client.heard.length === 1, "it hears the first");
      for (const [number, at] of [2, 1, 3, 0, 0, 2].entries()) {
        way.cut();
        await isAway(client);
        await nodes[at].client.call("bcast", "tour", number + 1);
        way.port = portOf(nodes[at]);
        await until(() => client.connected && client.heard.length === number + 2, `it is back, and hears: ${client.heard}`);
        assert.equal(client.recovered, true);
      }
      assert.deepEqual(client.heard, [0, 1, 2, 3, 4, 5, 6]);
    } finally {
      client.disconnect();
      way.close();
    }
  });
});

test("with Redis gone a client hears its own node, and begins anew at another; with it back it recovers", { timeout: 120_000 }, async () => {
  const redis = await startRedis();
  const nodes = await startNodes(redis, KINDS.slice(0, 2));
  const way = await road();
  way.port = portOf(nodes[0]);
  const client = await join(way, "room");
  const say = (node, value) => node.client.call("bcast", "room", value);
  const hears = (value) => until(() => client.heard.includes(value), `it hears ${value}: ${client.heard}`);
  const comes = async (to) => {
    way.port = portOf(to);
    await until(() => client.connected, "it is back");
    return client.recovered;
  };
  const leaves = async () => {
    way.cut();
    await until(() => !client.connected, "the client notices");
  };
  try {
    await say(nodes[1], "before");
    await hears("before");
    const id = client.id;
    await redis.kill();
    for (const { program } of nodes) await until(() => /bus down/.test(program.errors), "the loss is told");
    await say(nodes[0], "alone");
    await hears("alone");
    await leaves();
    assert.equal(await comes(nodes[1]), false);
    assert.notEqual(client.id, id);
    await redis.start();
    for (const { program } of nodes) await until(() => /bus up after/.test(program.errors), "the bus is back");
    // Each reads from the end of the stream that it finds then.
    await until(async () => {
      for (const node of nodes) await node.client.call("bcast-all", "back", node.name);
      const hears = ({ client }) => new Set(client.heard.filter(([event]) => event === "back").map(([, name]) => name)).size;
      return nodes.every((node) => hears(node) === nodes.length);
    }, "they hear each other again");
    // Its node has sent it something without the stream, and does not know whether that has arrived: it begins anew once
    // more, if it has not been there for so long that the heartbeat has told.
    way.cut();
    await until(() => !client.connected, "the client notices");
    await comes(nodes[0]);
    await within(client.emitWithAck("join", "room"), "the room");
    await say(nodes[1], "again");
    await hears("again");
    await leaves();
    // The node that it has left hands its session over.
    const keys = await createClient({ url: redis.url }).connect();
    await until(async () => (await keys.exists(`sio:session:${client._pid}`)) === 1, "its session waits");
    await keys.close();
    await say(nodes[1], "missed");
    assert.equal(await comes(nodes[0]), true);
    await hears("missed");
    assert.deepEqual(client.heard, ["before", "alone", "again", "missed"]);
  } finally {
    client.disconnect();
    way.close();
    await stopNodes(nodes);
    await redis.stop();
  }
});
