// The chat of the Socket.IO project's own demonstration, on the JavaScript
// reference, serving the page of runtime-tokio's chat example.
//
//   node reference/chat.js --port 3000 --client-dist node_modules/socket.io-client/dist
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Server } from "socket.io";
import { flags } from "./flags.js";

const page = new URL("../../examples/chat.html", import.meta.url);
const options = flags({ port: Number(process.env.PORT ?? 3000), "client-dist": "" });

const http = createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (path === "/" || path === "/index.html") {
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(readFileSync(page));
  } else {
    response.writeHead(404).end();
  }
});
const io = new Server(http, { serveClient: false });
// Served here and not by the library, to take the same flag as our own server.
const others = http.listeners("request").slice();
http.removeAllListeners("request");
http.on("request", (request, response) => {
  if (options["client-dist"] && request.url.split("?")[0] === "/socket.io/socket.io.js") {
    const script = readFileSync(join(options["client-dist"], "socket.io.js"));
    response.writeHead(200, { "Content-Type": "text/javascript; charset=utf-8" }).end(script);
  } else {
    for (const listener of others) listener.call(http, request, response);
  }
});

let users = 0;
io.on("connection", (socket) => {
  let username;
  socket.on("add user", (name) => {
    if (username !== undefined) return;
    username = name;
    users += 1;
    socket.emit("login", { numUsers: users });
    socket.broadcast.emit("user joined", { username, numUsers: users });
  });
  socket.on("new message", (message) => socket.broadcast.emit("new message", { username, message }));
  socket.on("typing", () => socket.broadcast.emit("typing", { username }));
  socket.on("stop typing", () => socket.broadcast.emit("stop typing", { username }));
  socket.on("disconnect", () => {
    if (username === undefined) return;
    users -= 1;
    socket.broadcast.emit("user left", { username, numUsers: users });
  });
});

http.listen(options.port, "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
