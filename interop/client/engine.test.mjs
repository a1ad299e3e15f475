// Our client of plain Engine.IO against the Engine.IO servers that are not ours. The program is
// runtime-tokio/examples/engine_client.rs.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { engineClientCommand, FOREIGN_ENGINES, Program, startPeer } from "../support/peers.mjs";
import { GRACE, STRICT } from "../support/server.mjs";
import { until } from "../support/wait.mjs";

for (const kind of FOREIGN_ENGINES) {
  for (const transport of ["polling", "websocket", "upgrade"]) {
    describe(`the Engine.IO client and ${kind} over ${transport}`, { timeout: 300_000 }, () => {
      let peer;
      let program;
      const runAt = (server, ...messages) =>
        (program = new Program([...engineClientCommand(), server.url, transport, ...messages]));
      const run = (...messages) => runAt(peer, ...messages);
      beforeEach(async () => {
        program = undefined;
        peer = await startPeer(kind);
      });
      afterEach(async () => {
        await program?.kill();
        await peer.kill();
      });

      test("messages come back as they are, and in order", async () => {
        run("zwölf", "0x00ff80", "", "count 1000");
        await program.line(transport === "websocket" ? /^open by websocket$/ : /^open by polling$/);
        await program.line(/^text zwölf$/);
        await program.line(/^bytes 00ff80$/);
        await program.line(/^text $/);
        await program.line(/^text 999$/);
        const numbers = program.seen.filter((line) => /^text \d+$/.test(line));
        assert.deepEqual(numbers, Array.from({ length: 1000 }, (_, i) => `text ${i}`));
        // The last number may still come by the poll that was pending before the upgrade.
        if (transport === "upgrade") await until(() => program.seen.includes("upgraded"), "it has moved");
        else assert.ok(!program.seen.includes("upgraded"));
      });

      test("it stays while nothing but pings comes", async (t) => {
        const strict = await startPeer(kind, STRICT);
        t.after(() => strict.kill());
        runAt(strict);
        await program.line(/^open/);
        await new Promise((resolve) => setTimeout(resolve, GRACE + 1000)); // longer than the heartbeat grants
        const said = program.seen.slice(1);
        assert.deepEqual(said, transport === "upgrade" ? ["upgraded"] : []);
      });

      test("the server's end is the end", async () => {
        run("last", "close");
        await program.line(/^text last$/);
        await program.line(/^closed: transport close$/);
        assert.equal(await program.exit(), 0);
      });

      test("a server that dies is noticed, and none is an error", async () => {
        run();
        await program.line(/^open/);
        await peer.kill();
        await program.line(/^closed: transport (close|error)$/);
        assert.equal(await program.exit(), 0);
        run();
        assert.equal(await program.exit(), 1);
        assert.match(program.errors, /Session/);
      });
    });
  }
}
