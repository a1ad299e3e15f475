// Clients on long-polling behind a load balancer that gives each request to the next node: nodes that pass requests on.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { startNats } from "../support/brokers.mjs";
import { startNodes, startRedis, stopNodes } from "../support/cluster.mjs";
import { freePort } from "../support/server.mjs";
import { until, within } from "../support/wait.mjs";

const MESSAGES = 12;

/** nginx before these nodes, which gives each request to the next. */
async function startNginx(nodes) {
  const folder = await mkdtemp(join(tmpdir(), "nginx-"));
  const port = await freePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
  await writeFile(
    `${folder}/nginx.conf`,
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn; events {}
    http {
      access_log off; ${temporary.join(" ")}
      map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
      upstream nodes { ${nodes.map(({ url }) => `server ${new URL(url).host};`).join(" ")} }
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass http://nodes;
          proxy_next_upstream off;
          proxy_http_version 1.1;
          proxy_set_header Host $http_host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_buffering off;
        }
      }
    }`,
  );
  const child = spawn("nginx", ["-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`], { stdio: ["ignore", "inherit", "inherit"] });
  let end;
  const exited = new Promise((resolve) => child.on("exit", resolve).on("error", resolve)).then((how) => (end = how));
  const answers = () =>
    new Promise((resolve) => {
      if (end !== undefined) throw new Error(`nginx ended: ${end}`);
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
  await until(answers, "nginx answers").catch((error) => {
    // What still runs would keep this process from ending.
    child.kill("SIGKILL");
    throw error;
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A client of the load balancer, and what it has heard. */
async function open(url, transports, namespace = "/") {
  const socket = io(url + namespace, { transports, forceNew: true, reconnection: false });
  const client = { socket, news: [], ends: [] };
  socket.on("news", (...args) => client.news.push(args));
  socket.on("disconnect", (reason) => client.ends.push(reason));
  await within(new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject)), "the connection");
  return client;
}

const sum = (counts, name) => counts.reduce((all, one) => all + one[name], 0);

function eachRequestAtAnotherNode(title, start, kind) {
  describe(title, { timeout: 240_000 }, () => {
    let bus, nodes, nginx;
    const counts = () => Promise.all(nodes.map(({ client }) => client.call("counts")));

    before(async () => {
      bus = await start();
      nodes = await startNodes(bus, [kind, kind, kind]);
      await until(async () => {
        for (const node of nodes) await node.client.call("bcast-all", "ready", node.name);
        return nodes.every(({ client }) => new Set(client.heard.map(([, name]) => name)).size === nodes.length);
      }, "everybody hears everybody");
      nginx = await startNginx(nodes);
    });
    after(async () => {
      await nginx?.stop();
      if (nodes) await stopNodes(nodes);
      await bus?.stop();
    });

    for (const transports of [["polling"], ["polling", "websocket"]]) {
      test(`npm's client with ${transports} has each message once and in order`, async () => {
        const before = sum(await counts(), "forwarded");
        const clients = await Promise.all([..."abc"].map(() => open(nginx.url, transports)));
        // Answers to its own, with bytes, each by a request of its own.
        for (const { socket } of clients) {
          for (let i = 0; i < MESSAGES; i += 1) {
            const said = [i, Buffer.from([i, 0, 255])];
            assert.deepEqual(await within(socket.emitWithAck("ack", said), `answer ${i}`), said);
          }
        }
        // Broadcasts of all, as they come.
        for (let i = 0; i < MESSAGES; i += 1) {
          clients.forEach(({ socket }, at) => socket.emit("bcast-all", "news", at, i, Buffer.from([at, i])));
        }
        for (const { news, ends } of clients) {
          await until(() => news.length >= clients.length * MESSAGES, `all come, not ${news.length} (${ends})`);
          for (const at of clients.keys()) {
            const expected = [...Array(MESSAGES).keys()].map((i) => [at, i, Buffer.from([at, i])]);
            assert.deepEqual(news.filter(([of]) => of === at), expected);
          }
          assert.equal(news.length, clients.length * MESSAGES);
          assert.deepEqual(ends, []);
        }
        // A client that moves to a WebSocket may have met the node of its session each time.
        if (transports.length === 1) {
          for (const { socket } of clients) assert.equal(socket.io.engine.transport.name, "polling");
          assert.ok(sum(await counts(), "forwarded") - before > clients.length, "requests were passed on");
        }
        for (const { socket } of clients) socket.disconnect();
      });
    }

    test("nothing is left, and nothing was lost", async () => {
      await until(async () => {
        const now = await counts();
        return sum(now, "forwards") === 0 && sum(now, "forwarded here") === 0;
      }, "no request is open");
      const now = await counts();
      assert.equal(sum(now, "malformed"), 0);
      assert.equal(sum(now, "refused"), 0);
      await until(async () => (await nodes[0].client.call("sockets", null)).length === nodes.length, "only the nodes' own clients are left");
    });
  });
}

eachRequestAtAnotherNode("three nodes on a Unix socket", startFolder, "ours by socket, forwarding");
eachRequestAtAnotherNode("three nodes on Redis", startRedis, "ours alone, forwarding");
eachRequestAtAnotherNode("three nodes on NATS", startNats, "ours on nats, forwarding");

/** A folder for a Unix socket. */
async function startFolder() {
  const folder = await mkdtemp(join(tmpdir(), "bus-"));
  return { folder, stop: () => rm(folder, { recursive: true, force: true }) };
}
