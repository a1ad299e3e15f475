// The official suites of Engine.IO 4 and Socket.IO 5, case by case.
import { engineSuite, socketSuite } from "../support/official.mjs";
import { CALM, HASTY, LIVELY } from "../support/server.mjs";
import { onOneServer } from "../support/suite.mjs";

const calm = onOneServer(CALM, { bystanders: false });
const lively = onOneServer(LIVELY, { bystanders: false });
const hasty = onOneServer(HASTY, { bystanders: false });
engineSuite(4, { calm, lively, hasty });
socketSuite(4, { calm });
