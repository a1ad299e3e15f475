// Clusters on NATS and on Postgres, which are the test's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter as PostgresEmitter } from "@socket.io/postgres-emitter";
import pg from "pg";
import { startNats, startPostgres } from "../support/brokers.mjs";
import { cluster, isOurs } from "../support/clusters.mjs";

cluster("NATS", startNats, ["ours on nats", "ours on nats", "ours on nats"]);
cluster("Postgres, beside JavaScript nodes", startPostgres, ["ours on postgres", "ours on postgres", "js postgres", "js postgres"], {
  inOrder: (from, to) => isOurs(from) && isOurs(to),
  more: (now) =>
    test("npm's emitter reaches the clients of ours", async () => {
      const { bus, nodes } = now();
      const pool = new pg.Pool({ connectionString: bus.url });
      const emitter = new PostgresEmitter(pool);
      await emitter.emit("by npm", 1, Buffer.from([7]));
      for (const { client } of nodes.filter(isOurs)) {
        assert.deepEqual(await client.until("by npm", 1), [["by npm", 1, Buffer.from([7])]]);
      }
      await pool.end();
    }),
});
