// Our codecs against the reference's parsers, vector by vector: the same verdict, the same value, the same bytes, except
// for the rows of docs/deviations.md.
//
//   node --test parsers.test.mjs
//   SEED=7 VECTORS=1000000 node --test parsers.test.mjs
//   WRITE_VECTORS=1 node --test parsers.test.mjs      writes the files of ../protocol/tests/vectors anew
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DEVIATIONS, difference } from "./parsers/compare.mjs";
import { vectors } from "./parsers/generate.mjs";
import { reference } from "./parsers/reference.mjs";
import { LISTED, Selection } from "./parsers/selection.mjs";

const SEED = Number(process.env.SEED ?? 1);
const VECTORS = Number(process.env.VECTORS ?? 120_000);
const workspace = fileURLToPath(new URL("..", import.meta.url));

function verdicts() {
  const command = process.env.SANSOCKET_VERDICTS;
  return command
    ? spawn(command, { stdio: ["pipe", "pipe", "inherit"] })
    : spawn("cargo", ["run", "-q", "-p", "sansocket-protocol", "--example", "verdicts"], {
        cwd: workspace,
        stdio: ["pipe", "pipe", "inherit"],
      });
}

test("every deviation is a row of the table", () => {
  const table = readFileSync(`${workspace}/docs/deviations.md`, "utf8");
  for (const { row } of DEVIATIONS) assert.ok(table.includes(`| ${row}`), `no row begins with ${row}`);
});

test(`${VECTORS} vectors read and write as the reference's do (seed ${SEED})`, async () => {
  const all = [...LISTED, ...vectors(SEED, VECTORS)];
  const child = verdicts();
  const exited = new Promise((resolve) => child.on("close", resolve));
  const write = async () => {
    for (let at = 0; at < all.length; at += 1000) {
      const lines = all.slice(at, at + 1000).map((vector) => `${JSON.stringify(vector)}\n`);
      if (!child.stdin.write(lines.join(""))) await new Promise((resolve) => child.stdin.once("drain", resolve));
    }
    child.stdin.end();
  };
  const writing = write();
  const found = new Map();
  const rows = new Map();
  const counts = { refused: 0, accepted: 0 };
  const selection = new Selection();
  let n = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const vector = all[n++];
    const ours = JSON.parse(line);
    const theirs = reference(vector);
    const what = difference(vector, ours, theirs);
    const deviation = what === null ? undefined : DEVIATIONS.find(({ when }) => when(vector, ours, theirs));
    counts[theirs.error || theirs.packets?.at(-1)?.error ? "refused" : "accepted"]++;
    if (deviation) rows.set(deviation.row, (rows.get(deviation.row) ?? 0) + 1);
    else if (what !== null) {
      const key = `${vector.kind}: ${what}`;
      const entry = found.get(key) ?? { count: 0, shortest: null };
      entry.count++;
      const size = JSON.stringify(vector).length;
      if (!entry.shortest || size < entry.size) Object.assign(entry, { shortest: { vector, ours, theirs }, size });
      found.set(key, entry);
    }
    if (what === null || deviation) selection.offer(vector, ours, theirs, deviation?.row, n <= LISTED.length);
  }
  await writing;
  assert.equal(await exited, 0, "the program that says our verdicts failed");
  assert.equal(n, all.length, "not every vector got a verdict");
  console.log(`${n} vectors: the reference takes ${counts.accepted} and refuses ${counts.refused}`);
  for (const [row, count] of rows) console.log(`  ${String(count).padStart(6)} on purpose: ${row}`);
  for (const [key, { count, shortest }] of found) {
    console.log(`  ${String(count).padStart(6)} NOT EXPLAINED, ${key}; the shortest:\n${JSON.stringify(shortest, null, 2)}`);
  }
  if (process.env.WRITE_VECTORS) selection.write(`${workspace}/protocol/tests/vectors`);
  assert.equal(found.size, 0, "differences that no row of docs/deviations.md explains");
  // A row that is never met is not tested.
  const unmet = DEVIATIONS.filter(({ row }) => !rows.has(row)).map(({ row }) => row);
  if (VECTORS >= 100_000) assert.deepEqual(unmet, [], "deviations that no vector met");
});
