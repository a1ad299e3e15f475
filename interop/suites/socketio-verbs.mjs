// The steps of socket.io-client's suite that player.mjs does not have.
import { io, Manager } from "socket.io-client";

/** The settings of each client: a quick reconnection, as in the suite, and a manager of its own. */
const SETTINGS = { forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 100 };
const MANAGER_EVENTS = [
  "open",
  "error",
  "close",
  "reconnect",
  "reconnect_attempt",
  "reconnect_error",
  "reconnect_failed",
];

function logged(play, name, socket) {
  play.add(name, socket, () => socket.disconnect());
  socket.onAny((event, ...args) => play.note(name, event, args));
  play.record(name, socket, ["connect", "connect_error", "disconnect"]);
}

function managed(play, name, manager) {
  play.add(name, manager, () => manager._close());
  play.record(name, manager, MANAGER_EVENTS);
}

export const verbs = {
  /** `["dial", "a", "/custom", {way: "held"}]`: a client, with its manager as `a.io`. */
  async dial(play, name, nsp = "/", { way = "direct", to = "plain", ...options } = {}) {
    const url = await play.url(way, play.servers[to].server);
    dialled(play, name, url + nsp, options);
  },
  /** `["dial both", "a", "/", {}, "b", "/custom", {}]`: two clients on one road of their own, by the cache of managers. */
  async "dial both"(play, one, nsp, options, other, otherNsp, otherOptions) {
    const url = await play.url("own", play.servers.plain.server);
    dialled(play, one, url + nsp, { forceNew: undefined, ...options });
    dialled(play, other, url + otherNsp, { forceNew: undefined, ...otherOptions });
  },
  async manager(play, name, { way = "direct", ...options } = {}) {
    managed(play, name, new Manager(await play.url(way, play.servers.plain.server), { ...SETTINGS, ...options }));
  },
  /** `["socket", "a", "m", "/custom"]`: a client of a manager. One that is known already gets a second name. */
  socket(play, name, manager, nsp) {
    const socket = play.at(manager).socket(nsp);
    if ([...play.things.values()].includes(socket)) play.add(name, socket);
    else logged(play, name, socket);
  },
};

function dialled(play, name, url, options) {
  const socket = io(url, { ...SETTINGS, ...options });
  logged(play, name, socket);
  play.record(`${name}.io`, socket.io, MANAGER_EVENTS);
  play.add(`${name}.io`, socket.io, () => socket.io._close());
}

/** Shows that the server has handled all that `name` has sent, and that `name` has handled what came before the answer. */
export const round = (name, value = "round") => [["do", `${name}.timeout(30000).emitWithAck`, "ack", value], ["hear", name, "resolved", value]];
/** Longer than any reconnection of these clients is put off. */
export const SETTLED = ["idle", 200];
