// Starts the peer servers (README.md, "Peer servers"), kills them, and starts them again where they were.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePort } from "./server.mjs";
import { Inbox, until, within } from "./wait.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const workspace = fileURLToPath(new URL("../..", import.meta.url));

const split = (command) => (command ? command.trim().split(/\s+/) : undefined);
const built = (name) => `${process.env.CARGO_TARGET_DIR ?? `${workspace}target`}/interop/examples/${name}`;
const python = [`${here}.venv/bin/python`];

const COMMANDS = {
  node: () => [process.execPath, "peers/node.mjs"],
  asgi: () => [...python, "peers/asgi.py"],
  wsgi: () => [...python, "peers/wsgi.py"],
  "npm's engine.io": () => [process.execPath, "peers/engine.mjs"],
  "python-engineio": () => [...python, "peers/engine.py"],
  sansocket: () => split(process.env.SANSOCKET_PEER) ?? [built("peer")],
};

/** What starts a peer server, without its flags. */
export const peerCommand = (kind) => COMMANDS[kind]();

/** The servers that are not ours. */
export const FOREIGN = ["node", "asgi", "wsgi"];

/** Those of plain Engine.IO. */
export const FOREIGN_ENGINES = ["npm's engine.io", "python-engineio"];

export const engineClientCommand = () =>
  split(process.env.SANSOCKET_ENGINE_CLIENT) ?? [built("engine_client")];

export const blockingClientCommand = () =>
  split(process.env.SANSOCKET_BLOCKING_CLIENT) ?? [built("blocking_client")];

export const peerClientCommand = () =>
  split(process.env.SANSOCKET_PEER_CLIENT) ?? [built("peer_client")];

const ENDED = Symbol("the end of stdout");

/** A program whose stdout is read line by line. */
export class Program {
  constructor([program, ...args], env = {}, stdin = "ignore") {
    this.child = spawn(program, args, { cwd: here, stdio: [stdin, "pipe", "pipe"], env: { ...process.env, ...env } });
    this.lines = new Inbox();
    /** Takes each line in place of `lines`, if it is set. */
    this.onLine = undefined;
    this.errors = "";
    this.seen = [];
    const reader = createInterface({ input: this.child.stdout });
    reader.on("line", (line) => {
      this.seen.push(line);
      if (this.onLine) this.onLine(line);
      else this.lines.push(line);
    });
    reader.on("close", () => this.lines.push(ENDED));
    this.child.stderr.on("data", (data) => (this.errors = (this.errors + data).slice(-4000)));
    const end = (event) =>
      new Promise((resolve) => {
        this.child.on(event, (code, signal) => resolve(code ?? signal));
        this.child.on("error", (error) => resolve(String(error)));
      });
    this.exited = end("exit");
    /** Its end, and that of all it has printed: what it said last may come after its exit. */
    this.closed = end("close");
  }

  /** Skips lines until one matches, and returns the match. */
  async line(pattern, ms = 30_000) {
    const deadline = Date.now() + ms;
    for (;;) {
      let line;
      try {
        line = await this.lines.next(`line like ${pattern}`, Math.max(1, deadline - Date.now()));
      } catch (error) {
        throw new Error(`${error.message}; it said ${JSON.stringify(this.seen.slice(-20))} ${this.errors}`);
      }
      if (line === ENDED) {
        const end = await this.exit(Math.max(1, deadline - Date.now()));
        throw new Error(`ended (${end}) without a line like ${pattern}: ${JSON.stringify(this.seen)} ${this.errors}`);
      }
      const match = pattern.exec(line);
      if (match) return match;
    }
  }

  /** Waits until it has ended and `errors` is whole, and returns the exit code, or the name of the signal. */
  exit(ms = 30_000) {
    return within(this.closed, "end of the program", ms);
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

/** Starts a peer server. Flags are {"ping-interval": 300, ticks: true}. */
export async function startPeer(kind, flags = {}) {
  const peer = {
    kind,
    port: flags.port ?? (await freePort()),
    /** Starts it again, on the same port. */
    async start() {
      const given = Object.entries({ ...flags, port: peer.port }).filter(([, value]) => value !== false);
      const args = given.flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, String(value)]));
      // A port that was just left may be in use for a moment.
      let refused;
      const listens = async () => {
        peer.program = new Program([...COMMANDS[kind](), ...args]);
        try {
          peer.port = Number((await peer.program.line(/^listening (\d+)$/))[1]);
          return true;
        } catch (error) {
          await peer.program.kill();
          if (!/in use|EADDRINUSE/i.test(error.message)) throw error;
          refused = error;
          return false;
        }
      };
      await until(listens, `the peer server ${kind} starts`).catch((error) => {
        throw refused ?? error;
      });
      peer.url = `http://127.0.0.1:${peer.port}`;
    },
    kill: () => peer.program.kill(),
  };
  await peer.start();
  return peer;
}
