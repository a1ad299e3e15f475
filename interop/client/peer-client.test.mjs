// Our async client against the servers that are not ours: what it does with each, and through ten restarts in a row.
// The program is examples/peer_client.rs, which starts and kills the server by itself.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FOREIGN, Program, peerClientCommand, peerCommand } from "../support/peers.mjs";

const run = async (t, program, transport, kind) => {
  const client = new Program([...peerClientCommand(), program, transport, ...peerCommand(kind)]);
  const end = await client.exit(300_000);
  for (const line of client.seen) t.diagnostic(`${program} over ${transport} against ${kind}: ${line}`);
  assert.equal(end, 0, client.errors);
};

for (const kind of FOREIGN) {
  // Each has a server of its own, and mostly waits for its restarts.
  describe(kind, { concurrency: 3 }, () => {
    for (const transport of ["polling", "websocket", "upgrade"]) {
      test(`events, answers, namespaces and ends over ${transport}`, (t) => run(t, "basics", transport, kind));
      test(`nothing comes twice through restarts over ${transport}`, (t) => run(t, "restart", transport, kind));
    }
    for (const transport of ["polling", "upgrade"]) {
      test(`nothing is lost with retries over ${transport}`, (t) => run(t, "retries", transport, kind));
    }
  });
}

describe("connection state recovery", { concurrency: 3 }, () => {
  for (const transport of ["polling", "websocket", "upgrade"]) {
    test(`each event once, wherever the connection is cut, over ${transport}`, async (t) => {
      const server = [...peerCommand("node"), "--recovery", "20000"];
      const client = new Program([...peerClientCommand(), "recovery", transport, ...server]);
      const end = await client.exit(300_000);
      for (const line of client.seen) t.diagnostic(`${transport}: ${line}`);
      assert.equal(end, 0, client.errors);
    });
  }
});

describe("npm's server with permessage-deflate", { concurrency: 3 }, () => {
  for (const deflate of ["alone", "takeover", "small"]) {
    test(`everything passes compressed, ${deflate}`, async (t) => {
      const command = [...peerClientCommand(), "basics", "upgrade", ...peerCommand("node"), "--deflate"];
      const client = new Program(command, { PEER_CLIENT_DEFLATE: deflate });
      const end = await client.exit(300_000);
      for (const line of client.seen) t.diagnostic(line);
      assert.equal(end, 0, client.errors);
    });
  }
});
