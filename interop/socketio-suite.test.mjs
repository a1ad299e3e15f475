// socket.io-client's own suite, case by case.
import { registerSuite } from "./suites/player.mjs";
import { cases, elsewhere } from "./suites/socketio-client.mjs";
import { verbs } from "./suites/socketio-verbs.mjs";
import { USUAL } from "./support/server.mjs";
import { onOneServer } from "./support/suite.mjs";

const servers = {
  plain: onOneServer(USUAL, { bystanders: false }),
  recovering: onOneServer({ ...USUAL, recovery: 120_000 }, { bystanders: false }),
};
registerSuite({ suite: "socket.io-client", cases, elsewhere, total: 111, verbs, servers });
