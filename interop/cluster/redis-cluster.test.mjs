// A Redis Cluster of each test's own, by each of its schemes, beside a JavaScript node with npm's adapter and its client for clusters.
import { startRedisCluster } from "../support/brokers.mjs";
import { cluster, isOurs } from "../support/clusters.mjs";

const beside = (scheme, ours, js, more) =>
  cluster(`${scheme}, beside a JavaScript node`, () => startRedisCluster(scheme), [ours, ours, js], more);

beside("redis+sharded+cluster", "ours on a cluster", "js sharded, on a cluster");
beside("redis+cluster", "ours classic, on a cluster", "js classic, on a cluster", {
  dialect: "classic",
  // npm's client gives what it publishes to the next node of the cluster each time.
  inOrder: (from, to) => isOurs(from) || from === to,
});
beside("redis+streams+cluster", "ours on a cluster", "js streams, on a cluster");
