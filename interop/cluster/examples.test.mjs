// The examples `cluster` and `mixed`: each is started by its one command, and is one chat.
import assert from "node:assert/strict";
import { test } from "node:test";
import { io } from "socket.io-client";
import { Program } from "../support/peers.mjs";
import { freePort } from "../support/server.mjs";
import { until, within } from "../support/wait.mjs";

const examples = new URL("../../examples/", import.meta.url).pathname;

/** Starts an example, and stops it and all that it has started. */
async function running([program, ...args], then) {
  const example = new Program([`${examples}${program}`, ...args]);
  try {
    return await then(example);
  } finally {
    example.child.kill("SIGTERM");
    await within(example.exited, "end of the example");
  }
}

/** A client with a name, and the messages that it hears. */
async function person(url, username, options) {
  const socket = io(url, { forceNew: true, ...options });
  const messages = [];
  socket.on("new message", (said) => {
    if (said.message !== "ready?" || username.startsWith("probe")) messages.push(`${said.username}: ${said.message}`);
  });
  await within(new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject)), url);
  const login = new Promise((resolve) => socket.on("login", resolve));
  socket.emit("add user", username);
  return { socket, username, messages, login: await within(login, `login of ${username}`) };
}

/** Lets everybody say something, which everybody else hears once. */
async function talk(people) {
  for (const { socket, username } of people) socket.emit("new message", `I am ${username}`);
  for (const { username, messages } of people) {
    const expected = people.filter((other) => other.username !== username);
    await until(() => messages.length >= expected.length, `${username} hears ${expected.length}, not ${messages}`);
    assert.deepEqual(messages.sort(), expected.map((other) => `${other.username}: I am ${other.username}`).sort());
  }
  for (const { socket } of people) socket.disconnect();
}

const NAMES = ["ada", "bob", "cyd", "dan"];

for (const [title, flags, options] of [
  // The cookie that names the node comes with the first answer to long-polling.
  ["with a cookie", [], { withCredentials: true }],
  ["with a new node for each connection", ["--without-sticky"], { transports: ["websocket"] }],
  ["with a new node for each request", ["--forward-requests"], { transports: ["polling"] }],
]) {
  test(`three nodes behind nginx ${title} are one chat`, { timeout: 120_000 }, async () => {
    const port = String(await freePort());
    await running(["cluster/run", "--port", port, ...flags], async (example) => {
      const [, url] = await example.line(/^open (http:\/\/[^/]*)/, 60_000);
      const people = [];
      for (const name of NAMES) people.push(await person(url, name, options));
      assert.deepEqual(people.map(({ login }) => login.numUsers), [1, 2, 3, 4]);
      await talk(people);
    });
  });
}

test("a server in Rust, one in JavaScript and one in Python are one chat", { timeout: 120_000 }, () =>
  running(["mixed/run"], async (example) => {
    const urls = [];
    for (let i = 0; i < 3; i += 1) urls.push((await example.line(/open (http:\S*)/, 60_000))[1]);
    // Each server has subscribed when it says that it listens, but for the bridge, which listens to others first.
    const probes = await Promise.all(urls.map((url, i) => person(url, `probe ${i}`)));
    await until(async () => {
      for (const { socket } of probes) socket.emit("new message", "ready?");
      await new Promise((resolve) => setTimeout(resolve, 200));
      return probes.every(({ messages }) => new Set(messages).size === 2);
    }, "everybody hears everybody");
    for (const { socket } of probes) socket.disconnect();
    // What they have said last may still be on its way.
    await talk(await Promise.all(urls.map((url, i) => person(url, NAMES[i]))));
  }));
