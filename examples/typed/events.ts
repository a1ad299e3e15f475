// Made by sansocket from the events of the server. Do not edit.

export type Message = { roomName: string, text: string, };

export interface ClientToServerEvents {
  "say": (payload: Message, ack: (answer: number) => void) => void;
}

export interface ServerToClientEvents {
  "said": (...args: [string, Message]) => void;
}
