// Sharded pub/sub on a Redis Cluster of the test's own, beside a JavaScript node with npm's adapter and its client for clusters.
import { startRedisCluster } from "../support/brokers.mjs";
import { cluster } from "../support/clusters.mjs";

cluster("a Redis Cluster, beside a JavaScript node", startRedisCluster, [
  "ours sharded, on a cluster",
  "ours sharded, on a cluster",
  "js sharded, on a cluster",
]);
