// The client of 2.x in headless Chromium, told to poll by scripts, on a page of another origin.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { LIVELY, startConformance } from "../support/server.mjs";
import { within } from "../support/wait.mjs";

const executablePath =
  process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const client = readFileSync(new URL("../node_modules/socket.io-client-2/dist/socket.io.js", import.meta.url));

let browser;
let server;
let pages;
before(async () => {
  assert.ok(executablePath, "no chromium found: install it or set CHROMIUM");
  server = await startConformance({ ...LIVELY, "allow-eio3": true });
  pages = createServer((request, response) => {
    const isScript = request.url === "/client.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? client : "<!doctype html><title>JSONP</title><body><script src=/client.js></script>");
  }).listen(0, "127.0.0.1");
  await once(pages, "listening");
  browser = await chromium.launch({
    executablePath,
    timeout: 120_000, // the first start on a machine takes its time
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
      ...["--disable-background-networking", "--disable-component-update"],
    ],
  });
});
after(async () => {
  await browser?.close();
  pages?.close();
  await server?.stop();
});

test("a page polls by scripts and posts by forms, beside a client of today in the same room", async () => {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  const urls = [];
  page.on("request", (request) => urls.push(request.url()));
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);

  const told = await page.evaluate(
    async (url) => {
      const event = (name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));
      const call = (name, ...args) =>
        new Promise((resolve) => socket.emit(name, ...args, (...answer) => resolve(answer)));
      const bytes = (value) => [...new Uint8Array(value)];
      const socket = window.io(url, { forceJSONP: true, transports: ["polling"], forceNew: true });
      window.socket = socket;
      await event("connect");
      const words = "a\"b 'c' é € 😀 \u2028\u2029 </script> \n \\n \\\\n \r\n";
      const [echo] = await call("ack", words);
      const [image] = await call("ack", new Uint8Array([0, 1, 2, 255]).buffer);
      await call("join", "everybody");
      window.heard = event("bcast");
      return { same: echo === words, image: bytes(image), transport: socket.io.engine.transport.name };
    },
    server.url,
  );
  assert.deepEqual(told, { same: true, image: [0, 1, 2, 255], transport: "polling" });

  const other = io(server.url, { forceNew: true, transports: ["websocket"] });
  await within(once(other, "connect"), "connect");
  other.emit("bcast", "everybody", { text: "für alle\n", image: Buffer.from([7]) });
  const [heard] = await page.evaluate(async () => {
    const [{ text, image }] = await window.heard;
    return [{ text, image: [...new Uint8Array(image)] }];
  });
  assert.deepEqual(heard, { text: "für alle\n", image: [7] });

  // It stays for some heartbeats of its own.
  const beats = await page.evaluate(
    () =>
      new Promise((resolve) => {
        let beats = 0;
        window.socket.on("pong", () => (beats += 1) === 3 && resolve(beats));
        window.socket.on("disconnect", resolve);
      }),
  );
  assert.equal(beats, 3);
  const polls = urls.filter((url) => url.includes("transport=polling"));
  assert.ok(polls.length > 3 && polls.every((url) => /[?&]j=0\b/.test(url)), polls.join("\n"));
  other.disconnect();
  await page.close();
});
