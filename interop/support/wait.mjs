// Waiting for conditions instead of sleeping.

/** Milliseconds after which what has not come is taken not to come: a guard for tests that hang, on a busy machine too. */
const PATIENCE = 30_000;

/** Rejects when `promise` takes longer than `ms`; says what was awaited. */
export function within(promise, what, ms = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Calls `check` until it returns something truthy. */
export async function until(check, what, ms = PATIENCE) {
  const deadline = Date.now() + ms;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not so within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Items that arrive at any time, taken in order by `next()`. */
export class Inbox {
  #items = [];
  #takers = [];

  push(item) {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  next(what = "item", ms) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    let taker;
    const item = new Promise((resolve) => this.#takers.push((taker = resolve)));
    return within(item, what, ms).catch((error) => {
      this.#takers = this.#takers.filter((other) => other !== taker);
      throw error;
    });
  }

  get size() {
    return this.#items.length;
  }
}

/** Lets a millisecond pass, for senders that must not flood. */
export const pace = () => new Promise((resolve) => setTimeout(resolve, 1));
