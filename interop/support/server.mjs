// Starts and stops the server program under test.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const workspace = fileURLToPath(new URL("../..", import.meta.url));

/** Who answers: `reference` or `sansocket`. Decides only what the table of deliberate deviations covers. */
export const SUT = process.env.SUT ?? "sansocket";
if (SUT !== "reference" && SUT !== "sansocket") throw new Error(`SUT must be reference or sansocket, not ${SUT}`);
export const ours = SUT === "sansocket";

/** Picks what is expected: the reference's answer, or ours where we deviate on purpose. */
export const expected = ({ reference, sansocket }) => (ours ? sansocket : reference);

function example(name) {
  const target = process.env.CARGO_TARGET_DIR ?? `${workspace}/target`;
  const built = `${target}/interop/examples/${name}`;
  if (existsSync(built)) return [built];
  return `cargo run --profile interop -q -p sansocket-tokio --example ${name} --`.split(" ");
}

function command(variable, reference, name) {
  if (process.env[variable]) return process.env[variable].trim().split(/\s+/);
  if (!ours) return [process.execPath, `${here}reference/${reference}`];
  return example(name);
}

export const conformanceCommand = () => command("SANSOCKET_CONFORMANCE", "server.js", "conformance");
export const chatCommand = () => command("SANSOCKET_CHAT", "chat.js", "chat");

/**
 * A port that is free, below those that the system gives to outgoing connections: nobody takes it before the program that
 * is to listen there, or while that is stopped and started again. A client that tried to reach it would talk to itself.
 */
export async function freePort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(() => true, () => false);
    probe.close();
    if (!isFree) continue;
    await once(probe, "close");
    return port;
  }
}

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });

/** Starts `command` with `flags` ({"ping-interval": 300}) and waits until it accepts connections. */
async function start(command, flags) {
  for (let left = 5; ; left -= 1) {
    try {
      return await startOnce(command, flags);
    } catch (error) {
      // Another program was quicker to take the port.
      if (left === 0 || !/in use|EADDRINUSE/i.test(error.message)) throw error;
    }
  }
}

async function startOnce(command, flags) {
  const port = flags.port ?? (await freePort());
  const args = Object.entries({ ...flags, port }).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  const child = spawn(command[0], [...command.slice(1), ...args], {
    cwd: command[0] === "cargo" ? workspace : here,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (data) => (errors = (errors + data).slice(-4000)));
  let failure;
  child.on("error", (error) => (failure = error));
  const exited = new Promise((resolve) => child.on("exit", resolve).on("error", resolve));
  // After its last word on stderr.
  const closed = new Promise((resolve) => child.on("close", resolve).on("error", resolve));

  const deadline = Date.now() + (command[0] === "cargo" ? 600_000 : 60_000);
  for (;;) {
    const answered = await accepts(port);
    const dead = failure || child.exitCode !== null;
    if (answered && !dead) break;
    if (dead || Date.now() > deadline) {
      child.kill("SIGKILL");
      await closed;
      throw new Error(`${command.join(" ")} does not accept connections on ${port}: ${failure ?? errors}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    pid: child.pid,
    /** Fails when the server is gone: a test that crashes it must not pass. */
    assertAlive() {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server died: ${errors}`);
    },
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Pings far apart, farther than a file of tests takes: nothing but what the test does appears on the wire. */
export const CALM = { "ping-interval": 600_000, "ping-timeout": 60_000 };
/** What servers in the field are set to. */
export const USUAL = { "ping-interval": 25_000, "ping-timeout": 20_000 };

/** Frequent pings, and time to answer them on a machine that stands still for some seconds. */
export const LIVELY = { "ping-interval": 300, "ping-timeout": 20_000 };
/** For tests in which the heartbeat is to find somebody dead. */
export const HASTY = { "ping-interval": 300, "ping-timeout": 2000 };
/** For tests in which a client must answer pings to stay: it has this many milliseconds for each. */
export const GRACE = 5000;
export const STRICT = { "ping-interval": 300, "ping-timeout": GRACE };

/** Clients have time to join on a machine that stands still for some seconds, unless the test waits for the timeout. */
export const startConformance = (flags = CALM) => start(conformanceCommand(), { "connect-timeout": 60_000, ...flags });
export const startChat = (flags = {}) => start(chatCommand(), flags);
