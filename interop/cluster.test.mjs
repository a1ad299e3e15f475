// Nodes of several kinds on one Redis: what a client does at one node, the clients of all others hear once, in order.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { drain, openClient, startNodes, startRedis, stopNodes } from "./support/cluster.mjs";
import { Program } from "./support/peers.mjs";
import { until } from "./support/wait.mjs";

const EMITS = 20;
const is = (node, word) => node.kind.includes(word);
const isPython = (node) => is(node, "py ") || is(node, "ours python");

/** What each client has heard of `event`, as text, for messages. */
const of = (heard, event) => heard.filter(([name]) => name === event).map(([, ...args]) => args);

/** The behaviour of nodes that understand each other. */
function understandEachOther(title, kinds, { asksByRoom = true, usesRedis = true } = {}) {
  describe(title, { timeout: 120_000 }, () => {
    let redis, nodes;
    const clients = () => nodes.map((node) => node.client);
    const pairs = () => nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => [from, to]));

    before(async () => {
      redis = await startRedis();
      nodes = await startNodes(redis, kinds);
      // Until all have subscribed, and bridges have found each other.
      await until(async () => {
        for (const node of nodes) await node.client.call("bcast-all", "ready", node.name);
        return clients().every((client) => new Set(of(client.heard, "ready").map(String)).size === nodes.length);
      }, "everybody hears everybody");
      // Bridges have to find each other: until then an event may come twice, or not at all.
      let round = 0;
      await until(async () => {
        round += 1;
        for (const node of nodes) await node.client.call("bcast-all", "probe", round);
        // A mark may be lost, too.
        const heard = await drain(nodes, undefined, 2000).catch(() => undefined);
        return heard?.every((all) => of(all, "probe").filter(([of_round]) => of_round === round).length === nodes.length);
      }, "every event reaches every client once");
    });
    after(async () => {
      if (nodes) await stopNodes(nodes);
      await redis?.stop();
    });

    test("every event reaches every client once, in the order of its emitter", async () => {
      await Promise.all(
        nodes.map(async (node) => {
          for (let i = 0; i < EMITS; i += 1) await node.client.call("bcast-all", "news", node.name, i);
        }),
      );
      const heard = await drain(nodes);
      heard.forEach((all, number) => {
        for (const node of nodes) {
          const of_it = of(all, "news").filter(([name]) => name === node.name).map(([, i]) => i);
          const expected = [...Array(EMITS).keys()];
          assert.deepEqual(of_it, expected, `${nodes[number].name} hears ${node.name}`);
        }
        assert.equal(all.length, nodes.length * EMITS);
      });
    });

    test("bytes travel, wherever they are", async () => {
      const payload = { deep: [Buffer.from([0, 255, 1]), { x: Buffer.from("y") }], text: "é𝄞", n: 1.5, no: null };
      for (const node of nodes) await node.client.call("bcast-all", "bytes", node.name, payload);
      for (const all of await drain(nodes)) {
        assert.equal(all.length, nodes.length);
        for (const [, , came] of all) assert.deepEqual(came, payload);
      }
    });

    test("rooms are those of all nodes", async () => {
      const members = nodes.filter((_, number) => number % 2 === 0);
      for (const node of members) await node.client.call("join", "red");
      // Some adapters subscribe to a room's channel when its first member joins.
      await drain(nodes);
      for (const node of nodes) await node.client.call("bcast", "red", node.name);
      const heard = await drain(nodes);
      heard.forEach((all, number) => {
        const expected = number % 2 === 0 ? nodes.map((node) => node.name) : [];
        assert.deepEqual(of(all, "bcast").flat().sort(), expected.sort(), nodes[number].name);
      });
      for (const node of members) await node.client.call("leave", "red");
    });

    test("a socket is left out by its id", async () => {
      for (const node of nodes) await node.client.call("join", "blue");
      await drain(nodes);
      for (const [from, to] of pairs()) await from.client.call("bcast-except", "blue", to.client.id, from.name, to.name);
      const heard = await drain(nodes);
      heard.forEach((all, number) => {
        const me = nodes[number].name;
        const expected = pairs().filter(([, to]) => to.name !== me).map(([from, to]) => `${from.name} ${to.name}`);
        assert.deepEqual(of(all, "bcast").map((args) => args.join(" ")).sort(), expected.sort());
      });
      await nodes[0].client.call("close-room", "blue");
      await until(async () => {
        await drain(nodes);
        await nodes[0].client.call("bcast", "blue", "nobody");
        return (await drain(nodes)).every((all) => all.length === 0);
      }, "nobody is in the closed room");
    });

    test("a single socket is reached, and it alone", async () => {
      for (const [from, to] of pairs()) await from.client.call("to", to.client.id, "you", from.name);
      const heard = await drain(nodes);
      heard.forEach((all, number) => {
        const expected = nodes.filter((_, other) => other !== number).map((node) => node.name);
        assert.deepEqual(of(all, "you").flat().sort(), expected.sort());
      });
    });

    test("a client's answer comes back from another node", async () => {
      for (const [from, to] of pairs()) {
        const answers = await from.client.call("ask", to.client.id, from.name, 20_000);
        assert.deepEqual(answers, [`${to.name} ${from.name}`], `${from.name} asks ${to.name}`);
      }
    });

    if (asksByRoom) {
      test("the answers of a room's members come from all nodes", async () => {
        for (const node of nodes) await node.client.call("join", "all");
        await drain(nodes);
        for (const from of nodes.filter((node) => !isPython(node))) {
          const answers = await from.client.call("ask", "all", "who?", 20_000);
          assert.deepEqual(answers.sort(), nodes.map((node) => `${node.name} who?`).sort());
        }
      });

      test("sockets are listed, and servers speak to each other", async () => {
        for (const from of nodes) {
          const ids = await from.client.call("sockets", null);
          assert.deepEqual(ids.sort(), nodes.map((node) => node.client.id).sort(), from.name);
          const told = await from.client.call("tell", "are you there?");
          assert.deepEqual(told, nodes.slice(1).map(() => "are you there?"));
        }
      });
    }

    test("a socket of another node is moved into a room", async () => {
      for (const [from, to] of pairs()) {
        const room = `${from.name} to ${to.name}`;
        await from.client.call("move", to.client.id, room);
        await until(async () => {
          await to.client.call("bcast", room, room);
          return to.client.heard.some(([event, value]) => event === "bcast" && value === room);
        }, `${to.name} is in the room that ${from.name} has put it into`);
      }
      await drain(nodes);
    });

    test("a socket of another node is disconnected", async () => {
      for (const [from, to] of pairs()) {
        const client = await openClient(to);
        const gone = new Promise((resolve) => client.on("disconnect", resolve));
        await from.client.call("kick", client.id);
        assert.equal(await gone, "io server disconnect", `${from.name} kicks a client of ${to.name}`);
      }
    });

    test("namespaces are apart", async () => {
      const custom = await Promise.all(nodes.map((node) => openClient(node, "/custom")));
      await until(async () => {
        await custom[0].call("bcast-all", "ready", 1);
        return custom.every((client) => client.heard.some(([event]) => event === "ready"));
      }, "the other namespace is heard everywhere");
      for (const all of await drain(nodes)) assert.deepEqual(all, []);
      for (const client of custom) client.disconnect();
    });

    if (!usesRedis) return;
    test("with Redis gone each node of ours serves its own, and with it back they hear each other", async (t) => {
      const mine = nodes.filter((node) => is(node, "ours"));
      await redis.kill();
      // Redis is not there: what comes now has not waited for it.
      for (const node of mine) {
        await node.client.call("bcast-all", "alone", node.name);
        await node.client.until("alone", node.name);
      }
      for (const node of mine) await until(() => /bus down/.test(node.program.errors), `${node.name} says that the bus is away`);
      await redis.start();
      const back = Date.now();
      let round = 0;
      // Python nodes wait up to a minute, by their own rule; ours and JavaScript's do not.
      const quick = nodes.filter((node) => !is(node, "py "));
      await until(async () => {
        round += 1;
        for (const node of quick) await node.client.call("bcast-all", "again", `${round} ${node.name}`);
        const hears = (client) => new Set(of(client.heard, "again").map(([value]) => value.split(" ").slice(1).join(" ")));
        return quick.every((node) => hears(node.client).size === quick.length);
      }, "everybody hears everybody again");
      t.diagnostic(`everybody hears everybody ${Date.now() - back} ms after Redis is back`);
      for (const node of mine) {
        assert.match(node.program.errors, /bus down[^]*bus up after \d+ ms/, "the gap is told");
        assert.equal(node.program.child.exitCode, null);
      }
    });
  });
}

understandEachOther("Python and ours", ["ours python", "ours python", "py async", "py sync"], { asksByRoom: false });
understandEachOther("JavaScript's classic adapter and ours", ["ours classic", "ours classic", "js classic", "js classic"]);
understandEachOther("JavaScript's sharded adapter and ours", ["ours sharded", "ours sharded", "js sharded", "js sharded"]);
understandEachOther("JavaScript's streams adapter and ours", ["ours streams", "ours streams", "js streams", "js streams"]);
understandEachOther(
  "a bridge of ours between Python and JavaScript",
  ["ours bridge", "ours bridge", "js classic", "js classic", "py async", "py sync"],
  { asksByRoom: false },
);
understandEachOther("ours alone", ["ours alone", "ours alone", "ours alone"]);
understandEachOther("ours by a Unix socket", ["ours by socket", "ours by socket", "ours by socket"], { usesRedis: false });

describe("processes without a server", { timeout: 60_000 }, () => {
  for (const [title, kind, emit] of [
    ["npm's emitter", "ours classic", emitByNpm],
    ["a write-only manager of Python", "ours python", emitByPython],
  ]) {
    test(`${title} reaches the clients of ours`, async () => {
      const redis = await startRedis();
      const nodes = await startNodes(redis, [kind, kind]);
      try {
        await until(() => nodes.every((node) => /bus up/.test(node.program.errors)), "the nodes are on the bus");
        const hearEachOther = () => drain(nodes, undefined, 2000).then(() => true, () => false);
        await until(hearEachOther, "they have subscribed");
        await nodes[0].client.call("join", "red");
        await emit(redis);
        const member = await nodes[0].client.until("end", 2);
        assert.deepEqual(member, [["news", 1, Buffer.from("bytes")], ["end", 2]]);
        assert.deepEqual(await nodes[1].client.until("end", 2), [["end", 2]]);
      } finally {
        await stopNodes(nodes);
        await redis.stop();
      }
    });
  }
});

async function emitByNpm(redis) {
  const client = createClient({ url: redis.url });
  await client.connect();
  const emitter = new Emitter(client);
  emitter.to("red").emit("news", 1, Buffer.from("bytes"));
  emitter.emit("end", 2);
  // The emitter does not wait for its publications; they are before this on the connection.
  await client.ping();
  await client.quit();
}

async function emitByPython(redis) {
  const code = `
import socketio
manager = socketio.RedisManager("${redis.url}", write_only=True)
manager.emit("news", (1, b"bytes"), room="red")
manager.emit("end", (2,))
`;
  const python = new Program([`${import.meta.dirname}/.venv/bin/python`, "-c", code]);
  assert.equal(await python.exit(), 0, python.errors);
}
