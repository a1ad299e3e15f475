// Clients of several languages in one room: npm's as a socket, the others as programs that are told line by line what to
// emit, and say line by line what has come.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Program, peerClientCommand } from "./peers.mjs";
import { Inbox, within } from "./wait.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const HEARD = ["echo", "bcast", "answer", "question"];

/** Bytes come as Buffers or as ArrayBuffers. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
}

/** Bytes as `{"$bytes": [0, 255]}`: JSON has none. */
function toLine(value) {
  if (Buffer.isBuffer(value)) return { $bytes: [...value] };
  if (Array.isArray(value)) return value.map(toLine);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toLine(member)]));
}

function fromLine(value) {
  if (Array.isArray(value)) return value.map(fromLine);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return Buffer.from(value.$bytes);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, fromLine(member)]));
}

/** A client of npm's that is connected: `call`, `emit`, and `heard` with an inbox for each event. It answers questions. */
export function socketMember(name, socket) {
  const heard = Object.fromEntries(HEARD.map((event) => [event, new Inbox()]));
  for (const event of HEARD) {
    socket.on(event, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      heard[event].push(args.map(plain));
      ack?.(...args);
    });
  }
  return {
    name,
    heard,
    emit: (event, ...args) => socket.emit(event, ...args),
    call: (event, ...args) =>
      within(new Promise((resolve) => socket.emit(event, ...args, (...back) => resolve(back.map(plain)))), event),
    leave: () => {},
  };
}

/** The same with a program. */
async function programMember(name, command, transport) {
  const program = new Program(command, {}, "pipe");
  const heard = Object.fromEntries(HEARD.map((event) => [event, new Inbox()]));
  const answers = new Map();
  const ready = new Inbox();
  let calls = 0;
  const tell = (event, args, id) => program.child.stdin.write(`${JSON.stringify({ id, event, args: toLine(args) })}\n`);
  program.onLine = (text) => {
    const { id, event, args } = fromLine(JSON.parse(text));
    if (id) answers.get(id)?.(args);
    else if (event === "ready") ready.push(args);
    else heard[event]?.push(args);
  };
  // A member that has died is told by `died`.
  program.child.stdin.on("error", () => {});
  const died = program.exited.then((end) => {
    throw new Error(`${name} ended (${end}): ${program.errors}`);
  });
  died.catch(() => {});
  try {
    const [carrier] = await Promise.race([ready.next("connection"), died]);
    assert.equal(carrier, transport === "upgrade" ? "websocket" : transport, name);
  } catch (error) {
    await program.kill();
    throw error;
  }
  return {
    name,
    heard,
    emit: (event, ...args) => tell(event, args, 0),
    call(event, ...args) {
      const id = (calls += 1);
      const answer = new Promise((resolve) => answers.set(id, resolve));
      tell(event, args, id);
      return within(Promise.race([answer, died]), `${event} of ${name}`).finally(() => answers.delete(id));
    },
    leave: () => program.kill(),
  };
}

/** python-socketio; `serializer` is `default` or `msgpack`. */
export const pythonMember = (url, transport, serializer = "default") =>
  programMember(
    `python by ${transport}`,
    [`${here}.venv/bin/python`, "python/member.py", url, transport, serializer],
    transport,
  );

/** Our client; `parser` is `json` or `msgpack`. */
export const rustMember = (url, transport, parser = "json") =>
  programMember(`ours by ${transport}`, [...peerClientCommand(), "member", transport, url, "--parser", parser], transport);

/**
 * Lets members that are in one room talk. `carries(member, payload)` says what a member can carry; a payload goes round
 * if all of them can.
 */
export async function talk(members, payloads, carries = () => true) {
  const room = "everybody";
  for (const member of members) await member.call("join", room);
  for (const member of members) {
    for (const payload of payloads.filter((payload) => carries(member, payload))) {
      member.emit("echo", payload, 1);
      assert.deepEqual(await member.heard.echo.next(`echo of ${member.name}`), [payload, 1], member.name);
      assert.deepEqual(await member.call("ack", payload, "two"), [payload, "two"], member.name);
    }
  }
  const common = payloads.filter((payload) => members.every((member) => carries(member, payload)));
  assert.ok(common.length > 1);
  for (const sender of members) {
    for (const payload of common) {
      sender.emit("bcast", room, payload);
      for (const member of members) {
        const what = `from ${sender.name} to ${member.name}`;
        assert.deepEqual(await member.heard.bcast.next(what), [payload], what);
      }
    }
    // Each asks all, and all answer with what they were asked.
    const question = common.at(-1);
    sender.emit("ask-room", room, question);
    for (const member of members) {
      assert.deepEqual(await member.heard.question.next(`question for ${member.name}`), [question], member.name);
    }
    for (const member of members) {
      assert.deepEqual(await sender.heard.answer.next(`answers for ${sender.name}`), [question], member.name);
    }
  }
  for (const { heard } of members) for (const event of HEARD) assert.equal(heard[event].size, 0);
}
