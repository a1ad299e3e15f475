// Our client with the MessagePack parser against the servers that are not ours, with theirs.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FOREIGN, Program, peerClientCommand, peerCommand } from "../support/peers.mjs";

for (const kind of FOREIGN) {
  describe(`MessagePack with ${kind}`, { concurrency: 3 }, () => {
    for (const transport of ["polling", "websocket", "upgrade"]) {
      test(`events, answers, namespaces and ends over ${transport}`, async (t) => {
        const command = [...peerCommand(kind), "--parser", "msgpack"];
        const client = new Program([...peerClientCommand(), "basics", transport, ...command]);
        const end = await client.exit(60_000);
        for (const line of client.seen) t.diagnostic(line);
        assert.equal(end, 0, client.errors);
      });
    }
  });
}
