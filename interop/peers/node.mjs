// The peer server (interop/README.md, "Peer servers") on npm's socket.io.
//
//   node peers/node.mjs --port 0 --transports websocket,polling --ping-interval 300 --ping-timeout 200 --ticks
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
import { flags } from "../reference/flags.js";

const options = flags({
  port: 0,
  transports: "polling,websocket",
  "ping-interval": 25_000,
  "ping-timeout": 20_000,
  path: "/socket.io",
  record: "",
  ticks: false,
  recovery: 0,
  parser: "json",
  deflate: false,
});

const http = createServer((_request, response) => response.writeHead(404).end());
const io = new Server(http, {
  path: options.path,
  transports: options.transports.split(","),
  pingInterval: options["ping-interval"],
  pingTimeout: options["ping-timeout"],
  serveClient: false,
  ...(options.recovery ? { connectionStateRecovery: { maxDisconnectionDuration: options.recovery } } : {}),
  ...(options.parser === "msgpack" && { parser: msgpack }),
  perMessageDeflate: options.deflate && { threshold: 0 },
});

/** The arguments without the acknowledgement, and the acknowledgement (which may do nothing). */
function split(args) {
  return typeof args.at(-1) === "function" ? [args.slice(0, -1), args.at(-1)] : [args, () => {}];
}

function serve(socket) {
  /** Handlers take (args, ack). */
  const on = (event, handler) => socket.on(event, (...args) => handler(...split(args)));
  on("echo", (args, ack) => {
    socket.emit("echo", ...args);
    ack();
  });
  on("ack", (args, ack) => ack(...args));
  on("ask", (args, ack) => {
    socket.emit("question", ...args, (...answer) => socket.emit("answered", ...answer));
    ack();
  });
  on("burst", ([n], ack) => {
    for (let i = 0; i < n; i++) socket.emit("tick", i);
    ack();
  });
  on("kick", () => socket.disconnect());
  on("close", () => socket.conn.close());
  on("log", ([uid, payload], ack) => {
    if (options.record) appendFileSync(options.record, JSON.stringify({ uid, payload }) + "\n");
    ack(uid);
  });
}

io.of("/auth").use((socket, next) => {
  if (socket.handshake.auth.token === "secret") return next();
  next(Object.assign(new Error("not authorized"), { data: { code: 401 } }));
});
io.of("/late").use((socket, next) => {
  socket.emit("early", 1);
  next();
});
for (const name of ["/", "/auth", "/chat", "/late"]) io.of(name).on("connection", serve);

if (options.ticks) {
  let n = 0;
  setInterval(() => io.emit("tick", n++), 100);
}
http.listen(options.port, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
