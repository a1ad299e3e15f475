// The ways to Redis: users with no more rights than docs/cluster.md asks for, and Unix sockets.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { startSentinel } from "../support/brokers.mjs";
import { drain, startNodes, startRedis, stopNodes } from "../support/cluster.mjs";
import { emit } from "../support/emitter.mjs";
import { until } from "../support/wait.mjs";

const RIGHTS = "+publish +subscribe +unsubscribe +pubsub +hello +ping &socketio &socket.io* &sansocket*".split(" ");
// A pattern of a subscription must be one of the user's to the letter.
const OF_CLASSIC = ["+psubscribe", "+punsubscribe", "&socket.io#/#*", "&socket.io#/custom#*", "&socket.io#/locked#*"];
const OF_SHARDED = ["+spublish", "+ssubscribe", "+sunsubscribe"];
const OF_STREAMS = ["+xadd", "+xread", "+xrange", "+xrevrange", "~socket.io"];
const OF_RECOVERY = ["+set", "+get", "+del", "+multi", "+exec", "~sio:session:*"];

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
    ["streams with recovery", "redis+streams", "cluster", [...RIGHTS, ...OF_STREAMS, ...OF_RECOVERY]],
  ]) {
    test(name, async () => {
      const redis = await start(rights);
      redis.dialect = dialect;
      redis.recovers = name.endsWith("recovery");
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
        assert.equal((await one.call("ask", other.id, "you", 20_000)).length, 1);
        if (!dialect.includes("python")) assert.deepEqual((await one.call("sockets", null)).sort(), [one.id, other.id].sort());
        await emit(redis.address, dialect, [["emit", "", "news", 1]]);
        // Behind the arguments is the offset.
        const withoutOffset = (heard) => heard.map((item) => item.slice(0, 2));
        for (const client of [one, other]) assert.deepEqual(withoutOffset(await client.until("news", 1)), [["news", 1]]);
        if (redis.recovers) {
          // Its node may have greeted it before Redis was there: that session would begin anew. Another one has an offset.
          one.disconnect().connect();
          await until(() => one.connected, "it has another session");
          await one.call("bcast-all", "again", 1);
          await one.until("again", 1);
          one.io.engine.close();
          await until(() => !one.connected, "the connection is lost");
          await until(async () => (await other.call("sockets", null)).length === 1, "its node knows, too");
          one.connect();
          await until(() => one.connected, "it is there again");
          assert.equal(one.recovered, true);
        }
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

test("nodes follow Sentinel to the new master", { timeout: 300_000 }, async () => {
  const master = await startRedis();
  const replica = await startRedis(() => ["--replicaof", "127.0.0.1", String(master.port)]);
  const sentinel = await startSentinel(master.port);
  let nodes = [];
  try {
    // Until it knows the replica, there is nobody to take over.
    await until(async () => /slave0:ip=127.0.0.1/.test(await command(master.port, "INFO replication")), "the replica is there");
    await until(async () => /num-slaves\r\n\$1\r\n1/.test(await command(sentinel.port, "SENTINEL MASTER main")), "Sentinel knows it");
    // Nobody listens at the first.
    const sentinels = `127.0.0.1:1,127.0.0.1:${sentinel.port}/main`;
    nodes = await startNodes({ sentinels }, ["ours by Sentinel", "ours by Sentinel"]);
    let round = 0;
    const everybodyHears = () =>
      until(async () => {
        round += 1;
        for (const node of nodes) await node.client.call("bcast-all", "news", `${node.name} ${round}`);
        return nodes.every(({ client }) => nodes.every(({ name }) => client.heard.some(([, value]) => value === `${name} ${round}`)));
      }, "everybody hears everybody", 90_000);
    await everybodyHears();
    await master.kill();
    for (const { program } of nodes) await until(() => /bus down/.test(program.errors), "the loss is told");
    await everybodyHears();
    assert.match(await command(replica.port, "ROLE"), /master/);
    for (const { program } of nodes) assert.match(program.errors, /bus down[^]*bus up after \d+ ms/, "the gap is told");
  } finally {
    await stopNodes(nodes);
    for (const program of [sentinel, replica, master]) await program.stop();
  }
});

/** The first part of Redis's answer to a command. */
const command = (port, words) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(`${words}\r\n`));
    socket.on("data", (data) => {
      resolve(String(data));
      socket.destroy();
    });
    socket.on("error", () => resolve(""));
  });
