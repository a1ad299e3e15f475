// Two people in Chromium and one in Node on the chat page of the chat example.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { once } from "node:events";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { ours, startChat } from "./support/server.mjs";
import { until, within } from "./support/wait.mjs";

const executablePath =
  process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const FLAGS = {
  "client-dist": new URL("node_modules/socket.io-client/dist", import.meta.url).pathname,
};

let browser;
let server;
let pages = [];
let sockets = [];
const complaints = [];

before(async () => {
  assert.ok(executablePath, "no chromium found: install it or set CHROMIUM");
  server = await startChat(FLAGS);
  browser = await chromium.launch({
    executablePath,
    timeout: 120_000, // the first start on a machine takes its time
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});
afterEach(async () => {
  await Promise.all(pages.map((page) => page.context().close()));
  sockets.forEach((socket) => socket.disconnect());
  pages = [];
  sockets = [];
  assert.deepEqual(complaints.splice(0), [], "the page complains");
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens the page in a browser profile of its own. */
async function visit(options = {}, target = server) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  pages.push(page);
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(target.url);
  await page.locator('#status[data-state="online"]').waitFor();
  return page;
}

async function joinAs(name, options, target) {
  const page = await visit(options, target);
  await page.fill("#name", name);
  await page.click("#enter");
  await page.locator("#messages", { hasText: `Welcome, ${name}.` }).waitFor();
  return page;
}

/** A participant without a browser. */
async function nodeUser(name) {
  const socket = io(server.url, { forceNew: true });
  sockets.push(socket);
  const login = within(once(socket, "login"), "login");
  socket.emit("add user", name);
  const [{ numUsers }] = await login;
  return { socket, numUsers, next: async (event) => (await within(once(socket, event), event))[0] };
}

async function say(page, words) {
  await page.fill("#text", words);
  await page.click("#send");
}

const message = (page, words) => page.locator("#messages .message .body", { hasText: words });
const countIs = (page, words) => page.locator("#count", { hasText: words }).waitFor();
async function empty() {
  // People of the test before may still be leaving.
  await until(async () => {
    const { socket, numUsers } = await nodeUser("counter");
    socket.disconnect();
    return numUsers === 1;
  }, "the chat is empty");
}

test("the page brings the client from the server itself", async () => {
  const response = await fetch(`${server.url}/socket.io/socket.io.js`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /javascript/);
  assert.match((await response.text()).slice(0, 200), /Socket\.IO v4\.8\.4/);
  const page = await fetch(server.url);
  assert.equal(page.status, 200);
  assert.match(page.headers.get("content-type"), /^text\/html; ?charset=utf-8/i);
});

test("two people and a program talk", async () => {
  await empty();
  const ada = await joinAs("Ada");
  await countIs(ada, "Only you are here");
  const bob = await joinAs("Bob");
  await countIs(bob, "2 people are here");
  await countIs(ada, "2 people are here");
  await ada.locator("#messages .notice", { hasText: "Bob joined" }).waitFor();

  const carl = await nodeUser("Carl");
  assert.equal(carl.numUsers, 3);
  await countIs(ada, "3 people are here");

  const heard = carl.next("new message");
  await say(ada, "Hello everybody é😀");
  assert.deepEqual(await heard, { username: "Ada", message: "Hello everybody é😀" });
  await message(bob, "Hello everybody é😀").waitFor();
  assert.equal(await message(bob, "Hello everybody").count(), 1);
  assert.equal(await message(ada, "Hello everybody").count(), 1, "the sender sees her own message once");
  assert.equal(await bob.locator("#messages .name").first().textContent(), "Ada");

  await say(bob, "Hello Ada");
  await message(ada, "Hello Ada").waitFor();
  carl.socket.emit("new message", "from Node");
  await message(ada, "from Node").waitFor();
  await message(bob, "from Node").waitFor();

  carl.socket.disconnect();
  await ada.locator("#messages .notice", { hasText: "Carl left" }).waitFor();
  await countIs(ada, "2 people are here");
  await bob.context().close();
  pages = pages.filter((page) => page !== bob);
  await ada.locator("#messages .notice", { hasText: "Bob left" }).waitFor();
  await countIs(ada, "Only you are here");
});

/** Notes all that a page shows of who is typing: it may be gone before anybody looks. */
async function noteTyping(page) {
  await page.evaluate(() => {
    window.shown = [];
    const place = document.querySelector("#typing");
    new MutationObserver(() => window.shown.push(place.textContent)).observe(place, { childList: true, characterData: true, subtree: true });
  });
  const shown = () => page.evaluate(() => window.shown);
  return (pattern) => until(async () => (await shown()).some((text) => pattern.test(text)), `the page shows ${pattern}`);
}

test("typing is shown while it lasts", async () => {
  const [ada, bob] = [await joinAs("Ada"), await joinAs("Bob")];
  const [carl, dora] = [await nodeUser("Carl"), await nodeUser("Dora")];
  const [adaShows, bobShows] = [await noteTyping(ada), await noteTyping(bob)];

  const [started, stopped] = [carl.next("typing"), carl.next("stop typing")];
  await ada.locator("#text").pressSequentially("hm");
  assert.deepEqual(await started, { username: "Ada" });
  await bobShows(/Ada is typing/);
  assert.deepEqual(await stopped, { username: "Ada" });
  await until(async () => (await bob.locator("#typing").textContent()) === "", "nobody is typing");

  // The page says when its own user stops, a program of a test does not.
  carl.socket.emit("typing");
  await ada.locator("#typing", { hasText: "Carl is typing" }).waitFor();
  await bob.locator("#text").pressSequentially("me too");
  await adaShows(/Carl and Bob are typing/);
  dora.socket.emit("typing");
  await ada.locator("#typing", { hasText: "Carl and Dora are typing" }).waitFor();
  carl.socket.disconnect();
  await ada.locator("#typing", { hasText: /^Dora is typing$/ }).waitFor();
});

test("names and messages are never markup", async () => {
  const evil = '<img src=x onerror="window.broken=1">';
  const [ada, bob] = [await joinAs("Ada"), await joinAs("<b>Bob</b>")];
  await ada.locator("#messages .notice", { hasText: "<b>Bob</b> joined" }).waitFor();
  await say(bob, evil);
  await message(ada, evil).waitFor();
  for (const page of [ada, bob]) {
    assert.equal(await page.locator("#messages img").count(), 0);
    assert.equal(await page.evaluate(() => window.broken), undefined);
  }
});

test("a hundred messages arrive in order", async () => {
  const ada = await joinAs("Ada");
  const carl = await nodeUser("Carl");
  for (let i = 0; i < 100; i += 1) carl.socket.emit("new message", `number ${i}`);
  await message(ada, "number 99").waitFor();
  const all = await ada.locator("#messages .message .body").allTextContents();
  assert.deepEqual(all, Array.from({ length: 100 }, (_, i) => `number ${i}`));
});

test("the browser upgrades to a WebSocket", async () => {
  const page = await joinAs("Ada");
  await page.waitForFunction(() => socket.io.engine.transport.name === "websocket");
});

test("the page says that the server is gone, and comes back with it", { timeout: 180_000 }, async () => {
  const own = await startChat(FLAGS);
  let again;
  try {
    const ada = await joinAs("Ada", {}, own);
    const bob = await joinAs("Bob", {}, own);
    await own.stop();
    await ada.locator('#status:not([data-state="online"])').waitFor();
    await ada.locator("#messages .notice", { hasText: "The connection was lost" }).waitFor();
    await say(ada, "written in the dark");
    await ada.locator("#messages .waiting", { hasText: "written in the dark" }).waitFor();
    // Bob first, so that he is there to hear it.
    await ada.context().setOffline(true);
    again = await startChat({ ...FLAGS, port: own.port });
    await bob.locator("#messages .notice", { hasText: "You are back." }).waitFor({ timeout: 30_000 });
    await ada.context().setOffline(false);
    await ada.locator("#messages .notice", { hasText: "You are back." }).waitFor({ timeout: 30_000 });
    await message(bob, "written in the dark").waitFor();
    assert.equal(await ada.locator("#messages .waiting").count(), 0);
    await countIs(bob, "2 people are here");
  } finally {
    await Promise.all(pages.map((page) => page.context().close()));
    pages = [];
    await own.stop();
    await again?.stop();
  }
});

test("everything to use has a name for who cannot see it", async () => {
  const page = await visit();
  assert.equal(await page.getByRole("textbox", { name: "Name" }).count(), 1);
  await page.getByRole("textbox", { name: "Name" }).fill("Ada");
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Message" }).fill("by keyboard");
  await page.keyboard.press("Enter");
  await message(page, "by keyboard").waitFor();
  assert.equal(await page.getByRole("button", { name: "Send" }).count(), 1);
  assert.equal(await page.getByRole("log", { name: "Messages" }).count(), 1);
  assert.equal(await page.getByRole("status").textContent(), "Online");
});

test("it fits a phone", async () => {
  const phone = await joinAs("Ada", { viewport: { width: 360, height: 640 } });
  await say(phone, `a long word ${"w".repeat(300)}`);
  const widest = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(widest <= 360, `the page is ${widest} px wide`);
  const box = await phone.locator("#send").boundingBox();
  assert.ok(box.x + box.width <= 360 && box.y + box.height <= 640, "the button is on the screen");
});

test("the client comes with the program, or from its public copy where the server has none", async () => {
  const own = await startChat();
  try {
    // The test needs no internet: the pinned package is the same file as the public copy.
    const script = new URL("node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url).pathname;
    const served = await fetch(`${own.url}/socket.io/socket.io.js`);
    const body = await served.text();
    if (ours) assert.equal(body, readFileSync(script, "utf8"), "the bundle is npm's own file, of the version in package.json");
    else assert.ok(served.status >= 400);
    const context = await browser.newContext();
    const page = await context.newPage();
    pages.push(page);
    await page.route("https://cdn.socket.io/4.8.4/socket.io.min.js", (route) =>
      ours ? route.abort() : route.fulfill({ path: script, contentType: "application/javascript" }),
    );
    await page.goto(own.url);
    await page.locator('#status[data-state="online"]').waitFor();
  } finally {
    await own.stop();
  }
});

if (process.env.SCREENSHOTS) {
  test("pictures of it, in the folder that SCREENSHOTS names", async () => {
    mkdirSync(process.env.SCREENSHOTS, { recursive: true });
    for (const colorScheme of ["light", "dark"]) {
      const ada = await joinAs("Ada", { colorScheme });
      const bob = await joinAs("Bob Babbage", { colorScheme, viewport: { width: 390, height: 780 }, deviceScaleFactor: 2 });
      const empty = await visit({ colorScheme, viewport: { width: 390, height: 780 }, deviceScaleFactor: 2 });
      const carl = await nodeUser("Carl");
      await say(ada, "Has anybody seen the analytical engine?");
      await message(bob, "analytical engine").waitFor();
      await say(bob, "It was in the drawing room an hour ago. I left it next to the loom, with the cards still in.");
      await say(bob, "Why?");
      await message(ada, "Why?").waitFor();
      carl.socket.emit("new message", "I borrowed it to compute a few Bernoulli numbers 🙂 https://example.org/a/rather/long/address/that/must/wrap/somewhere?on=a&narrow=screen");
      await message(ada, "Bernoulli").waitFor();
      await say(ada, "Ha! Bring it back when note G prints.");
      await message(bob, "note G").waitFor();
      carl.socket.emit("typing");
      await ada.locator("#typing", { hasText: "Carl" }).waitFor();
      await bob.locator("#typing", { hasText: "Carl" }).waitFor();
      const picture = (page, name) =>
        page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${colorScheme}.png`, animations: "disabled" });
      await picture(ada, "desktop");
      await picture(bob, "phone");
      await picture(empty, "join");
    }
  });
}
