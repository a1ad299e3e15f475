// Vectors for the parsers, the same ones for the same seed: whole packets, packets with something broken in them, and
// what only looks like one.

/** A small generator of numbers (mulberry32); `Math.random` has no seed. */
export function numbers(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (end) => Math.floor(next() * end);
  const pick = (all) => all[below(all.length)];
  const chance = (probability) => next() < probability;
  const many = (end, make) => Array.from({ length: below(end) }, make);
  return { next, below, pick, chance, many };
}

export const hex = (bytes) => Buffer.from(bytes).toString("hex");

const CHARACTERS = [
  ..."abcxyz019 /,-_?%&=\"\\[]{}:'.+e", "\n", "\t", "\u0000", "\u0001", "\u001e", "\u001f", "\u007f", "é", "ß", "\u00a0",
  "\u2028", "\ufeff", "\uffff", "😀", "𝄞", "١",
];
const EVENTS = ["e", "message", "error", "connection", "", "__proto__", "constructor", "a\"b", "ä😀", "1", "toString"];
const RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
const NUMBERS = [
  0, 1, -1, 7, 255, 65536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 0.5, -1.25, 1e-7, 1e21, 123456789.125,
  5e-324, 1.7976931348623157e308, 1e15, 0.1,
];
// Numbers as no encoder writes them, though JSON has them.
const ODD_NUMBERS = ["1.0", "-0", "0.0", "1e0", "1E+2", "1e400", "-1e400", "12345678901234567890", "1e-400", "100e-2"];
const ODD_STRINGS = ['"\\u0065"', '"\\ud83d"', '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\/"', '"\\u0000"', '"\\u001E"'];
const BLANKS = ["", "", "", "", " ", "\t", "\r\n", "  "];

export function* vectors(seed, count) {
  const random = numbers(seed);
  const { below, pick, chance, many } = random;
  const bytes = (end) => Uint8Array.from(many(end, () => below(256)));
  const text = (end) => many(end, () => pick(CHARACTERS)).join("");
  const key = () => (chance(0.05) ? pick(["_placeholder", "num", "__proto__", "toJSON", "length"]) : text(4));

  /** A value that an application may send; `binary` with bytes in it. */
  const value = (depth, binary) => {
    const kind = below(depth > 0 ? 10 : 6);
    if (binary && chance(0.25)) return { $bin: hex(bytes(6)) };
    switch (kind) {
      case 0: return null;
      case 1: return chance(0.5);
      case 2: return pick(NUMBERS);
      case 3: return below(1000);
      case 4:
      case 5: return text(8);
      case 6:
      case 7: return many(4, () => value(depth - 1, binary));
      default: return Object.fromEntries(many(4, () => [key(), value(depth - 1, binary)]).filter(([k]) => k !== "toJSON"));
    }
  };
  /** JSON text of any value, as anybody may write it. */
  const json = (depth, attachments) => {
    const blank = () => pick(BLANKS);
    if (attachments > 0 && chance(0.2)) return placeholder(attachments);
    switch (below(depth > 0 ? 10 : 7)) {
      case 0: return pick(["null", "true", "false"]);
      case 1: return JSON.stringify(pick(NUMBERS));
      case 2: return pick(ODD_NUMBERS);
      case 3: return pick(ODD_STRINGS);
      case 4: return JSON.stringify(text(8));
      case 5: return String(below(100));
      case 6: return '"x"';
      case 7:
      case 8: return `[${blank()}${many(4, () => blank() + json(depth - 1, attachments) + blank()).join(",")}]`;
      default: {
        const member = () => `${blank()}${JSON.stringify(key())}${blank()}:${blank()}${json(depth - 1, attachments)}${blank()}`;
        return `{${many(4, member).join(",")}}`;
      }
    }
  };
  const placeholder = (attachments) => {
    const num = chance(0.85)
      ? below(attachments)
      : pick([attachments, -1, "0.5", "1.0", "1e0", "-0", "null", '"0"', "1e400", "[0]", "99999999999999999999"]);
    const extra = chance(0.1) ? `,"x":${json(1, attachments)}` : "";
    return pick([
      `{"_placeholder":true,"num":${num}}`, `{"_placeholder":true,"num":${num}}`, `{"_placeholder":true,"num":${num}}`,
      `{"num":${num},"_placeholder":true}`, `{ "_placeholder" : true , "num" : ${num}${extra} }`,
      `{"_placeholder":true,"num":${num}${extra}}`, `{"_placeholder":true}`, `{"_placeholder":false,"num":${num}}`,
      `{"_placeholder":"true","num":${num}}`, `{"_placeholder":1,"num":${num}}`,
      `{"\\u005fplaceholder":true,"n\\u0075m":${num}}`, `{"_placeholder":true,"num":9,"num":${num}}`,
      `{"_placeholder":true,"num":${num},"_placeholder":false}`,
    ]);
  };
  const namespace = () => (chance(0.5) ? "" : `/${text(6).replaceAll(",", "")}`);
  const id = () =>
    chance(0.5)
      ? ""
      : pick(["0", "1", "12", "007", "9007199254740993", "18446744073709551615", "18446744073709551616", String(below(1e9))]);

  /** A Socket.IO packet as it should be, most of the time. */
  const socketText = () => {
    const type = below(7);
    const binary = type >= 5;
    const attachments = binary ? 1 + below(chance(0.1) ? 12 : 3) : 0;
    const nsp = namespace();
    let header = String(type);
    if (binary) header += `${chance(0.95) ? attachments : pick(["", "0", "01", "1.0", "1e0", " 1", "0x1", "-1", "+1", "١"])}-`;
    header += nsp + (nsp === "" || chance(0.05) ? "" : ",") + id();
    if (chance(0.03)) header += pick([" ", "\t", "\u00a0", "\ufeff", "\n"]);
    let payload;
    if (type === 0) payload = chance(0.4) ? "" : chance(0.9) ? `{"token":${json(2, 0)}}` : json(2, 0);
    else if (type === 1) payload = chance(0.9) ? "" : json(1, 0);
    else if (type === 4) payload = chance(0.8) ? `{"message":${json(1, 0)},"data":${json(2, 0)}}` : json(1, 0);
    else {
      const list = many(4, () => json(3, attachments));
      if (type === 2 || type === 5) {
        const name = chance(0.85)
          ? JSON.stringify(chance(0.9) ? pick(EVENTS) : pick(RESERVED))
          : chance(0.5) ? pick(ODD_STRINGS) : json(1, 0);
        if (chance(0.97)) list.unshift(name);
      }
      payload = chance(0.03) ? "" : `[${list.map((item) => pick(BLANKS) + item + pick(BLANKS)).join(",")}]`;
    }
    return header + payload + (chance(0.05) ? pick([" ", "\n", "x", "]", "\u00a0"]) : "");
  };
  const TOKENS = [
    "0", "1", "2", "3", "4", "5", "6", "51-", "-", "/", ",", "[", "]", "{", "}", '"', "\\", ":", " ", "\u00a0", "true", "null",
    "1e9", '"e"', '"e",', '"_placeholder":true', '"num":0', '{"_placeholder":true,"num":0}', '"connect"', "\\u", "d83d", "/a,", ".",
  ];
  /** The same with something broken. */
  const broken = (whole) => {
    let characters = [...whole];
    for (let times = 1 + below(3); times > 0; times--) {
      const at = below(characters.length + 1);
      switch (below(5)) {
        case 0: characters.splice(at, 1 + below(3)); break;
        case 1: characters.splice(at, 0, pick(CHARACTERS)); break;
        case 2: characters.splice(at, 1, pick(TOKENS)); break;
        case 3: characters = characters.slice(0, at); break;
        default: characters.splice(at, 0, ...characters.slice(at, at + 1 + below(8)));
      }
    }
    return characters.join("");
  };
  const socket = () => {
    const way = below(10);
    const whole = way < 5 ? socketText() : way < 8 ? broken(socketText()) : many(12, () => pick(TOKENS)).join("");
    // An empty text never reaches the reference's parser: the engine hands on `undefined`.
    const packet = whole === "" ? "2" : whole;
    const announced = Math.min(Number(/^[56](\d+)-/.exec(packet)?.[1] ?? 0), 16);
    const given = chance(0.03) ? below(announced + 1) : announced;
    return { kind: "socket", text: packet, attachments: Array.from({ length: given }, () => hex(bytes(5))) };
  };

  const base64 = () => {
    let encoded = Buffer.from(bytes(10)).toString("base64");
    if (chance(0.3)) encoded = encoded.replaceAll("=", "");
    if (chance(0.2)) encoded = broken(encoded);
    if (chance(0.05)) encoded = encoded.replaceAll("+", "-").replaceAll("/", "_");
    return encoded;
  };
  const packetText = () => {
    switch (below(10)) {
      case 0: return `b${base64()}`;
      case 1: return `b${base64()}`;
      case 2: return pick(["2probe", "3probe", "5", "6", "1", "2", "3", '0{"sid":"x"}', "", "7", "9", "a", "B", "é", "😀"]);
      case 3: return text(6);
      case 4: return `${below(8)}${text(6)}`;
      case 5: return `4${broken(socketText())}`;
      default: return `4${socketText()}`;
    }
  };
  const body = () => many(5, () => packetText().replaceAll("\u001e", chance(0.9) ? "" : "\u001e")).join("\u001e");
  const payload = () => {
    if (!chance(0.1)) return { kind: "payload", text: body() };
    const raw = Buffer.concat([Buffer.from(body()), bytes(4), Buffer.from(body())]);
    return { kind: "payload", hex: hex(raw) };
  };
  const encodePayload = () => ({
    kind: "encode-payload",
    packets: Array.from({ length: 1 + below(4) }, () => (chance(0.5) ? { hex: hex(bytes(12)) } : { text: `4${text(10)}` })),
  });
  const encode = () => {
    const type = pick([0, 1, 2, 2, 2, 2, 3, 3, 4]);
    const nsp = namespace() || "/";
    const binary = chance(0.5);
    const list = many(4, () => value(3, binary));
    const maybe = chance(0.5) ? { id: pick([0, 1, below(1e6), 2 ** 53 - 1]) } : {};
    switch (type) {
      case 0: return { kind: "encode", type, nsp, data: { sid: text(20) } };
      case 1: return { kind: "encode", type, nsp };
      case 2: return { kind: "encode", type, nsp, ...maybe, data: [pick(EVENTS), ...list] };
      case 3: return { kind: "encode", type, nsp, id: below(1000), data: list };
      default: return { kind: "encode", type, nsp, data: { message: text(20), ...(chance(0.5) ? { data: value(2, false) } : {}) } };
    }
  };

  for (let n = 0; n < count; n++) {
    switch (below(10)) {
      case 0: yield { kind: "packet", text: packetText() }; break;
      case 1: yield payload(); break;
      case 2: yield encodePayload(); break;
      case 3:
      case 4: yield encode(); break;
      default: yield socket();
    }
  }
}
