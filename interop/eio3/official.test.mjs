// The official suite of Engine.IO 3, and what that of Socket.IO asks of packets, for clients of Socket.IO 2.
import { engineSuite, socketSuite } from "../support/official.mjs";
import { CALM, HASTY, LIVELY } from "../support/server.mjs";
import { onOneServer } from "../support/suite.mjs";

const old = (flags) => onOneServer({ ...flags, "allow-eio3": true }, { bystanders: false });
const [calm, lively, hasty] = [old(CALM), old(LIVELY), old(HASTY)];
engineSuite(3, { calm, lively, hasty });
socketSuite(3, { calm });
