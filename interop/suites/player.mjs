// The player of the cases of the clients' own suites. A case is data: a list of steps about things with names.
//
// A thing is a client, a manager or an engine. Its events are kept in a log, in the order in which they come:
//
//   ["do", "a.timeout(50).emit", "ack", 1, ACK]  calls a method of a thing; ACK stands for a callback, whose arguments are
//                                                the event "ack" of that thing; so is a promise "resolved" or "rejected"
//   ["set", "a.io.engine.binaryType", value]     sets a property
//   ["is", "a.connected", true]                  compares a property, or what a method returns; ["until", ...] waits for it
//   ["keep", "old", "a.io.engine"]               gives a name to a value
//   ["watch", "e", "a.io.engine", "packet", ...] gives a name to an emitter, and logs these events of it
//   ["hear", "a", "echo", ...args]               waits for the next such event, which has to have these arguments
//   ["heard", "a", "echo", 1]                    compares the number of such events so far
//   ["order", ["a", "echo"], ["a", "disconnect"]]  compares the order of the first of each
//   ["upon", "a", "connect", ...steps]           takes these steps, which must not wait, inside the next such event
//   ["given", ...args]                           among those steps: compares the arguments of that event
//   ["reply", "a", "question", ...args]          acknowledges each such event with these arguments
//   ["idle", 50]                                 waits until all timers of the client that are due within so many ms have
//                                                run: a later timer of the same process never runs before an earlier one
//   ["hold"], ["release"]                        holds back whatever the server sends, and lets it go
//
// An expected value may be a RegExp, or a function that returns whether a value is right: see `part`, `failure`, `same`.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Road } from "./road.mjs";
import { until, within } from "../support/wait.mjs";

/** In arguments: a callback. */
export const ACK = Symbol("acknowledgement");
/** An object that has these properties, whatever else it has. */
export const part = (properties) => (value) =>
  Object.entries(properties).every(([key, expected]) => matches(value?.[key], expected));
/** An `Error` with that message. */
export const failure = (message) => (value) => value instanceof Error && (message === undefined || value.message === message);
/** The value at that path. */
export const same = (path) => (value, play) => value !== undefined && value === play.at(path);
/** Bytes in an ArrayBuffer. */
export const arrayBuffer = (...bytes) => (value) =>
  value instanceof ArrayBuffer && Buffer.from(value).equals(Buffer.from(bytes));

function matches(actual, expected, play) {
  if (expected instanceof RegExp) return expected.test(actual);
  if (typeof expected === "function") return expected(actual, play) === true;
  try {
    assert.deepEqual(actual, expected);
    return true;
  } catch {
    return false;
  }
}

/** A case at work. Its things are made by the steps that `verbs` adds. */
class Play {
  constructor(servers, verbs) {
    Object.assign(this, { servers, verbs, things: new Map(), log: [], taken: new Set(), roads: [], ends: [] });
    this.failures = [];
  }

  run(step) {
    const [verb, ...args] = step;
    const own = this.verbs[verb];
    if (own) return own(this, ...args);
    if (typeof this[`_${verb}`] !== "function") assert.fail(`no step is called ${verb}`);
    return this[`_${verb}`](...args);
  }

  /** Names a thing that is to be ended with the case. */
  add(name, thing, end) {
    this.things.set(name, thing);
    if (end) this.ends.push(end);
    return thing;
  }

  record(name, emitter, events) {
    for (const event of events) emitter.on(event, (...args) => this.note(name, event, args));
  }

  note(name, event, args) {
    this.log.push({ name, event, args });
    this.wake?.();
  }

  /** The address of a server, or of a road of its own to it. */
  async url(way, server) {
    if (way === "direct") return server.url;
    const road = await Road.to(server.port);
    this.roads.push(road);
    if (way === "held") road.hold();
    return road.url;
  }

  /** Follows a path, such as `a.timeout(50).emit`, to its last name; returns what that is a name in, and it. */
  follow(path) {
    const [first, ...rest] = path.split(".");
    if (rest.length === 0) return [Object.fromEntries(this.things), first];
    let value = this.things.get(first);
    const last = rest.pop();
    for (const name of rest) {
      const call = /^(\w+)\((.*)\)$/.exec(name);
      value = call ? value[call[1]](...JSON.parse(`[${call[2]}]`)) : value[name];
    }
    return [value, last];
  }

  at(path) {
    const [holder, last] = this.follow(path);
    return last.endsWith("()") ? holder[last.slice(0, -2)]() : holder[last];
  }

  _do(path, ...args) {
    const name = path.split(".")[0];
    const [holder, method] = this.follow(path);
    const given = args.map((arg) => (arg === ACK ? (...answer) => this.note(name, "ack", answer) : arg));
    const result = holder[method](...given);
    // A builder and an emitter return themselves; only promises are waited for.
    if (result instanceof Promise) {
      result.then((value) => this.note(name, "resolved", [value]), (error) => this.note(name, "rejected", [error]));
    }
  }

  _set(path, value) {
    const [holder, last] = this.follow(path);
    holder[last] = value;
  }

  _is(path, expected) {
    const value = this.at(path);
    assert.ok(matches(value, expected, this), `${path} is ${show(value)} and not ${show(expected)}`);
  }

  _until(path, expected) {
    return until(() => matches(this.at(path), expected, this), `${path} is ${show(expected)}`);
  }

  _keep(name, path) {
    this.things.set(name, this.at(path));
  }

  _watch(name, path, ...events) {
    this.record(name, this.things.set(name, this.at(path)).get(name), events);
  }

  async _hear(name, event, ...expected) {
    const what = `${event} of ${name}`;
    const entry = await within(this.next(name, event), what).catch((error) => {
      throw new Error(`${error.message}; there were ${show(this.log.map((it) => [it.name, it.event, ...it.args]))}`);
    });
    for (const [i, value] of expected.entries()) {
      assert.ok(matches(entry.args[i], value, this), `${what} has ${show(entry.args)} and not ${show(expected)}`);
    }
  }

  async next(name, event) {
    for (;;) {
      const entry = this.log.find((it) => it.name === name && it.event === event && !this.taken.has(it));
      if (entry) {
        this.taken.add(entry);
        return entry;
      }
      await new Promise((resolve) => (this.wake = resolve));
    }
  }

  _heard(name, event, count) {
    const heard = this.log.filter((it) => it.name === name && it.event === event);
    assert.equal(heard.length, count, `${event} of ${name}: ${show(heard.map((it) => it.args))}`);
  }

  _order(...events) {
    const places = events.map(([name, event]) => this.log.findIndex((it) => it.name === name && it.event === event));
    assert.ok(!places.includes(-1), show(events));
    assert.deepEqual(places, places.toSorted((one, other) => one - other), show(events));
  }

  _upon(name, event, ...steps) {
    this.things.get(name).once(event, (...args) => {
      this.args = args;
      try {
        for (const step of steps) this.run(step);
      } catch (error) {
        this.failures.push(error);
      }
    });
  }

  _given(...expected) {
    for (const [i, value] of expected.entries()) {
      assert.ok(matches(this.args[i], value, this), `${show(this.args)} is not ${show(expected)}`);
    }
  }

  _reply(name, event, ...answer) {
    this.things.get(name).on(event, (...args) => args.at(-1)(...answer));
  }

  _idle(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  _hold() {
    for (const road of this.roads) road.hold();
  }

  _release() {
    for (const road of this.roads) road.release();
  }

  /** Ends all things. A client that is cut off in the middle of an upgrade would wait for a ping that never comes. */
  async end() {
    for (const end of this.ends) end();
    this._release();
    const engines = [...this.things.values()].map((it) => it?.engine ?? it).filter((it) => it?.readyState);
    const isOver = ({ readyState }) => readyState === "closed";
    try {
      await until(() => engines.every(isOver), "all clients have closed");
    } finally {
      for (const road of this.roads) road.close();
    }
    if (this.failures.length > 0) throw this.failures[0];
  }
}

function show(value) {
  const seen = new Set();
  return JSON.stringify(value, (_key, it) => {
    if (it instanceof Error) return `Error: ${it.message}`;
    if (it instanceof RegExp || typeof it === "function") return String(it);
    if (typeof it !== "object" || it === null) return it;
    if (seen.has(it) || !(Array.isArray(it) || Object.getPrototypeOf(it) === Object.prototype)) return `a ${it.constructor?.name}`;
    seen.add(it);
    return it;
  });
}

/**
 * Registers the cases of a suite, all of which run beside each other, and a test of the figures: `elsewhere` has the other
 * cases, each with what tests it or why nothing does.
 */
export function registerSuite({ suite, cases, elsewhere, total, verbs, servers }) {
  describe(suite, { concurrency: true }, () => {
    for (const [group, members] of Object.entries(cases)) {
      for (const [name, steps] of Object.entries(members)) {
        test(`${group}: ${name}`, async () => {
          const play = new Play(servers, verbs);
          try {
            for (const step of steps) await play.run(step);
          } catch (error) {
            await play.end().catch(() => {});
            throw play.failures[0] ?? error;
          }
          await play.end();
        });
      }
    }
  });
  test(`${suite}: each of its ${total} cases is here or accounted for`, () => {
    const here = Object.values(cases).flatMap((members) => Object.keys(members)).length;
    const there = Object.values(elsewhere).flatMap((names) => names).length;
    assert.equal(here + there, total);
  });
}
