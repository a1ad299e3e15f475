// The chat as a node of JavaScript's socket.io, with its classic Redis adapter.
const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");
const { Server } = require("socket.io");

const address = process.argv[2];
const page = readFileSync(`${__dirname}/../chat.html`);

async function connected() {
  const client = createClient({ url: address });
  client.on("error", (error) => console.error(`redis: ${error.message}`));
  await client.connect();
  return client;
}

async function main() {
  const http = createServer((request, response) => {
    response.writeHead(request.url.split("?")[0] === "/" ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(page);
  });
  const io = new Server(http, { adapter: createAdapter(await connected(), await connected()) });
  // Those on nodes of Python are not among them: Python's nodes tell nobody of their sockets.
  const people = async () => (await io.in("people").fetchSockets()).length;

  io.on("connection", (socket) => {
    socket.on("add user", async (username) => {
      if (socket.data.username) return;
      socket.data.username = username;
      await socket.join("people");
      const numUsers = await people();
      socket.emit("login", { numUsers });
      socket.broadcast.emit("user joined", { username, numUsers });
    });
    const named = (handler) => (...args) => socket.data.username && handler(socket.data.username, ...args);
    socket.on("new message", named((username, message) => socket.broadcast.emit("new message", { username, message })));
    socket.on("typing", named((username) => socket.broadcast.emit("typing", { username })));
    socket.on("stop typing", named((username) => socket.broadcast.emit("stop typing", { username })));
    socket.on(
      "disconnect",
      named(async (username) => socket.broadcast.emit("user left", { username, numUsers: await people() })),
    );
  });
  http.listen(0, "127.0.0.1", () => console.log(`open http://127.0.0.1:${http.address().port} in a window`));
}

main();
