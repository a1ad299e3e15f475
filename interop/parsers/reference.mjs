// What the reference's parsers say about a vector, in the words of the example `verdicts` of the core.
import { decodePacket, decodePayload, encodePayload } from "engine.io-parser";
import { Decoder, Encoder, PacketType } from "socket.io-parser";

export const unhex = (text) => Buffer.from(text, "hex");

const enginePacket = ({ type, data }) => {
  if (type === "error") return { error: data };
  if (Buffer.isBuffer(data)) return { type, hex: data.toString("hex") };
  return data === undefined ? { type } : { type, data };
};

/** Puts real buffers in place of `{"$bin":".."}`. */
const withBuffers = (data) => {
  if (Array.isArray(data)) return data.map(withBuffers);
  if (data === null || typeof data !== "object") return data;
  const keys = Object.keys(data);
  if (keys.length === 1 && keys[0] === "$bin") return unhex(data.$bin);
  // As JSON.parse makes them: `__proto__` is a member like any other.
  const made = {};
  for (const key of keys) {
    Object.defineProperty(made, key, { value: withBuffers(data[key]), enumerable: true, writable: true, configurable: true });
  }
  return made;
};

/** All that comes out of the parser for these frames: packets, or the error. */
export function decode(text, attachments) {
  const decoder = new Decoder();
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet));
  try {
    decoder.add(text);
    for (const attachment of attachments) decoder.add(unhex(attachment));
  } catch (error) {
    return { error: error.message };
  }
  return packets.length === 0 ? { waiting: true } : { packet: packets[0] };
}

export function reference(vector) {
  switch (vector.kind) {
    case "packet": return enginePacket(decodePacket(vector.text, "nodebuffer"));
    case "payload": {
      const body = vector.text ?? unhex(vector.hex).toString();
      return { packets: decodePayload(body, "nodebuffer").map(enginePacket) };
    }
    case "socket": return decode(vector.text, vector.attachments);
    case "encode": {
      const { type, nsp, id, data } = vector;
      const packet = { type, nsp, id, data: withBuffers(data) };
      if (type === PacketType.EVENT || type === PacketType.ACK) packet.data ??= [];
      const [text, ...attachments] = new Encoder().encode(packet);
      return { text, attachments: attachments.map((bytes) => bytes.toString("hex")) };
    }
    case "encode-payload": {
      const packets = vector.packets.map(({ text, hex }) => ({
        type: "message",
        data: text === undefined ? unhex(hex) : text.slice(1),
      }));
      let text;
      encodePayload(packets, (encoded) => (text = encoded));
      return { text };
    }
    default: throw new Error(`there is no kind ${vector.kind}`);
  }
}
