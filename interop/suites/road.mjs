// A way to a server that can hold back what the server sends: to the client it is a server that does not answer.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Road {
  static async to(port) {
    const road = new Road();
    Object.assign(road, { open: new Set(), fars: new Set(), isHeld: false });
    road.listener = createServer((near) => road.#join(near, connect(port, "127.0.0.1"))).listen(0, "127.0.0.1");
    await once(road.listener, "listening");
    road.url = `http://127.0.0.1:${road.listener.address().port}`;
    return road;
  }

  #join(near, far) {
    this.fars.add(far);
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => near.write(data));
    if (this.isHeld) far.pause();
    for (const [one, other] of [[near, far], [far, near]]) {
      this.open.add(one);
      one.on("error", () => {}).on("close", () => {
        this.open.delete(one);
        this.fars.delete(one);
        other.destroy();
      });
    }
  }

  hold() {
    this.isHeld = true;
    for (const far of this.fars) far.pause();
  }

  release() {
    this.isHeld = false;
    for (const far of this.fars) far.resume();
  }

  close() {
    for (const socket of this.open) socket.destroy();
    this.listener.close();
  }
}
