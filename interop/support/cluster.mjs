// A Redis of a test's own, the nodes on it, and their clients.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "socket.io-client";
import { Program } from "./peers.mjs";
import { conformanceCommand, freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

const here = new URL("..", import.meta.url).pathname;

/** A redis-server on a port of its own, which keeps nothing, in a folder that goes with it. `more` gives further flags. */
export async function startRedis(more = () => []) {
  const folder = await mkdtemp(join(tmpdir(), "redis-"));
  const redis = {
    folder,
    port: await freePort(),
    async start() {
      const args = ["--port", redis.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
      args.push(...more(folder));
      redis.child = spawn("redis-server", args.map(String), { stdio: ["ignore", "pipe", "inherit"] });
      let said = "";
      redis.child.stdout.on("data", (data) => (said = (said + data).slice(-4000)));
      let end;
      redis.exited = new Promise((resolve) => redis.child.on("exit", resolve).on("error", resolve));
      redis.exited.then((how) => (end = how));
      await until(() => {
        if (end !== undefined) throw new Error(`redis-server ended (${end}): ${said}`);
        return answers(redis.port);
      }, "redis-server answers").catch((error) => {
        // What still runs would keep this process from ending.
        redis.child.kill("SIGKILL");
        throw error;
      });
    },
    /** As if the machine were gone. */
    async kill() {
      redis.child.kill("SIGKILL");
      await redis.exited;
    },
    async stop() {
      await redis.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await redis.start();
  redis.url = `redis://127.0.0.1:${redis.port}`;
  return redis;
}

/** Whether it is Redis that listens there, and ready. */
const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("data", (data) => {
      resolve(String(data).startsWith("+PONG"));
      socket.destroy();
    });
    socket.on("error", () => {}).on("close", () => resolve(false));
  });

const python = `${here}.venv/bin/python`;

/** What starts each kind of node. */
const NODES = {
  "py async": (redis) => [python, "cluster/node.py", "--manager", "async", "--redis", redis.url],
  "py sync": (redis) => [python, "cluster/node.py", "--manager", "sync", "--redis", redis.url],
  "js classic": (redis) => [process.execPath, "cluster/node.mjs", "--adapter", "classic", "--redis", redis.url],
  "js sharded": (redis) => [process.execPath, "cluster/node.mjs", "--adapter", "sharded", "--redis", redis.url],
  "js streams": (redis) => [process.execPath, "cluster/node.mjs", "--adapter", "streams", "--redis", redis.url],
  "ours python": (redis) => ours(redis.url, "python"),
  "ours classic": (redis) => ours(redis.url, "classic"),
  "ours bridge": (redis) => ours(redis.url, "python,classic"),
  "ours sharded": (redis) => ours(redis.url.replace("redis:", "redis+sharded:"), "cluster"),
  "ours streams": (redis) => ours(redis.url.replace("redis:", "redis+streams:"), "cluster"),
  "js streams, recovering": (redis) => [...NODES["js streams"](redis), "--recovery", "60000"],
  "ours streams, recovering": (redis) => [...NODES["ours streams"](redis), "--recovery", "60000"],
  "ours alone": (redis) => ours(redis.url, "cluster"),
  "ours on postgres": (bus) => ours(bus.url, "cluster"),
  "ours on nats": (bus) => ours(bus.url, "cluster"),
  "ours on amqp": (bus) => ours(bus.url, "cluster"),
  "ours on amqp python": (bus) => ours(bus.url, "python"),
  "js postgres": (bus) => [process.execPath, "cluster/node.mjs", "--adapter", "postgres", "--postgres", bus.url],
  "py aio_pika": (bus) => [python, "cluster/node.py", "--manager", "aio_pika", "--amqp", bus.url],
  "py kombu": (bus) => [python, "cluster/node.py", "--manager", "kombu", "--amqp", bus.url],
  "ours at an address": (bus) => [...ours(bus.address, bus.dialect ?? "cluster"), ...(bus.recovers ? ["--recovery", "60000"] : [])],
  "js sharded, on a cluster": (bus) => NODES["js sharded"]({ url: bus.urls.join(",") }),
  "js classic, on a cluster": (bus) => NODES["js classic"]({ url: bus.urls.join(",") }),
  "js streams, on a cluster": (bus) => NODES["js streams"]({ url: bus.urls.join(",") }),
  "ours on a cluster": (bus) => ours(bus.url, "cluster"),
  "ours classic, on a cluster": (bus) => ours(bus.url, "classic"),
  "ours by Sentinel": (bus) => [...ours("redis://127.0.0.1/", "cluster"), "--sentinels", bus.sentinels],
  "ours by socket": (redis) => ours(`unix:${redis.folder}/bus`, "cluster"),
  "ours by socket, forwarding": (bus) => [...NODES["ours by socket"](bus), "--forward-requests"],
  "ours alone, forwarding": (redis) => [...NODES["ours alone"](redis), "--forward-requests"],
  "ours on nats, forwarding": (bus) => [...NODES["ours on nats"](bus), "--forward-requests"],
};

const ours = (bus, dialect) => [
  ...conformanceCommand(),
  ...["--bus", bus, "--dialect", dialect, "--ping-interval", "25000", "--ping-timeout", "20000"],
  ...["--connect-timeout", "30000", "--patience", "20000"],
];

/** Starts nodes of these kinds, each with one client in `/`. */
export async function startNodes(redis, kinds) {
  const nodes = kinds.map((kind, number) => {
    return { name: `${kind} ${number}`, kind, program: new Program([...NODES[kind](redis), "--port", "0"]) };
  });
  try {
    for (const node of nodes) {
      const port = (await node.program.line(/^listening (?:on .*:)?(\d+)$/, 60_000))[1];
      node.url = `http://127.0.0.1:${port}`;
    }
    for (const node of nodes) node.client = await openClient(node);
  } catch (error) {
    // What still runs would keep this process from ending.
    await stopNodes(nodes);
    throw error;
  }
  return nodes;
}

export async function stopNodes(nodes) {
  for (const node of nodes) node.client?.disconnect();
  await Promise.all(nodes.map((node) => node.program.kill()));
}

/** A client that notes what it gets, and answers `ask` with its node's name and what it was asked. */
export async function openClient(node, namespace = "/") {
  const client = io(node.url + namespace, { transports: ["websocket"], forceNew: true, reconnection: false });
  client.heard = [];
  client.onAny((event, ...args) => {
    if (event === "ask") args.pop()([node.name, args[0]].join(" "));
    else if (event !== "auth") client.heard.push([event, ...args]);
  });
  await within(
    new Promise((resolve, reject) => client.on("connect", resolve).on("connect_error", reject)),
    `connection to ${node.name}`,
  );
  client.call = (event, ...args) => within(client.emitWithAck(event, ...args), `answer of ${node.name} to ${event}`);
  /** Waits for an event with this first argument, and returns all that came before it and with it. */
  client.until = async (event, first) => {
    const found = () => client.heard.findIndex(([name, value]) => name === event && value === first);
    await until(() => found() >= 0, `${node.name} hears ${event} ${first}; it heard ${JSON.stringify(client.heard.slice(-5))}`);
    return client.heard.splice(0, found() + 1);
  };
  return client;
}

let marks = 0;

/** Lets every node send a last event to everybody, and returns what each client has heard until then, without those. */
export async function drain(nodes, clients = nodes.map((node) => node.client), patience = undefined) {
  marks += 1;
  const mark = `mark ${marks}`;
  for (const node of nodes) await node.client.call("bcast-all", "mark", `${mark} ${node.name}`);
  return Promise.all(
    clients.map(async (client) => {
      const isMark = ([event, value]) => event === "mark" && value.startsWith(`${mark} `);
      await until(
        () => new Set(client.heard.filter(isMark).map(([, value]) => value)).size === nodes.length,
        `${client.io.uri} hears a last event of all ${nodes.length} nodes; it heard ${JSON.stringify(client.heard.filter(isMark))}`,
        patience,
      );
      const heard = client.heard.splice(0).filter((item) => !isMark(item));
      return heard;
    }),
  );
}
