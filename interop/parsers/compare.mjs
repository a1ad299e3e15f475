// Holds our verdict on a vector to the reference's. What differs must be a row of docs/deviations.md.
import { isDeepStrictEqual } from "node:util";
import { decode } from "./reference.mjs";

const same = isDeepStrictEqual;
const hasPlaceholder = (text) => /_placeholder|\\u005fplaceholder/.test(text);
const afterHeader = (text) => {
  let rest = text.slice(1);
  if (/^[56]/.test(text)) rest = rest.slice(rest.indexOf("-") + 1);
  if (rest.startsWith("/")) rest = rest.includes(",") ? rest.slice(rest.indexOf(",") + 1) : "";
  return rest;
};
/** Whether somebody who parses the JSON, and looks into no placeholder, finds one that names nothing. */
function seesBadPlaceholder(text, count) {
  const isBad = (data) => {
    if (data === null || typeof data !== "object") return false;
    if (data._placeholder === true) return !(typeof data.num === "number" && data.num >= 0 && data.num < count);
    return Object.values(data).some(isBad);
  };
  return isBad(JSON.parse(afterHeader(text).replace(/^\d*/, "")));
}
const isNumeric = (character) => character !== "" && Number(character) == character;

/**
 * The differences that are on purpose. `row` is how the row of the table begins, `when` whether this is a case of it.
 */
export const DEVIATIONS = [
  {
    row: "POST with garbage for base64",
    when: (vector, ours) => ["packet", "payload"].includes(vector.kind) && lastError(ours) === "Base64",
  },
  {
    row: "POST that is not UTF-8",
    when: (vector, ours) => vector.kind === "payload" && lastError(ours) === "Utf8",
  },
  {
    row: "an id above 18446744073709551615",
    when: (vector, ours, theirs) => vector.kind === "socket" && ours.error === "IdOverflow" && !theirs.error,
  },
  {
    row: "`42 [\"e\"]` (a blank where an id would be)",
    when: (vector, ours, theirs) =>
      vector.kind === "socket" && ours.id === null && theirs.packet?.id === 0 && /^\s/.test(afterHeader(vector.text)),
  },
  {
    row: "`42 1[\"e\"]`",
    when: (vector, ours, theirs) => {
      if (vector.kind !== "socket" || !ours.error || theirs.error) return false;
      if (/^\s/.test(vector.text)) return true;
      const rest = afterHeader(vector.text);
      let end = 0;
      while (end < rest.length && isNumeric(rest[end])) end++;
      return /\s/.test(rest.slice(0, end)) || !/^\d*$/.test(rest.slice(0, end));
    },
  },
  {
    row: "`451.0-[..]`",
    when: (vector, ours, theirs) =>
      vector.kind === "socket" && ours.error === "IllegalAttachments" && !theirs.error && !/^[56]\d+-/.test(vector.text),
  },
  {
    row: "a placeholder whose `num` is no whole number",
    when: (vector, ours, theirs) =>
      ours.error === "IllegalPlaceholder" && !theirs.error && /"n(u|\\u0075)m"\s*:\s*-?\d+(\.\d*[1-9]|[eE]-)/.test(vector.text),
  },
  {
    row: "a placeholder whose `num` is negative or too large",
    when: (vector, ours, theirs) =>
      ours.error === "IllegalPlaceholder" && theirs.waiting === true && hasPlaceholder(vector.text),
  },
  {
    row: "a placeholder that names nothing in a place where nobody sees it",
    when: (vector, ours, theirs) =>
      ours.error === "IllegalPlaceholder" && !theirs.error && !seesBadPlaceholder(vector.text, vector.attachments.length),
  },
  {
    row: "half of a surrogate pair in an event's name",
    when: (vector, ours, theirs) => {
      if (vector.kind !== "socket" || !theirs.packet) return false;
      if (typeof theirs.packet.data?.[0] === "string" && ours.event?.includes("\ufffd")) return true;
      return [0, 4].includes(ours.type) && /\\ufffd|\ufffd/.test(ours.data);
    },
  },
  {
    row: "a number that is not an integer as an event's name",
    when: (vector, ours, theirs) =>
      vector.kind === "socket" && ours.error === "InvalidPayload" && typeof theirs.packet?.data?.[0] === "number",
  },
  {
    row: "an integer above 9007199254740991 as an event's name",
    when: (vector, ours, theirs) =>
      typeof theirs.packet?.data?.[0] === "number" && /^-?\d+$/.test(ours.event) && !Number.isSafeInteger(theirs.packet.data[0]),
  },
  {
    row: "sent: an object whose `_placeholder` is `true`, beside attachments",
    when: (vector, ours) => vector.kind === "encode" && ours.error === "Placeholder",
  },
  {
    row: "sent: a member called `__proto__`, beside attachments",
    when: (vector, ours, theirs) =>
      vector.kind === "encode" && theirs.attachments.length > 0 && JSON.stringify(vector.data).includes('"__proto__":'),
  },
];

const lastError = (verdict) => verdict.error ?? verdict.packets?.at(-1)?.error;

/** Null if both say the same; else what is different. */
export function difference(vector, ours, theirs) {
  switch (vector.kind) {
    case "packet": return engine(ours, theirs);
    case "payload": {
      if (ours.packets.length !== theirs.packets.length) return "another number of packets";
      return ours.packets.map((packet, n) => engine(packet, theirs.packets[n])).find((found) => found !== null) ?? null;
    }
    case "socket": return socket(vector, ours, theirs);
    case "encode": return encoded(ours, theirs);
    default: return same(ours, theirs) ? null : "other bytes";
  }
}

function engine(ours, theirs) {
  if (Boolean(ours.error) !== Boolean(theirs.error)) return "another verdict";
  if (ours.error) return null;
  if (ours.type !== theirs.type) return "another type";
  // What stands behind these is dropped: neither side ever reads it.
  if (["close", "upgrade", "noop"].includes(ours.type)) return null;
  if (ours.hex !== theirs.hex) return "other bytes";
  return (ours.data ?? "") === (theirs.data ?? "") || ours.hex !== undefined ? null : "other data";
}

function socket(vector, ours, theirs) {
  if (Boolean(ours.error) !== Boolean(theirs.error)) return "another verdict";
  if (ours.error) return null;
  if (Boolean(ours.waiting) !== Boolean(theirs.waiting)) return "one of them waits";
  if (ours.waiting) return null;
  const { packet } = theirs;
  // The reference calls a binary packet an ordinary one once it is complete.
  if ((ours.type >= 5 ? ours.type - 3 : ours.type) !== packet.type) return "another type";
  if (ours.nsp !== packet.nsp) return "another namespace";
  if ((ours.id === null ? undefined : Number(ours.id)) !== packet.id) return "another id";
  if (![2, 3].includes(packet.type)) {
    const data = ours.data === null ? undefined : JSON.parse(ours.data);
    return same(data, packet.data) ? null : "other data";
  }
  const list = packet.data === undefined ? [] : [...packet.data];
  if (packet.type === 2) {
    const name = list.shift();
    const event = name === undefined ? null : String(name);
    if (ours.event !== event) return "another event";
  }
  if (ours.args.length !== list.length) return "another number of arguments";
  if (vector.attachments.length === 0) {
    const args = ours.args.map((raw) => JSON.parse(raw));
    if (!same(args, list)) return "other arguments";
  }
  const relayed = decode(ours.relay.text, ours.relay.attachments);
  if (!same(relayed.packet?.data, list)) return "other arguments, when they are sent on";
  return null;
}

function encoded(ours, theirs) {
  if (ours.error) return "refused";
  if (!same(ours.attachments, theirs.attachments)) return "other attachments";
  if (ours.text === theirs.text) return null;
  // JSON has many ways to write a number: 1e21 here is 1e+21 there. All else must be the same bytes.
  const plain = (text) => text.replace(/-?\d+(\.\d+)?([eE][+-]?\d+)?/g, (number) => String(Number(number)));
  return plain(ours.text) === plain(theirs.text) ? null : "other bytes";
}
