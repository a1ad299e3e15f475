// A process of ours without a server beside the nodes of others on Redis.
import { startRedis } from "../support/cluster.mjs";
import { anEmitterReaches } from "../support/emitter.mjs";

const redis = (dialect, scheme = "redis:") => ({
  start: startRedis,
  address: (bus) => bus.url.replace("redis:", scheme),
  dialect,
  tells: !dialect.includes("python"),
});

anEmitterReaches(["ours classic", "js classic"], redis("classic"));
anEmitterReaches(["ours sharded", "js sharded"], redis("cluster", "redis+sharded:"));
anEmitterReaches(["ours streams", "js streams"], redis("cluster", "redis+streams:"));
anEmitterReaches(["ours python", "py async", "py sync"], redis("python"));
anEmitterReaches(["ours bridge", "js classic", "py async", "ours bridge"], redis("python,classic"));
anEmitterReaches(["ours alone", "ours alone"], redis("cluster"));
