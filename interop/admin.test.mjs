// The admin UI: the events that npm's @socket.io/admin-ui makes of a server, and its own page in Chromium.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { CALM, ours, startConformance } from "./support/server.mjs";
import { Inbox, until, within } from "./support/wait.mjs";

// "secret", at the lowest cost that bcrypt has.
const HASH = "$2a$04$qFKIvcHzWFDxCQuUuDMEf.LUrM6FGS449ElPKVIaJz69aIj5Qd9v2";
const AUTH = { username: "admin", password: "secret" };
const dist = new URL("node_modules/@socket.io/admin-ui/ui/dist/", import.meta.url).pathname;
const executablePath =
  process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

let site;
let page_url;
let browser;
let servers = [];
let sockets = [];

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png" };

before(async () => {
  assert.ok(executablePath, "no chromium found: install it or set CHROMIUM");
  // The page, as its authors deliver it.
  site = createServer((request, response) => {
    const path = join(dist, normalize(new URL(request.url, "http://x").pathname).replace(/\/$/, "/index.html"));
    if (!path.startsWith(dist) || !existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(readFileSync(path));
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  page_url = `http://127.0.0.1:${site.address().port}/`;
  browser = await chromium.launch({
    executablePath,
    timeout: 120_000, // the first start on a machine takes its time
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
afterEach(async () => {
  sockets.forEach((socket) => socket.disconnect());
  sockets = [];
  servers.forEach((server) => server.assertAlive());
  await Promise.all(servers.map((server) => server.stop()));
  servers = [];
});
after(async () => {
  await browser?.close();
  site?.close();
});

async function start(flags = {}) {
  const server = await startConformance({ ...CALM, admin: HASH, "server-id": "first-of-two", origin: page_url.slice(0, -1), ...flags });
  servers.push(server);
  return server;
}

function client(server, namespace = "/", options = {}) {
  const socket = io(server.url + namespace, { forceNew: true, reconnection: false, transports: ["websocket"], ...options });
  sockets.push(socket);
  return socket;
}

const connected = async (socket) => {
  if (!socket.connected) await within(once(socket, "connect"), "connect");
  return socket;
};

// --- the wire ------------------------------------------------------------------------------------------------------

/** A page without a browser, with its events in order, statistics and its own socket left out. */
async function admin(server, auth = AUTH) {
  const socket = client(server, "/admin", { auth });
  const inbox = new Inbox();
  const own = (args) => args.some((arg) => arg === "/admin" || arg?.nsp === "/admin");
  socket.onAny((event, ...args) => {
    if (event !== "server_stats" && !own(args)) inbox.push([event, ...args]);
  });
  await connected(socket);
  return { socket, inbox };
}

/** Ids and times by their names, so that two servers can be compared. */
function plain(value, names) {
  if (typeof value === "string") {
    if (names[value]) return names[value];
    return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value) ? "TIME" : value;
  }
  if (Buffer.isBuffer(value)) return [...value];
  if (Array.isArray(value)) return value.map((item) => plain(item, names));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, names)]));
  }
  return value;
}

/** The kinds of values in it: which members, of which types. */
function shape(value) {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, shape(value[key])]));
  }
  return typeof value;
}

const SOCKET = {
  clientId: "string",
  data: {},
  handshake: {
    address: "string",
    headers: "object",
    issued: "number",
    query: { EIO: "string", transport: "string" },
    secure: "boolean",
    time: "string",
    url: "string",
    xdomain: "boolean",
  },
  id: "string",
  nsp: "string",
  rooms: ["string"],
  transport: "string",
};
function socketShape(socket) {
  const found = shape(socket);
  found.handshake.headers = typeof socket.handshake.headers;
  return found;
}

test("the wire: a login, a session, and what is refused", async () => {
  const server = await start();
  const bad = [{}, { ...AUTH, password: "guess" }, { ...AUTH, username: "x" }, { sessionId: "x" }];
  // The reference's process ends by these.
  if (ours) bad.push({ username: "admin" }, { username: "admin", password: 1 });
  for (const auth of bad) {
    const [error] = await within(once(client(server, "/admin", { auth }), "connect_error"), "connect_error");
    assert.equal(error.message, "invalid credentials");
  }
  const { inbox } = await admin(server);
  const [event, session] = await inbox.next();
  assert.equal(event, "session");
  assert.match(session, /^[\w-]{16,20}$/);
  const again = await admin(server, { sessionId: session });
  // It has a session, and gets no other one.
  assert.equal((await again.inbox.next())[0], "config");
});

test("the wire: a socket's life, events and commands", async () => {
  const server = await start();
  const { socket: page, inbox } = await admin(server);
  await inbox.next("session");
  const features = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "AGGREGATED_EVENTS", "ALL_EVENTS"];
  assert.deepEqual(await inbox.next("config"), ["config", { supportedFeatures: features }]);
  const [all, list] = await inbox.next("all_sockets");
  assert.deepEqual([all, list.map((socket) => socket.nsp)], ["all_sockets", ["/admin"]]);
  assert.deepEqual(socketShape(list[0]), SOCKET);

  const ada = await connected(client(server));
  const names = { [ada.id]: "ada" };
  const next = async () => plain(await inbox.next("event of the page"), names);
  assert.deepEqual(await next(), ["room_joined", "/", "ada", "ada", "TIME"]);
  const [name, socket, at] = await next();
  assert.deepEqual([name, at], ["socket_connected", "TIME"]);
  assert.deepEqual(socketShape(socket), SOCKET);
  assert.deepEqual([socket.id, socket.nsp, socket.transport, socket.rooms], ["ada", "/", "websocket", ["ada"]]);
  assert.equal(socket.clientId.length, 12);
  assert.deepEqual(await next(), ["event_sent", "/", "ada", ["auth", {}], "TIME"]);

  ada.emit("echo", "x", 1, { a: [null, true] }, Buffer.from([1, 2]));
  const sent = ["echo", "x", 1, { a: [null, true] }, [1, 2]];
  assert.deepEqual(await next(), ["event_received", "/", "ada", sent, "TIME"]);
  assert.deepEqual(await next(), ["event_sent", "/", "ada", sent, "TIME"]);
  await within(ada.emitWithAck("join", "hall"), "acknowledgement");
  assert.deepEqual(await next(), ["event_received", "/", "ada", ["join", "hall"], "TIME"]);
  assert.deepEqual(await next(), ["room_joined", "/", "hall", "ada", "TIME"]);

  page.emit("join", "/", "attic", "hall");
  assert.deepEqual(await next(), ["room_joined", "/", "attic", "ada", "TIME"]);
  page.emit("leave", "/", "hall", ada.id);
  assert.deepEqual(await next(), ["room_left", "/", "hall", "ada", "TIME"]);
  const news = within(once(ada, "news"), "news");
  page.emit("emit", "/", "attic", "news", 1, { a: 2 });
  assert.deepEqual(await news, [1, { a: 2 }]);
  assert.deepEqual(await next(), ["event_sent", "/", "ada", ["news", 1, { a: 2 }], "TIME"]);
  // No room: everybody in the namespace.
  page.emit("emit", "/", undefined, "all");
  assert.deepEqual(await next(), ["event_sent", "/", "ada", ["all"], "TIME"]);

  const gone = within(once(ada, "disconnect"), "disconnect");
  page.emit("_disconnect", "/", false, ada.id);
  assert.deepEqual((await gone)[0], "io server disconnect");
  assert.deepEqual(await next(), ["socket_disconnected", "/", "ada", "server namespace disconnect", "TIME"]);
  assert.deepEqual(await next(), ["room_left", "/", "ada", "ada", "TIME"]);
  assert.deepEqual(await next(), ["room_left", "/", "attic", "ada", "TIME"]);

  // A poll that becomes a WebSocket.
  const bob = await connected(client(server, "/custom", { transports: ["polling", "websocket"] }));
  const only_bob = { [bob.id]: "bob" };
  const of_bob = async () => plain(await inbox.next("event of the page"), only_bob);
  assert.deepEqual(await of_bob(), ["room_joined", "/custom", "bob", "bob", "TIME"]);
  assert.equal((await of_bob())[1].transport, "polling");
  assert.deepEqual(await of_bob(), ["event_sent", "/custom", "bob", ["auth", {}], "TIME"]);
  assert.deepEqual(await of_bob(), ["socket_updated", { id: "bob", nsp: "/custom", transport: "websocket" }]);
  page.emit("_disconnect", "/custom", true);
  assert.deepEqual((await of_bob()).slice(0, 3), ["socket_disconnected", "/custom", "bob"]);
});

test("the wire: statistics", async () => {
  const server = await start();
  const { socket: page } = await admin(server);
  const ada = await connected(client(server));
  ada.emit("echo", "x");
  const kinds = new Set();
  const wanted = ["bytesIn", "bytesOut", "packetsIn", "packetsOut"];
  const stats = await within(
    new Promise((resolve) => {
      page.on("server_stats", (stats) => {
        stats.aggregatedEvents.forEach((count) => kinds.add(count.type));
        if (wanted.every((kind) => kinds.has(kind))) resolve(stats);
      });
      // More to count, whenever it looks.
      const again = setInterval(() => ada.emit("echo", "x"), 200);
      ada.on("disconnect", () => clearInterval(again));
    }),
    "statistics",
  );
  assert.deepEqual(shape(stats), {
    aggregatedEvents: [{ count: "number", timestamp: "number", type: "string" }],
    clientsCount: "number",
    hostname: "string",
    namespaces: [{ name: "string", socketsCount: "number" }],
    pid: "number",
    pollingClientsCount: "number",
    serverId: "string",
    uptime: "number",
  });
  assert.deepEqual([stats.serverId, stats.clientsCount, stats.pollingClientsCount], ["first-of-two", 2, 0]);
  assert.equal(stats.pid, server.pid);
  const counts = Object.fromEntries(stats.namespaces.map(({ name, socketsCount }) => [name, socketsCount]));
  assert.deepEqual(counts, { "/": 1, "/admin": 1, "/custom": 0, "/locked": 0 });
  assert.ok(stats.aggregatedEvents.every(({ timestamp }) => timestamp % 1000 === 0));
});

test("the wire: a page that may only look", async () => {
  const server = await start({ "read-only": true });
  const ada = await connected(client(server));
  const { socket: page, inbox } = await admin(server);
  await inbox.next("session");
  assert.deepEqual(await inbox.next("config"), ["config", { supportedFeatures: ["AGGREGATED_EVENTS", "ALL_EVENTS"] }]);
  await inbox.next("all_sockets");
  page.emit("_disconnect", "/", true, ada.id);
  page.emit("emit", "/", null, "news");
  const heard = [];
  ada.onAny((event) => heard.push(event));
  ada.on("disconnect", () => heard.push("disconnect"));
  // Behind both on the page's connection, and then on hers: nothing else has come to her.
  const behind = page.io.socket("/custom");
  await within(new Promise((resolve) => behind.once("connect", resolve)), "the namespace behind the commands");
  assert.equal(await within(behind.emitWithAck("message-with-ack", 1), "the answer behind them"), 1);
  assert.equal(await within(ada.emitWithAck("message-with-ack", 1), "her answer"), 1);
  assert.deepEqual(heard, []);
});

// --- the page ------------------------------------------------------------------------------------------------------

/** Opens the page, without the fonts that it takes from elsewhere. */
async function visit(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(30_000);
  await context.route(/googleapis|jsdelivr/, font);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(page_url);
  return { page, context, complaints };
}

/** The icons of the page, if ICONS names a folder with npm's @mdi/font: for pictures. */
function font(route) {
  const { pathname } = new URL(route.request().url());
  const file = process.env.ICONS && pathname.includes("@mdi/font") && join(process.env.ICONS, pathname.split(/@mdi\/font@[^/]*\//)[1]);
  return file && existsSync(file) ? route.fulfill({ path: file, headers: { "access-control-allow-origin": "*" } }) : route.abort();
}

const field = (page, label) => page.getByLabel(label, { exact: true });

async function login(page, server, password = AUTH.password) {
  await field(page, "Server URL").fill(server.url);
  await field(page, "Username").fill(AUTH.username);
  await field(page, "Password").fill(password);
  await page.getByRole("button", { name: "Connect" }).click();
}

/** Another view of the page, loaded anew: it logs in by its session. The views before it would stay for a while. */
async function goTo(page, place) {
  await page.waitForFunction(() => localStorage.getItem("session_id"));
  await page.goto(`${page_url}#/${place}`);
  await page.reload();
}
const row = (page, text) => page.locator("tbody tr", { hasText: text });

// The reference tells the session before the page listens for it, so the page cannot be loaded again there.
const skip = !ours && "the page has no session";
test("the page: a login, the lists, a room joined and left, a socket disconnected", { timeout: 120_000, skip }, async () => {
  const server = await start();
  const [ada, bob] = [await connected(client(server)), await connected(client(server))];
  await within(ada.emitWithAck("join", "hall"), "acknowledgement");
  const { page, context, complaints } = await visit();
  await login(page, server, "guess");
  await page.getByText("Invalid credentials").waitFor();
  await login(page, server);
  await page.getByText("Invalid credentials").waitFor({ state: "hidden" });

  await goTo(page, "servers/");
  await row(page, "first-of-two").waitFor();
  await goTo(page, "sockets/");
  await row(page, ada.id).waitFor();
  await row(page, bob.id).waitFor();
  await goTo(page, "rooms/");
  await row(page, "hall").waitFor();

  // A room is joined from the page of a socket, and shown there once the server has told.
  await goTo(page, "sockets/");
  await row(page, bob.id).locator("td").first().click();
  await page.getByLabel("Join a room").fill("attic");
  await page.getByLabel("Join a room").press("Enter");
  await page.locator("form", { has: page.getByLabel("Join a room") }).locator("button[type=submit]").click();
  await row(page, "attic").waitFor();
  const told = within(once(bob, "bcast"), "bcast");
  ada.emit("bcast", "attic", "up here");
  assert.deepEqual(await told, ["up here"]);
  await row(page, "attic").getByRole("button").click();
  await goTo(page, "rooms/");
  await row(page, "hall").waitFor();
  await row(page, "attic").waitFor({ state: "detached" });

  // And a socket is disconnected.
  const gone = within(once(bob, "disconnect"), "disconnect");
  const id = bob.id;
  await goTo(page, "sockets/");
  await row(page, id).getByRole("button").click();
  assert.equal((await gone)[0], "io server disconnect");
  await goTo(page, "sockets/");
  await row(page, ada.id).waitFor();
  await row(page, id).waitFor({ state: "detached" });

  // Events are shown as they come.
  await goTo(page, "events/");
  await until(async () => {
    ada.emit("echo", "x");
    return (await row(page, "echo").count()) > 0;
  }, "events are shown");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the page: two servers in one", { timeout: 120_000, skip: !ours && "the bus is ours" }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "admin-"));
  try {
    const bus = `unix:${folder}/bus`;
    const [one, two] = [await start({ bus }), await start({ bus, "server-id": "second-of-two" })];
    const ada = await connected(client(two));
    const { page, context, complaints } = await visit();
    await login(page, one);
    await goTo(page, "servers/");
    await row(page, "first-of-two").waitFor();
    await row(page, "second-of-two").waitFor();
    await goTo(page, "sockets/");
    await row(page, ada.id).waitFor();
    const gone = within(once(ada, "disconnect"), "disconnect");
    await row(page, ada.id).getByRole("button").click();
    assert.equal((await gone)[0], "io server disconnect");
    assert.deepEqual(complaints, []);
    await context.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

if (process.env.SCREENSHOTS) {
  test("pictures of it, in the folder that SCREENSHOTS names", { timeout: 300_000 }, async () => {
    mkdirSync(process.env.SCREENSHOTS, { recursive: true });
    const folder = mkdtempSync(join(tmpdir(), "admin-"));
    try {
      const bus = `unix:${folder}/bus`;
      const nodes = [await start({ bus, "server-id": "eu-1" }), await start({ bus, "server-id": "eu-2" })];
      const people = [];
      for (let i = 0; i < 14; i += 1) {
        const transports = i % 5 === 0 ? ["polling"] : ["websocket"];
        people.push(await connected(client(nodes[i % 2], i % 4 === 3 ? "/custom" : "/", { transports })));
        people[i].emit("join", ["lobby", "kitchen", "garden"][i % 3]);
      }
      const talk = setInterval(() => people.forEach((person, i) => i % 3 && person.emit("echo", `hello ${i}`)), 400);
      const { page, context } = await visit({ viewport: { width: 1400, height: 820 }, deviceScaleFactor: 1 });
      await login(page, nodes[0]);
      // Enough for the charts, and the last of it a few that come and go.
      for (let i = 0; i < 10; i += 1) {
        const visitor = await connected(client(nodes[i % 2]));
        await new Promise((resolve) => setTimeout(resolve, 1500));
        visitor.disconnect();
      }
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/admin-dashboard.png`, animations: "disabled" });
      await goTo(page, "sockets/");
      await row(page, people[0].id).waitFor();
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/admin-sockets.png`, animations: "disabled" });
      clearInterval(talk);
      await context.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
