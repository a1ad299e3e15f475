// The conformance contract on the JavaScript reference: an Engine.IO echo
// server under /engine.io/ and a Socket.IO server under /socket.io/, one port.
//
//   node reference/server.js --port 3000 --ping-interval 300 --ping-timeout 200
import { createServer } from "node:http";
import { instrument } from "@socket.io/admin-ui";
import { attach } from "engine.io";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
import { flags } from "./flags.js";

const options = flags({
  port: Number(process.env.PORT ?? 3000),
  "ping-interval": 300,
  "ping-timeout": 200,
  "max-payload": 1_000_000,
  "connect-timeout": 1000,
  parser: "json",
  origin: "*",
  cookie: "",
  recovery: 0,
  "allow-eio3": false,
  deflate: false,
  "deflate-takeover": false,
  "deflate-window": 15,
  "http-compression": false,
  "tell-headers": false,
  admin: "",
  "server-id": "",
  "read-only": false,
});
const shared = {
  pingInterval: options["ping-interval"],
  pingTimeout: options["ping-timeout"],
  maxHttpBufferSize: options["max-payload"],
  cors: { origin: "*" },
  allowEIO3: options["allow-eio3"],
  // Whatever `--http-compression` says: it is on by default.
  perMessageDeflate: options.deflate && {
    threshold: 0,
    serverNoContextTakeover: !options["deflate-takeover"] || undefined,
    clientNoContextTakeover: !options["deflate-takeover"] || undefined,
    // Even 15 would be a limit that some clients do not know.
    ...(options["deflate-window"] < 15 && {
      serverMaxWindowBits: options["deflate-window"],
      clientMaxWindowBits: options["deflate-window"],
    }),
  },
};
if (options.origin !== "*") {
  shared.cors = {
    origin: [options.origin],
    credentials: true,
    maxAge: 600,
    methods: ["GET", "POST"],
    allowedHeaders: ["x-a", "x-c"],
    exposedHeaders: ["x-one", "x-two"],
  };
}
if (options.cookie) {
  shared.cookie = {
    name: options.cookie,
    maxAge: 60,
    domain: "a.example",
    path: "/x",
    httpOnly: true,
    secure: true,
    partitioned: true,
    sameSite: "none",
  };
}

const http = createServer((_request, response) => response.writeHead(404).end());

const engine = attach(http, {
  ...shared,
  path: "/engine.io",
  allowRequest: (request, answer) => answer(null, !new URL(request.url, "http://any").searchParams.has("deny")),
});
const tells = options["tell-headers"];
engine.on("connection", (session) => {
  session.on("message", (data) => {
    if (tells && data === "headers") session.send(JSON.stringify((session.transport.dataReq ?? session.request).headers));
    else session.send(data);
  });
});
if (tells) {
  engine.on("initial_headers", (headers) => {
    headers["set-cookie"] = [
      "kept=1; Max-Age=86400",
      "strict=2; Path=/; HttpOnly; Secure; SameSite=Strict",
      "ended=3; Max-Age=0",
      "past=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ];
  });
}

const window = options.recovery;
const recovery = window ? { connectionStateRecovery: { maxDisconnectionDuration: window } } : {};
const io = new Server(http, {
  ...shared,
  path: "/socket.io",
  connectTimeout: options["connect-timeout"],
  serveClient: false,
  ...recovery,
  ...(options.parser === "msgpack" && { parser: msgpack }),
});

function serve(socket) {
  socket.emit("auth", socket.handshake.auth);
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("message-with-ack", (...args) => args.pop()(...args));
  socket.on("echo", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    socket.emit("echo", ...args);
  });
  socket.on("as-is", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    socket.compress(false).emit("as-is", ...args);
  });
  socket.on("ack", (...args) => {
    const ack = args.pop();
    if (typeof ack === "function") ack(...args);
  });
  socket.on("join", async (room, ack) => {
    await socket.join(room);
    if (typeof ack === "function") ack();
  });
  socket.on("volatile", (room, payload) => socket.nsp.to(room).volatile.emit("volatile", payload));
  socket.on("ask-me", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    socket.timeout(20_000).emit("question", ...args, (error, ...answer) => {
      if (!error) socket.emit("answered", ...answer);
    });
  });
  socket.on("unanswered", (...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    socket.emit("unanswered", ...args);
  });
  socket.on("id", (ack) => ack(socket.id));
  socket.on("handshake", (ack) => ack({ query: socket.handshake.query, auth: socket.handshake.auth }));
  socket.on("recovered", (ack) => ack(socket.recovered));
  socket.on("ask-room", (room, payload) => {
    socket.nsp.to(room).timeout(20_000).emit("question", payload, (_error, answers) => {
      for (const answer of answers) socket.emit("answer", answer);
    });
  });
  socket.on("bcast", (room, payload) => socket.nsp.to(room).emit("bcast", payload));
}
io.on("connection", serve);
io.of("/custom").on("connection", serve);
io.of("/locked").use((_socket, next) => next(new Error("locked")));

if (options.admin) {
  instrument(io, {
    auth: options.admin === "open" ? false : { type: "basic", username: "admin", password: options.admin },
    mode: "development",
    readonly: options["read-only"],
    serverId: options["server-id"] || undefined,
  });
}

http.listen(options.port, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
