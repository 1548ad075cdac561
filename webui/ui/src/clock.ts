/**
 * What time it is at the server.
 *
 * Ages are told by the server's clock: a small board without a battery may be hours off, and the
 * phone that shows its values isn't. The smallest delay of the last half to whole minute is the
 * truest sight of the difference; two buckets make it forget when a clock is set.
 */

const BUCKET_MS = 30_000;

export class ServerClock {
  #current = Infinity;
  #previous = Infinity;
  #bucketStart = -Infinity;

  /** A live message of server time `server` came at `local`. */
  observe(server: number, local: number): void {
    if (local - this.#bucketStart > BUCKET_MS) {
      const fresh = local - this.#bucketStart < 2 * BUCKET_MS;
      this.#previous = fresh ? this.#current : Infinity;
      this.#current = Infinity;
      this.#bucketStart = local;
    }
    this.#current = Math.min(this.#current, local - server);
  }

  /** The server's time when it is `local` here; the same until something came. */
  at(local: number): number {
    const ahead = Math.min(this.#current, this.#previous);
    return Number.isFinite(ahead) ? local - ahead : local;
  }
}
