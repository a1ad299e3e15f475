// The Engine.IO peer server (interop/README.md, "Peer servers") on npm's engine.io.
//
//   node peers/engine.mjs --port 0 --transports websocket,polling --ping-interval 300 --ping-timeout 200
import { createServer } from "node:http";
import { attach } from "engine.io";
import { flags } from "../reference/flags.js";

const options = flags({
  port: 0,
  transports: "polling,websocket",
  "ping-interval": 25_000,
  "ping-timeout": 20_000,
});

const http = createServer((_request, response) => response.writeHead(404).end());
const engine = attach(http, {
  transports: options.transports.split(","),
  pingInterval: options["ping-interval"],
  pingTimeout: options["ping-timeout"],
});
engine.on("connection", (session) => {
  session.on("message", (data) => {
    const [, count] = /^count (\d+)$/.exec(data) ?? [];
    if (data === "close") session.close();
    else if (count) for (let i = 0; i < count; i++) session.send(String(i));
    else session.send(data);
  });
});
http.listen(options.port, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
