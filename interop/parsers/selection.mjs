// The compact set of vectors that other implementations may use: protocol/tests/vectors.
import { mkdirSync, writeFileSync } from "node:fs";

const socket = (text, ...attachments) => ({ kind: "socket", text, attachments });

/** Vectors that must be among them, whatever the seed. */
export const LISTED = [
  ...["0", '0{"token":"t"}', '0/admin,{"token":"t"}', "0/admin", "0/admin,", "1", "1/admin,", '2["e"]', '2["e",1,"x",{"a":[]}]',
    '2/chat,12["e",1]', '27["e"]', "37[]", '3/chat,12["done"]', '4{"message":"no"}', '4/x,"no"', "2", "3", "4", "12", "0/",
    '2["connect"]', '2["disconnecting"]', '2["\\u0063onnect"]', "2[]", "2{}", "2[null]", "2[1,2]", "0[]", "1{}", "7", "a",
    '5["e"]', '50-["e"]', '511-["e"]', '51.0-["e"]', '5-1-["e"]', '2["e",]', '2["e"]x', '2 ["e"]', '2 1["e"]', '21 ["e"]',
    '218446744073709551616["e"]', '218446744073709551615["e"]', "2[\"\\ud83d\",1]", '2\u00a0["e"]',
    '2["e","\\ud83d"]', '2["e",1e400]', " {}", ' 2["e"]',
  ].map((text) => socket(text)),
  socket('51-["e",{"_placeholder":true,"num":0}]', "010203"),
  socket('52-/chat,9["e",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]', "01", "02"),
  socket('61-7[{"_placeholder":true,"num":0}]', ""),
  socket('51-["e",{"_placeholder":true,"num":1}]', "01"),
  socket('51-["e",{"_placeholder":true,"num":-1}]', "01"),
  socket('51-["e",{"_placeholder":true,"num":1}]'),
  socket('51-["e",{"_placeholder":true,"num":0.5}]', "01"),
  socket('51-["e",{"_placeholder":true,"num":"0"}]', "01"),
  socket('51-["e",{"_placeholder":true}]', "01"),
  socket('51-["e",{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":7}}]', "01"),
  socket('51-["e",{"a":{"_placeholder":true,"num":7},"a":1}]', "01"),
  socket(`51-["e"${',{"_placeholder":true,"num":0}'.repeat(17)}]`, "01"),
  socket('51-["e"]', "01"),
  ...["4", "4hello", "2probe", "3probe", "5", "6", "1", '0{"sid":"x"}', "bAQID", "bAQI=", "bAQI", "bAQJ", "b", "bA", "b!!!",
    "bAQ=", "bAQ===", "b-_-_", "", "7", "é"].map((text) => ({ kind: "packet", text })),
  ...["4a\u001e4b", "bAQIDBA==\u001e4\u001eb\u001e4é😀", "4a\u001e9\u001e4b", "4a\u001e", "\u001e4a", ""].map((text) => ({ kind: "payload", text })),
  { kind: "payload", hex: "34ff" },
  { kind: "encode", type: 2, nsp: "/", data: ["e", { _placeholder: true, num: 0 }, { $bin: "01" }] },
  { kind: "encode", type: 2, nsp: "/", data: ["e", JSON.parse('{"__proto__":{"a":1}}'), { $bin: "01" }] },
];

/** At most so many of each shape, the shortest. */
const OF_EACH = 2;

export class Selection {
  #shapes = new Map();
  #listed = [];

  offer(vector, ours, theirs, row, listed) {
    const entry = { vector, ours, theirs, row, size: JSON.stringify(vector).length };
    if (listed) return void this.#listed.push(entry);
    if (entry.size < 25 || entry.size > 400) return;
    const shape = JSON.stringify([
      vector.kind, ours.error, ours.type, ours.waiting, vector.type, row, vector.kind === "packet" && theirs.error,
      ours.packets?.length, ours.packets?.at(-1)?.error, (ours.nsp ?? vector.nsp) === "/", ours.id === null,
      Math.min(ours.args?.length ?? 0, 2), Math.min(vector.attachments?.length, 2), vector.id === undefined,
    ]);
    const kept = this.#shapes.get(shape) ?? [];
    kept.push(entry);
    // Not the very shortest: those have nothing in them.
    kept.sort((a, b) => Math.abs(a.size - 90) - Math.abs(b.size - 90));
    kept.length = Math.min(kept.length, OF_EACH);
    this.#shapes.set(shape, kept);
  }

  write(folder) {
    const entries = [...this.#listed, ...[...this.#shapes.values()].flat()];
    const of = (...kinds) => entries.filter(({ vector }) => kinds.includes(vector.kind));
    mkdirSync(folder, { recursive: true });
    const file = (name, list) => {
      const lines = list.map((item) => JSON.stringify(item));
      writeFileSync(`${folder}/${name}.json`, `[\n${lines.join(",\n")}\n]\n`);
    };
    file("engine-packets", of("packet").map(({ vector, ours, theirs, row }) => ({
      text: vector.text, ...engine(ours), ...deviation(row, theirs),
    })));
    file("engine-payloads", of("payload").map(({ vector, ours, theirs, row }) => ({
      text: vector.text, hex: vector.hex, packets: ours.packets.map(engine), ...deviation(row, theirs),
    })));
    file("engine-payloads-to-write", of("encode-payload").map(({ vector, ours }) => ({ packets: vector.packets, text: ours.text })));
    file("socket-packets", of("socket").map(({ vector, ours, theirs, row }) => ({
      text: vector.text, attachments: vector.attachments, ...packet(ours, theirs), ...deviation(row, theirs),
    })));
    file("socket-packets-to-write", of("encode").map(({ vector: { kind, ...packet }, ours, theirs, row }) => ({
      packet,
      ...(ours.error ? { verdict: "refuse" } : { verdict: "accept", text: ours.text, attachments: ours.attachments }),
      ...deviation(row, theirs),
    })));
  }
}

/** Which row of docs/deviations.md it is a case of, and what the reference says. */
const deviation = (row, theirs) =>
  row === undefined ? {} : { deviation: row, reference: theirs.error ? "refuse" : theirs.waiting ? "wait" : "accept" };

const engine = (verdict) => (verdict.error ? { verdict: "refuse" } : { verdict: "accept", packet: verdict });

function packet(ours, theirs) {
  if (ours.error) return { verdict: "refuse" };
  if (ours.waiting) return { verdict: "wait" };
  const { type, nsp, id } = ours;
  const value = { type, namespace: nsp, id };
  if (theirs.packet && isPlain(theirs.packet.data)) value.data = marked(theirs.packet.data);
  return { verdict: "accept", packet: value };
}

/** Whether JSON of any language can hold it: no half of a surrogate pair, no number that is none. */
function isPlain(data) {
  if (typeof data === "string") return data.isWellFormed();
  if (typeof data === "number") return Number.isFinite(data);
  if (Buffer.isBuffer(data) || data === null || typeof data !== "object") return true;
  return Object.entries(data).every(([key, value]) => key.isWellFormed() && key !== "__proto__" && isPlain(value));
}

function marked(data) {
  if (Buffer.isBuffer(data)) return { $bin: data.toString("hex") };
  if (Array.isArray(data)) return data.map(marked);
  if (data === null || typeof data !== "object") return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, marked(value)]));
}
