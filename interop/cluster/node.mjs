// A JavaScript node of a cluster: npm's server with one of the Redis adapters or that of Postgres, driven by its clients' events as the
// conformance server is.
//
//   node cluster/node.mjs --redis redis://127.0.0.1:6379 --adapter classic|sharded|streams --port 0
//   node cluster/node.mjs --redis redis://127.0.0.1:7000,redis://127.0.0.1:7001 --adapter sharded --port 0 (a Redis Cluster)
//   node cluster/node.mjs --postgres postgres://user@127.0.0.1/database --adapter postgres --port 0
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { createAdapter as createPostgresAdapter } from "@socket.io/postgres-adapter";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import pg from "pg";
import { createClient, createCluster } from "redis";
import { Server } from "socket.io";

const { values } = parseArgs({
  options: { redis: { type: "string" }, postgres: { type: "string" }, adapter: { type: "string" }, port: { type: "string", default: "0" }, recovery: { type: "string" } },
});

// Connection lost: the client connects again by itself, and so often that a test need not wait.
const connect = async () => {
  const socket = { reconnectStrategy: () => 100 };
  const urls = values.redis.split(",");
  const client =
    urls.length > 1
      ? createCluster({ rootNodes: urls.map((url) => ({ url })), defaults: { socket } })
      : createClient({ url: values.redis, socket });
  client.on("error", () => {});
  await client.connect();
  return client;
};
const pool = async () => {
  const pool = new pg.Pool({ connectionString: values.postgres });
  // One connection after the other, so that no two nodes make the table at once.
  await pool.query(`CREATE TABLE IF NOT EXISTS socket_io_attachments
    (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)`).catch(() => {});
  return pool;
};
const adapters = {
  postgres: async () => createPostgresAdapter(await pool()),
  classic: async () => createAdapter(await connect(), await connect()),
  sharded: async () => createShardedAdapter(await connect(), await connect()),
  streams: async () => createStreamsAdapter(await connect()),
};

const recovery = values.recovery ? { connectionStateRecovery: { maxDisconnectionDuration: Number(values.recovery) } } : {};
const http = createServer();
const io = new Server(http, { adapter: await adapters[values.adapter](), pingInterval: 25_000, ...recovery });

const target = (namespace, room) => (room === null || room === undefined ? namespace : namespace.to(room));

for (const namespace of [io.of("/"), io.of("/custom")]) {
  namespace.on("connection", (socket) => {
    const on = (event, handler) =>
      socket.on(event, async (...args) => {
        const acknowledge = typeof args.at(-1) === "function" ? args.pop() : () => {};
        const answer = async () => handler(...args);
        // What a bus does not answer in time must not end the node.
        acknowledge(await answer().catch((error) => ({ error: String(error) })));
      });
    on("join", (room) => void socket.join(room));
    on("remember", (kept) => void (socket.data.kept = kept));
    on("recall", () => socket.data.kept ?? null);
    on("leave", (room) => void socket.leave(room));
    on("bcast-all", (event, ...payload) => void namespace.emit(event, ...payload));
    on("bcast", (room, ...payload) => void target(namespace, room).emit("bcast", ...payload));
    on("bcast-except", (room, except, ...payload) =>
      void target(namespace, room).except(except).emit("bcast", ...payload),
    );
    on("to", (id, event, ...payload) => void namespace.to(id).emit(event, ...payload));
    on("ask", (id, payload, ms) =>
      namespace.to(id).timeout(ms).emitWithAck("ask", payload).catch((error) => error.responses ?? []),
    );
    on("sockets", async (room) => (await target(namespace, room).fetchSockets()).map((remote) => remote.id));
    on("move", (id, room) => void namespace.in(id).socketsJoin(room));
    on("kick", (id, close) => void namespace.in(id).disconnectSockets(close ?? false));
    on("close-room", (room) => void namespace.in(room).socketsLeave(room));
    on("tell", (payload) => namespace.serverSideEmitWithAck("tell", payload));
  });
  // Emitters ask for no answer.
  namespace.on("tell", (payload, acknowledge) => (acknowledge ? acknowledge(payload) : namespace.local.emit("told", payload)));
}

http.listen(Number(values.port), "127.0.0.1", () => console.log(`listening ${http.address().port}`));
