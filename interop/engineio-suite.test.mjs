// engine.io-client's own suite, case by case.
import { cases, elsewhere, verbs } from "./suites/engineio-client.mjs";
import { registerSuite } from "./suites/player.mjs";
import { USUAL } from "./support/server.mjs";
import { onOneServer } from "./support/suite.mjs";

const small = onOneServer({ ...USUAL, "max-payload": 100, "tell-headers": true }, { bystanders: false });
registerSuite({ suite: "engine.io-client", cases, elsewhere, total: 83, verbs, servers: { small } });
