// The ways to Redis: users with no more rights than docs/cluster.md asks for, and Unix sockets.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { drain, startNodes, startRedis, stopNodes } from "../support/cluster.mjs";
import { emit } from "../support/emitter.mjs";
import { until } from "../support/wait.mjs";

const RIGHTS = "+publish +subscribe +unsubscribe +pubsub +hello +ping &socketio &socket.io* &sansocket*".split(" ");
// A pattern of a subscription must be one of the user's to the letter.
const OF_CLASSIC = ["+psubscribe", "+punsubscribe", "&socket.io#/#*", "&socket.io#/custom#*"];
const OF_SHARDED = ["+spublish", "+ssubscribe", "+sunsubscribe"];
const OF_STREAMS = ["+xadd", "+xread", "+xrevrange", "~socket.io"];

/** Redis with a Unix socket and one user besides the default one, which is off. */
const start = (rights) =>
  startRedis((folder) => [
    ...["--unixsocket", `${folder}/socket`],
    ...["--user", "chat", "on", ">a secret", "resetchannels", "-@all", ...rights],
  ]);

describe("a user of Redis with the rights of the documentation, by TCP and by a Unix socket", { timeout: 120_000 }, () => {
  for (const [name, scheme, dialect, rights] of [
    ["our own dialect", "redis", "cluster", RIGHTS],
    ["classic", "redis", "classic", [...RIGHTS, ...OF_CLASSIC]],
    ["python", "redis", "python", RIGHTS],
    ["both", "redis", "python,classic", [...RIGHTS, ...OF_CLASSIC]],
    ["sharded", "redis+sharded", "cluster", [...RIGHTS, ...OF_SHARDED]],
    ["streams", "redis+streams", "cluster", [...RIGHTS, ...OF_STREAMS]],
  ]) {
    test(name, async () => {
      const redis = await start(rights);
      redis.dialect = dialect;
      redis.address = `${scheme}://chat:a%20secret@127.0.0.1:${redis.port}`;
      const nodes = await startNodes(redis, ["ours at an address"]);
      try {
        if (scheme === "redis") redis.address = `redis+unix://${redis.folder}/socket?user=chat&pass=a%20secret`;
        nodes.push(...(await startNodes(redis, ["ours at an address"])).map((node) => ({ ...node, name: "by the socket" })));
        await until(async () => {
          for (const node of nodes) await node.client.call("bcast-all", "ready", node.name);
          return nodes.every(({ client }) => new Set(client.heard.map(([, value]) => value)).size === nodes.length);
        }, "everybody hears everybody");
        await drain(nodes);
        const [one, other] = nodes.map((node) => node.client);
        assert.equal((await one.call("ask", other.id, "you", 5000)).length, 1);
        if (!dialect.includes("python")) assert.deepEqual((await one.call("sockets", null)).sort(), [one.id, other.id].sort());
        await emit(redis.address, dialect, [["emit", "", "news", 1]]);
        for (const client of [one, other]) assert.deepEqual(await client.until("news", 1), [["news", 1]]);
        for (const { client } of nodes) assert.equal((await client.call("counts")).refused, 0, "Redis has refused nothing");
      } finally {
        await stopNodes(nodes);
        await redis.stop();
      }
    });
  }

  test("what the user may not do is counted, and the node goes on", async () => {
    const redis = await start(RIGHTS.filter((right) => right !== "+publish"));
    redis.address = `redis://chat:a%20secret@127.0.0.1:${redis.port}`;
    const nodes = await startNodes(redis, ["ours at an address"]);
    try {
      const [{ client }] = nodes;
      await client.call("bcast-all", "news", 1);
      assert.deepEqual(await client.until("news", 1), [["news", 1]]);
      await until(async () => (await client.call("counts")).refused > 0, "the refusal is counted");
    } finally {
      await stopNodes(nodes);
      await redis.stop();
    }
  });
});
