// What is decisive for a cluster on any bus, as tests: the nodes are started once, and the broker is killed at the end.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { drain, startNodes, stopNodes } from "./cluster.mjs";
import { emit } from "./emitter.mjs";
import { until } from "./wait.mjs";

const EMITS = 20;
const of = (heard, event) => heard.filter(([name]) => name === event).map(([, ...args]) => args);
export const isOurs = (node) => node.kind.startsWith("ours");
const isPython = (node) => node.kind.startsWith("py") || node.kind.endsWith("python");

/** `start` gives the bus; `more` is for tests of its own, and is given what tells the bus and its nodes. */
export function cluster(title, start, kinds, { dialect = "cluster", inOrder = () => true, more = () => {} } = {}) {
  describe(title, { timeout: 400_000 }, () => {
    let bus, nodes;
    before(async () => {
      bus = await start();
      nodes = await startNodes(bus, kinds);
      await until(async () => {
        for (const node of nodes) await node.client.call("bcast-all", "ready", node.name);
        return nodes.every(({ client }) => new Set(of(client.heard, "ready").map(String)).size === nodes.length);
      }, "everybody hears everybody");
      await drain(nodes);
    });
    after(async () => {
      if (nodes) await stopNodes(nodes);
      await bus?.stop();
    });

    test("every event reaches every client once, long and short, with bytes and without", async () => {
      const long = "é".repeat(9000);
      const payloads = [1, "text", { deep: [Buffer.from([0, 255])] }, long, { a: null }];
      await Promise.all(
        nodes.map(async (node) => {
          for (let i = 0; i < EMITS; i += 1) await node.client.call("bcast-all", "news", node.name, i, payloads[i % payloads.length]);
        }),
      );
      // A JavaScript node on Postgres hears long ones after what was said later.
      const count = nodes.length * EMITS;
      await until(() => nodes.every(({ client }) => of(client.heard, "news").length >= count), "everything has come");
      const heard = await drain(nodes);
      heard.forEach((all, at) => {
        for (const node of nodes) {
          const came = of(all, "news").filter(([name]) => name === node.name);
          // JavaScript's take a connection of a pool for each message, and do not wait for a row before the next message.
          if (!inOrder(node, nodes[at])) came.sort(([, one], [, other]) => one - other);
          const expected = Array.from({ length: EMITS }, (_, i) => [node.name, i, payloads[i % payloads.length]]);
          assert.ok(isDeepStrictEqual(came, expected), `${nodes[at].name} hears ${node.name}: ${JSON.stringify(came.map(([, i]) => i))}`);
        }
        // A late `ready` of before may be among them.
        assert.equal(of(all, "news").length, count);
      });
    });

    test("rooms, single sockets, and answers are those of all nodes", async () => {
      for (const node of nodes.slice(1)) await node.client.call("join", "red");
      await drain(nodes);
      for (const node of nodes) await node.client.call("bcast", "red", node.name);
      const members = nodes.slice(1).map(({ client }) => client);
      await until(() => members.every((client) => of(client.heard, "bcast").length >= nodes.length), "all members hear all");
      for (const [at, all] of (await drain(nodes)).entries()) {
        assert.deepEqual(of(all, "bcast").flat().sort(), at === 0 ? [] : nodes.map((node) => node.name).sort());
      }
      for (const from of nodes) {
        for (const to of nodes.filter((node) => node !== from)) {
          const answers = await from.client.call("ask", to.client.id, from.name, 20_000);
          assert.deepEqual(answers, [`${to.name} ${from.name}`], `${from.name} asks ${to.name}`);
        }
        if (isPython(from)) continue;
        const ids = await from.client.call("sockets", null);
        assert.deepEqual(ids.sort(), nodes.map((node) => node.client.id).sort(), from.name);
        assert.deepEqual(await from.client.call("tell", "there?"), nodes.slice(1).map(() => "there?"));
      }
      for (const { client } of nodes) await client.call("leave", "red");
      await drain(nodes);
    });

    test("an emitter of ours reaches everybody once", async () => {
      await emit(bus.url, dialect, [["emit", "", "all", 1, { base64: "AP8=" }], ["emit", nodes[1].client.id, "you", 2], ["emit", "", "end", 3]]);
      for (const [at, { client }] of nodes.entries()) {
        const you = at === 1 ? [["you", 2]] : [];
        const expected = [["all", 1, Buffer.from([0, 255])], ...you, ["end", 3]];
        const heard = () => client.heard.filter(([event]) => ["all", "you", "end"].includes(event));
        await until(() => heard().length >= expected.length, `${nodes[at].name} hears the emitter`);
        const came = heard();
        client.heard.length = 0;
        if (!inOrder(nodes[0], nodes[at])) came.sort(([, one], [, other]) => one - other);
        assert.deepEqual(came, expected, nodes[at].name);
      }
    });

    more(() => ({ bus, nodes }));

    test("with the broker gone each node of ours serves its own, and with it back they hear each other", async () => {
      const mine = nodes.filter(isOurs);
      await bus.kill();
      for (const node of mine) {
        await node.client.call("bcast-all", "alone", node.name);
        await node.client.until("alone", node.name);
      }
      for (const node of mine) await until(() => /bus down/.test(node.program.errors), `${node.name} says that the bus is away`);
      await bus.start();
      let round = 0;
      await until(async () => {
        round += 1;
        for (const node of mine) await node.client.call("bcast-all", "again", `${round} ${node.name}`);
        const hears = (client) => new Set(of(client.heard, "again").map(([value]) => value.split(" ").slice(1).join(" ")));
        return mine.every(({ client }) => mine.every(({ name }) => hears(client).has(name)));
      }, "ours hear each other again");
      for (const node of mine) {
        assert.match(node.program.errors, /bus down[^]*bus up after \d+ ms/, "the gap is told");
        assert.equal(node.program.child.exitCode, null);
      }
    });
  });
}
