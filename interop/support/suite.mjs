// One server for a file of tests, and bystanders that are checked after each.
import { after, afterEach, before } from "node:test";
import { CALM, startConformance } from "./server.mjs";
import { Bystanders } from "./session.mjs";

/**
 * Registers the hooks. The returned object's `server` is there once tests run;
 * after every test three other sessions must still work as before.
 */
export function onOneServer(flags = CALM, { bystanders = true } = {}) {
  const context = { server: undefined };
  let others;
  before(async () => {
    context.server = await startConformance(flags);
    if (bystanders) others = await Bystanders.on(context.server);
  });
  afterEach(async () => {
    if (bystanders) await others.assertUnharmed();
    else context.server.assertAlive();
  });
  after(async () => {
    if (others) await others.leave();
    await context.server?.stop();
  });
  return context;
}
