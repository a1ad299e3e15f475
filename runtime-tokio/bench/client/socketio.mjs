// Benchmark client: npm's socket.io-client, as interop/package.json pins it. The options are those of `measure`.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../interop/package.json", import.meta.url));
const { io } = require("socket.io-client");

const option = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const url = option("--url", "http://127.0.0.1:3000");
const mode = option("--mode", "echo");
const depth = Number(option("--depth", "1"));
const size = Number(option("--size", "64"));
const conns = Number(option("--conns", "500"));
const secs = Number(option("--secs", "1.5"));
const warmup = Number(option("--warmup", "0.5"));
const transports = [option("--transport", "websocket")];

// As in `measure`.
const BATCH = 1000;
const BURST = 500;

const text = "x".repeat(size);
let count = 0;
let goesOn = true;

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1e3));
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const mark = () => ({ count, cpu: cpu(), at: performance.now() });
const elapsed = (since) => (performance.now() - since.at) / 1e3;
const report = (since) => {
  const seconds = elapsed(since);
  const spent = cpu() - since.cpu;
  const msgs = count - since.count;
  const line = { msgs, per_s: msgs / seconds, us_per_msg: (spent * 1e6) / Math.max(msgs, 1), util: spent / seconds };
  console.log(JSON.stringify(line));
};

const connect = (prepare = () => {}) =>
  new Promise((resolve, reject) => {
    const socket = io(url, { transports, upgrade: false, reconnection: false, forceNew: true });
    prepare(socket);
    socket.once("connect", () => resolve(socket));
    socket.once("connect_error", reject);
  });
const answered = (socket, value) => new Promise((resolve) => socket.emit("ack", value, resolve));

const run = async () => {
  await sleep(warmup);
  const since = mark();
  await sleep(secs);
  report(since);
  goesOn = false;
};

// Goes on with `round` until the warm-up is over, and then measures.
const repeat = async (round) => {
  let since;
  for (const limit of [warmup, secs]) {
    since = mark();
    while (elapsed(since) < limit) await round();
  }
  report(since);
};

const echo = async (payload) => {
  const socket = await connect((socket) =>
    socket.on("echo", () => {
      count++;
      if (goesOn) socket.emit("echo", payload);
    }),
  );
  for (let i = 0; i < depth; i++) socket.emit("echo", payload);
  await run();
};

const modes = {
  echo: () => echo(text),
  "echo-bin": () => echo(Buffer.alloc(size, 7)),
  receive: async () => {
    const socket = await connect((socket) =>
      socket.on("tick", () => {
        if (++count % BURST === 0 && goesOn) socket.emit("burst", BURST, text);
      }),
    );
    socket.emit("burst", BURST, text);
    await run();
  },
  emit: async () => {
    const socket = await connect();
    await repeat(async () => {
      for (let i = 0; i < BATCH; i++) socket.emit("sink", text);
      await answered(socket, BATCH);
      count += BATCH;
    });
  },
  ack: async () => {
    const socket = await connect();
    const ask = async () => {
      while (goesOn) {
        await answered(socket, text);
        count++;
      }
    };
    for (let i = 0; i < depth; i++) ask();
    await run();
  },
  connect: () =>
    repeat(async () => {
      (await connect()).disconnect();
      count++;
    }),
  idle: async () => {
    const one = async () => {
      const socket = await connect((socket) => socket.on("echo", () => {}));
      await answered(socket, text);
      return socket;
    };
    const sockets = [await one()];
    const before = process.memoryUsage.rss();
    for (let i = 0; i < conns; i++) sockets.push(await one());
    await sleep(secs);
    const bytes = (process.memoryUsage.rss() - before) / conns;
    console.log(JSON.stringify({ conns, bytes_per_client: bytes }));
  },
};

await modes[mode]();
process.exit(0);
