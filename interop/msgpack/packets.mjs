// The packets of the MessagePack vectors. What JSON does not have is {"$bin": hex}, {"$date": milliseconds},
// {"$undefined": true}, {"$number": "NaN"}.
const list = (length, make) => Array.from({ length }, (_, i) => make(i));

// In the order of the alphabet, in which some implementations write them.
const keys = (length) => Object.fromEntries(list(length, (i) => [`k${String(i).padStart(2, "0")}`, i]));

export const PACKETS = [
  { type: 0, nsp: "/" },
  { type: 0, nsp: "/chat", data: { nested: [{ a: "é😀" }], token: "t1" } },
  { type: 0, nsp: "/", data: { sid: "YppZ0qpLAxSNjPD3AAAB" } },
  { type: 1, nsp: "/" },
  { type: 1, nsp: "/admin?x=1" },
  { type: 4, nsp: "/", data: { message: "no" } },
  { type: 4, nsp: "/x", data: { message: "no", data: { code: 42 } } },
  { type: 4, nsp: "/x", data: "Unable to connect" },
  { type: 2, nsp: "/", data: ["hello", 1] },
  { type: 2, nsp: "/admin", id: 12, data: ["hello", { $bin: "010203" }] },
  { type: 2, nsp: "/", data: ["bare"] },
  { type: 2, nsp: "/", data: [5, "an integer for a name"] },
  { type: 2, nsp: "/", id: 0, data: ["", null, true, false] },
  { type: 3, nsp: "/", id: 0, data: [] },
  { type: 3, nsp: "/", id: 4294967296, data: ["x", [1, [2, [3]]], {}] },
  { type: 2, nsp: "/", data: ["whole", 0, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991] },
  { type: 2, nsp: "/", data: ["below", -1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991] },
  { type: 2, nsp: "/", data: ["fractions", 0.5, -1.25, 1e-300, 0.1, { $number: "NaN" }, { $number: "Infinity" }, { $number: "-Infinity" }] },
  { type: 2, nsp: "/", data: ["texts", "", "é", "😀", "\u0000\u001e", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256)] },
  { type: 2, nsp: "/", data: ["bytes", { $bin: "" }, { deep: [{ $bin: "00ff" }] }, { $bin: "07".repeat(256) }] },
  { type: 2, nsp: "/", data: ["lists", [], list(15, (i) => i), list(16, (i) => i), list(300, (i) => i % 10)] },
  { type: 2, nsp: "/", data: ["maps", {}, keys(15), keys(16)] },
  { type: 2, nsp: "/", data: list(40, (i) => (i ? i : "many")) },
  { type: 2, nsp: "/", data: ["looks like a placeholder", { _placeholder: true, num: 0 }] },
  { type: 2, nsp: "/", data: ["dates", { $date: 0 }, { $date: 1000 }, { $date: -1 }, { $date: 1700000000123 }, { $date: 8640000000000000 }] },
  { type: 2, nsp: "/", data: ["undefined", { $undefined: true }, { a: { $undefined: true }, b: null }, 1] },
  { type: 2, nsp: "/", data: ["buffers", { $buffer: "010203" }, { $buffer: "0102030405060708" }] },
];
