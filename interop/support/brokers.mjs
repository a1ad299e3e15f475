// Brokers of a test's own beside Redis: each on ports of its own, in a folder that goes with it.
import { execFileSync, spawn } from "node:child_process";
import { chownSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

/** A program that is started, killed as if its machine were gone, and started again where it was. */
function broker(folder, port, { command, options = {}, answers, after = () => {} }) {
  const self = {
    folder,
    port,
    async start() {
      const [program, ...args] = command;
      self.child = spawn(program, args.map(String), { stdio: ["ignore", "pipe", "pipe"], ...options });
      let said = "";
      let end;
      for (const stream of [self.child.stdout, self.child.stderr]) {
        stream.on("data", (data) => (said = (said + data).slice(-4000)));
      }
      self.exited = new Promise((resolve) => self.child.on("exit", resolve).on("error", resolve));
      self.exited.then((how) => (end = how));
      await until(
        () => {
          if (end !== undefined) throw new Error(`${program} ended (${end}): ${said}`);
          return answers(port);
        },
        `${program} answers`,
        // RabbitMQ takes its time.
        120_000,
      ).catch((error) => {
        // A server that still runs would keep this process from ending.
        self.child.kill("SIGKILL");
        throw error;
      });
    },
    async kill() {
      self.child.kill("SIGKILL");
      await self.exited;
    },
    async stop() {
      await self.kill();
      await after();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return self;
}

/** Whether who listens there says something like `expected`, after `first` was sent. */
const saying = (first, expected) => (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(first));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("data", (data) => {
      resolve(expected.test(data.toString("latin1")));
      socket.destroy();
    });
    socket.on("error", () => {}).on("close", () => resolve(false));
  });

/**
 * Sends a command to a Redis once, and waits for its OK however long that takes: to send it again, after the first was
 * carried out all the same, would be an error.
 */
async function tell(port, words) {
  const socket = connect(port, "127.0.0.1", () => socket.write(`${words}\r\n`));
  const answered = new Promise((resolve, reject) => {
    socket.on("data", (data) => resolve(data.toString("latin1")));
    socket.on("error", reject).on("close", () => reject(new Error(`no answer to ${words}`)));
  });
  const answer = await within(answered, `answer to ${words}`).finally(() => socket.destroy());
  if (!answer.startsWith("+OK")) throw new Error(`${words}: ${answer}`);
}

export async function startNats() {
  const [folder, port] = [await mkdtemp(join(tmpdir(), "nats-")), await freePort()];
  const command = ["nats-server", "--addr", "127.0.0.1", "--port", port];
  const nats = broker(folder, port, { command, answers: saying("", /^INFO /) });
  await nats.start();
  nats.url = `nats://127.0.0.1:${port}`;
  return nats;
}

/** One node of a cluster, at other ports in each attempt: somebody else may have taken one meanwhile. */
async function startMaster(attempts = 5) {
  const [folder, port, between] = [await mkdtemp(join(tmpdir(), "redis-cluster-")), await freePort(), await freePort()];
  const flags = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  // By itself it would take a port that is 10000 above, which need not be free. Nobody is taken for dead who is slow.
  flags.push("--cluster-enabled", "yes", "--cluster-port", between, "--cluster-node-timeout", "60000");
  const master = broker(folder, port, { command: ["redis-server", ...flags], answers: saying("PING\r\n", /^\+PONG/) });
  try {
    await master.start();
  } catch (error) {
    await master.stop();
    if (attempts <= 1) throw error;
    return startMaster(attempts - 1);
  }
  return Object.assign(master, { between });
}

/** A Redis Cluster of three masters. It is killed and started again as one. */
export async function startRedisCluster(scheme) {
  const slots = ["0 5460", "5461 10922", "10923 16383"];
  const started = await Promise.allSettled(slots.map(() => startMaster()));
  const masters = started.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  const hosts = masters.map(({ port }) => `127.0.0.1:${port}`);
  const isReady = /cluster_state:ok[^]*cluster_known_nodes:3/;
  const self = {
    url: `${scheme}://${hosts.join(",")}/`,
    urls: hosts.map((host) => `redis://${host}`),
    async isThere() {
      for (const { port } of masters) await until(() => saying("CLUSTER INFO\r\n", isReady)(port), "the cluster is ready");
    },
    async start() {
      await Promise.all(masters.map((master) => master.start()));
      await self.isThere();
    },
    kill: () => Promise.all(masters.map((master) => master.kill())),
    stop: () => Promise.all(masters.map((master) => master.stop())),
  };
  try {
    for (const { status, reason } of started) if (status === "rejected") throw reason;
    for (const [number, { port }] of masters.entries()) {
      await tell(port, `CLUSTER ADDSLOTSRANGE ${slots[number]}`);
      await tell(port, `CLUSTER SET-CONFIG-EPOCH ${number + 1}`);
      if (number > 0) await tell(port, `CLUSTER MEET 127.0.0.1 ${masters[0].port} ${masters[0].between}`);
    }
    await self.isThere();
  } catch (error) {
    // A server that still runs would keep this process from ending.
    await self.stop();
    throw error;
  }
  return self;
}

/** A Sentinel alone, for a service `main` whose master is on that port, and which it gives up after two seconds. */
export async function startSentinel(master) {
  const [folder, port] = [await mkdtemp(join(tmpdir(), "sentinel-")), await freePort()];
  const settings = [
    ...[`port ${port}`, "bind 127.0.0.1", `dir ${folder}`, `sentinel monitor main 127.0.0.1 ${master} 1`],
    ...["sentinel down-after-milliseconds main 2000", "sentinel failover-timeout main 3000"],
  ];
  await writeFile(join(folder, "sentinel.conf"), `${settings.join("\n")}\n`);
  const command = ["redis-sentinel", join(folder, "sentinel.conf")];
  const sentinel = broker(folder, port, { command, answers: saying("PING\r\n", /^\+PONG/) });
  await sentinel.start();
  return sentinel;
}

/** Postgres does not run as root: it gets the user that Debian's package has made. */
function postgresUser() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

/** Where Debian's package of the newest version has put its programs, which are not on the path. */
function postgresPrograms() {
  const versions = readdirSync("/usr/lib/postgresql").map(Number).sort((one, other) => other - one);
  return `/usr/lib/postgresql/${versions[0]}/bin`;
}

export async function startPostgres() {
  const programs = postgresPrograms();
  const [folder, port] = [await mkdtemp(join(tmpdir(), "postgres-")), await freePort()];
  const user = postgresUser();
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const init = ["-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"];
  execFileSync(join(programs, "initdb"), init, { stdio: ["ignore", "ignore", "inherit"], cwd: folder, ...user });
  const command = [join(programs, "postgres"), "-D", data, "-p", port, "-k", folder];
  for (const setting of ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=100"]) command.push("-c", setting);
  // A request for TLS, which is answered with one letter.
  const answers = saying(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]), /^[NS]$/);
  const postgres = broker(folder, port, { command, options: { cwd: folder, ...user }, answers });
  // Its children keep the old shared memory busy for a moment after it was killed.
  const { start } = postgres;
  postgres.start = async () => {
    await until(() => start().then(() => true, (error) => !/shared memory|lock file/.test(error.message) && Promise.reject(error)), "Postgres starts");
  };
  await postgres.start();
  postgres.url = `postgres://test@127.0.0.1:${port}/postgres`;
  return postgres;
}

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("connect", () => socket.destroy()).on("error", () => resolve(false));
  });

const RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server";

export async function startRabbit() {
  const [folder, port, distribution, mapper] = [
    await mkdtemp(join(tmpdir(), "rabbit-")), await freePort(), await freePort(), await freePort(),
  ];
  for (const name of ["data", "log"]) await mkdir(join(folder, name));
  await writeFile(join(folder, "plugins"), "[].");
  await writeFile(
    join(folder, "rabbit.conf"),
    `listeners.tcp.default = 127.0.0.1:${port}\ndisk_free_limit.absolute = 1MB\n`,
  );
  const env = {
    ...process.env,
    HOME: folder,
    RABBITMQ_CONF_ENV_FILE: join(folder, "none"),
    RABBITMQ_CONFIG_FILE: join(folder, "rabbit.conf"),
    RABBITMQ_NODENAME: `test${port}@localhost`,
    RABBITMQ_MNESIA_BASE: join(folder, "data"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_LOGS: "-",
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "plugins"),
    RABBITMQ_PID_FILE: join(folder, "pid"),
    RABBITMQ_DIST_PORT: String(distribution),
    ERL_EPMD_PORT: String(mapper),
    ERL_EPMD_ADDRESS: "127.0.0.1",
  };
  // Erlang would start one in the background, which nobody would stop.
  const names = spawn("epmd", ["-port", String(mapper), "-address", "127.0.0.1"], { stdio: "ignore" });
  await until(() => accepts(mapper), "epmd answers");
  const rabbit = broker(folder, port, {
    command: [RABBITMQ],
    // A group of its own: the script starts Erlang as a child.
    options: { env, detached: true },
    answers: saying("AMQP\x00\x00\x09\x01", /./s),
    after: () => void names.kill("SIGKILL"),
  });
  rabbit.kill = async () => {
    process.kill(-rabbit.child.pid, "SIGKILL");
    await rabbit.exited;
  };
  await rabbit.start().catch((error) => {
    names.kill("SIGKILL");
    throw error;
  });
  rabbit.url = `amqp://guest:guest@127.0.0.1:${port}/%2f`;
  return rabbit;
}
