// The page of the example `typed`: its compiler knows the names, the arguments and the answers of all events. Here the
// compiler is given `events.ts` as it is written by the server's program.
import { io, type Socket } from "socket.io-client";
import type { ClientToServerEvents, ServerToClientEvents } from "./events.js";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();

socket.on("said", (who, message) => show(`${who} in ${message.roomName}: ${message.text}`));

async function say(text: string): Promise<void> {
  const heard: number = await socket.emitWithAck("say", { roomName: "tea", text });
  show(`${heard} heard it`);
}

function show(line: string): void {
  document.body.append(line, document.createElement("br"));
}

void say("hello");
