// Writes ../protocol/tests/vectors/msgpack-packets.json: what npm's parser and Python's make of each packet.
//
//   node msgpack/vectors.mjs
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Encoder } from "socket.io-msgpack-parser";
import { PACKETS } from "./packets.mjs";

const here = fileURLToPath(new URL("..", import.meta.url));
const notepack = createRequire(import.meta.resolve("socket.io-msgpack-parser"))("notepack.io");

/** The value that a packet of the list means. */
function value(written) {
  if (Array.isArray(written)) return written.map(value);
  if (written === null || typeof written !== "object") return written;
  if ("$bin" in written) return Buffer.from(written.$bin, "hex");
  if ("$buffer" in written) return new Uint8Array(Buffer.from(written.$buffer, "hex")).buffer;
  if ("$date" in written) return new Date(written.$date);
  if ("$undefined" in written) return undefined;
  if ("$number" in written) return Number(written.$number);
  return Object.fromEntries(Object.entries(written).map(([key, member]) => [key, value(member)]));
}

const npm = PACKETS.map((packet) => ({
  by: "npm",
  packet,
  // A client's CONNECT without auth has the member, and it is undefined.
  hex: new Encoder().encode({ ...value(packet), data: value(packet.data) })[0].toString("hex"),
  data: packet.data === undefined ? undefined : notepack.encode(value(packet.data)).toString("hex"),
}));
const isJavaScripts = (packet) => /\$date|\$undefined|\$buffer/.test(JSON.stringify(packet));
const input = JSON.stringify(PACKETS.filter((packet) => !isJavaScripts(packet)));
const output = execFileSync(`${here}.venv/bin/python`, ["msgpack/vectors.py"], { cwd: here, input, maxBuffer: 1 << 26 });
const vectors = [...npm, ...JSON.parse(output)].map((vector) => JSON.stringify(vector));
writeFileSync(`${here}../protocol/tests/vectors/msgpack-packets.json`, `[\n${vectors.join(",\n")}\n]\n`);
