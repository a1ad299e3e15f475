// A process of ours without a server, as a test: what it emits, every client of a cluster hears once.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { drain, openClient, startNodes, stopNodes } from "./cluster.mjs";
import { Program } from "./peers.mjs";
import { conformanceCommand } from "./server.mjs";
import { until } from "./wait.mjs";

/** Lets a process of ours carry out verbs on a bus (see `examples/conformance_emitter.rs`). */
export async function emit(address, dialect, verbs, namespace = "/") {
  const flags = ["--bus", address, "--dialect", dialect, "--nsp", namespace, "--emit", JSON.stringify(verbs)];
  const program = new Program([...conformanceCommand(), ...flags]);
  try {
    assert.equal(await program.exit(), 0, program.errors);
  } finally {
    await program.kill();
  }
}

const bytes = Buffer.from([0, 255, 7]);

/** Everybody's part in what an emitter does: `start` gives the bus, `address` what ours call it. */
export function anEmitterReaches(kinds, { start, address, dialect, tells = true }) {
  const everybody = kinds.join(", ");
  describe(`an emitter of ours that speaks ${dialect} to ${everybody}`, { timeout: 240_000 }, () => {
    test("everybody once, rooms, single sockets, and servers", async () => {
      const bus = await start();
      const nodes = await startNodes(bus, kinds);
      const send = (...verbs) => emit(address(bus), dialect, verbs);
      try {
        // Until all have subscribed; and bridges, which take part later, have found each other.
        let round = 0;
        await until(async () => {
          round += 1;
          await send(["emit", "", "ready", round], ["emit", "", "mark", round]);
          for (const node of nodes) {
            const isHere = () => node.client.heard.some(([name, of]) => name === "mark" && of === round);
            // Whoever has not subscribed yet hears a later one.
            if (!(await until(isHere, "the mark", 2000).catch(() => false))) return false;
          }
          const counts = nodes.map((node) => node.client.heard.filter(([name, of]) => name === "ready" && of === round).length);
          return counts.every((count) => count === 1);
        }, "everybody hears the emitter once");
        for (const node of nodes) await node.client.until("mark", round);
        // And until they hear each other: what comes between two dialects is carried by a bridge, the emitter's words are not.
        const hearEachOther = () => drain(nodes, undefined, 2000).then(() => true, () => false);
        await until(hearEachOther, "everybody hears everybody");
        const [first, last] = [nodes[0].client, nodes.at(-1).client];
        await first.call("join", "red");
        // Some adapters subscribe to a room's channel when its first member joins.
        await drain(nodes);

        await send(
          ["emit", "", "all", 1, { base64: bytes.toString("base64") }],
          ["emit", "red", "red", 2],
          ["except", "", first.id, "others", 3],
          ["emit", last.id, "you", 4],
          ["emit", "", "end", 5],
        );
        for (const { client } of nodes) {
          const expected = [["all", 1, bytes]];
          if (client === first) expected.push(["red", 2]);
          else expected.push(["others", 3]);
          if (client === last) expected.push(["you", 4]);
          assert.deepEqual(await client.until("end", 5), [...expected, ["end", 5]]);
        }

        await send(["join", last.id, "blue"]);
        await until(async () => {
          await send(["emit", "blue", "blue", 1]);
          return last.heard.some(([event]) => event === "blue");
        }, "a socket is made to join a room");
        await send(["close-room", "blue"]);
        await until(async () => {
          round += 1;
          await send(["emit", "blue", "blue", round], ["emit", "", "mark", round]);
          const heard = await last.until("mark", round);
          return !heard.some(([event, of]) => event === "blue" && of === round);
        }, "a room is closed");
        for (const { client } of nodes) client.heard.length = 0;

        if (tells) {
          await send(["tell", "tell", "news"]);
          for (const { client } of nodes) await client.until("told", "news");
        }
        const gone = new Promise((resolve) => last.on("disconnect", resolve));
        await send(["kick", last.id]);
        assert.equal(await gone, "io server disconnect");

        const custom = await openClient(nodes[0], "/custom");
        await emit(address(bus), dialect, [["emit", "", "there", 1]], "/custom");
        await custom.until("there", 1);
        custom.disconnect();
        for (const node of nodes) assert.equal(node.program.child.exitCode, null, `${node.name} lives`);
      } finally {
        await stopNodes(nodes);
        await bus.stop();
      }
    });
  });
}
