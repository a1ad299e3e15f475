#!/usr/bin/env node
// permessage-deflate beside the reference: CPU time of an echo at the server, and memory of a connection.
//
//     runtime-tokio/bench/deflate.mjs [--rounds 5] [--secs 1.5] [--conns 300]
//
// The server is the project's example, `cargo build --release -p sansocket-tokio --example conformance`; the reference is
// npm's socket.io with ws, and its client the load, both as interop/package.json pins them (`npm ci` in interop/). Each
// server has the same core, and they are compared by ratios within one round.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { io } = createRequire(`${root}interop/package.json`)("socket.io-client");

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    secs: { type: "string", default: "1.5" },
    conns: { type: "string", default: "300" },
    ours: { type: "string", default: `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/release/examples/conformance` },
  },
});
const [rounds, secs, conns] = [Number(values.rounds), Number(values.secs), Number(values.conns)];

const SERVERS = {
  reference: [process.execPath, `${root}interop/reference/server.js`],
  ours: [values.ours],
};
const SETTINGS = {
  "no compression": [],
  "without takeover": ["--deflate"],
  takeover: ["--deflate", "--deflate-takeover"],
};
const PAYLOADS = {
  "200 bytes of JSON": rows(2),
  "4 KiB of JSON": rows(45),
  "48 KiB of JSON": rows(540),
};

/** Rows as an application sends them: keys that are alike, values that differ. */
function rows(count) {
  let state = 7;
  const next = (below) => (state = (state * 48271) % 2147483647) % below;
  return Array.from({ length: count }, (_, id) => ({ id, user: `user-${next(500)}`, x: next(1920), y: next(1080), at: 1_700_000_000 + next(90_000), text: ["ok", "moved", "joined", "left"][next(4)] }));
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function start(name, settings) {
  const port = await freePort();
  const [program, ...args] = SERVERS[name];
  const flags = ["--port", String(port), "--ping-interval", "25000", "--ping-timeout", "20000"];
  const child = spawn("taskset", ["-c", "0", program, ...args, ...flags, ...settings], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve, reject) => {
    child.stdout.once("data", resolve);
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}: is it built?`)));
  });
  return { child, port };
}

/** Seconds of the processor. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const kib = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

async function connect(port, count) {
  const sockets = [];
  for (let n = 0; n < count; n += 1) {
    const socket = io(`http://127.0.0.1:${port}`, {
      transports: ["websocket"],
      forceNew: true,
      perMessageDeflate: { threshold: 0 },
    });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
    sockets.push(socket);
  }
  return sockets;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Microseconds of the server's CPU for an echo. */
async function echo(name, settings, payload) {
  const { child, port } = await start(name, settings);
  const sockets = await connect(port, 20);
  let echoes = 0;
  for (const socket of sockets) {
    socket.on("echo", (back) => {
      echoes += 1;
      socket.emit("echo", back);
    });
    for (let n = 0; n < 4; n += 1) socket.emit("echo", payload);
  }
  await pause(700);
  const before = [echoes, cpu(child.pid)];
  await pause(secs * 1000);
  const took = (cpu(child.pid) - before[1]) / (echoes - before[0]);
  for (const socket of sockets) socket.close();
  child.kill("SIGKILL");
  return took * 1e6;
}

/** KiB of the server for a connection that has echoed one message. */
async function memory(name, settings) {
  const { child, port } = await start(name, settings);
  const use = async (count) => {
    const sockets = await connect(port, count);
    const answers = sockets.map((socket) => new Promise((resolve) => socket.once("echo", resolve)));
    for (const socket of sockets) socket.emit("echo", PAYLOADS["48 KiB of JSON"]);
    await Promise.all(answers);
    return sockets;
  };
  // What is allocated once comes before.
  const first = await use(30);
  await pause(1000);
  const before = kib(child.pid);
  const sockets = await use(conns);
  await pause(1500);
  const each = (kib(child.pid) - before) / conns;
  for (const socket of [...first, ...sockets]) socket.close();
  child.kill("SIGKILL");
  return each;
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const names = Object.keys(SERVERS);

console.log("| server's CPU for an echo, µs | reference | sansocket | ratio |\n|---|---|---|---|");
for (const [what, payload] of Object.entries(PAYLOADS)) {
  for (const [how, settings] of Object.entries(SETTINGS)) {
    const seen = [];
    for (let round = 0; round < rounds; round += 1) {
      const row = {};
      for (const name of round % 2 ? names.toReversed() : names) row[name] = await echo(name, settings, payload);
      seen.push(row);
    }
    const of = (pick) => median(seen.map(pick));
    const figures = [of((row) => row.reference).toFixed(0), of((row) => row.ours).toFixed(1), of((row) => row.ours / row.reference).toFixed(2)];
    console.log(`| ${what}, ${how} | ${figures.join(" | ")} |`);
  }
}
console.log("\n| memory of a connection, KiB | reference | sansocket |\n|---|---|---|");
for (const [how, settings] of Object.entries(SETTINGS)) {
  const row = [];
  for (const name of names) row.push((await memory(name, settings)).toFixed(1));
  console.log(`| ${how} | ${row.join(" | ")} |`);
}
process.exit(0);
