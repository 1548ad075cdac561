/**
 * The newest value of every topic that this page has seen.
 *
 * Bounds: at `topics` topics, new ones are not kept, only their messages counted; at `characters`
 * in all payloads together, a topic stays listed but its payload is left out. Both are shown.
 * Listeners hear at most once per animation frame, and so never while the tab is hidden.
 */

import type { Message } from './protocol';

export interface TopicValue {
  readonly topic: string;
  readonly payload: string;
  readonly time: number;
  readonly seq: number;
  readonly retain: boolean;
  readonly base64: boolean;
  /** A last value from before this page was there, not one that came live. */
  readonly last: boolean;
  /** The payload was left out: the page holds as much as it may. */
  readonly omitted: boolean;
}

export interface Change {
  /** Topics that came, changed or went. */
  readonly topics: ReadonlySet<string>;
  /** Some came or went: lists are to be made anew. */
  readonly shape: boolean;
  /** Look at everything again; `topics` is not complete. */
  readonly all: boolean;
}

export interface StoreLimits {
  readonly topics: number;
  readonly characters: number;
}

export const STORE_LIMITS: StoreLimits = { topics: 20_000, characters: 64 * 1024 * 1024 };

export class Store {
  readonly #values = new Map<string, TopicValue>();
  readonly #listeners = new Set<(change: Change) => void>();
  #changed = new Set<string>();
  #shape = false;
  #all = false;
  #scheduled = false;
  #characters = 0;
  #notKept = 0;

  constructor(
    private readonly schedule: (flush: () => void) => void,
    readonly limits: StoreLimits = STORE_LIMITS,
  ) {}

  get size(): number {
    return this.#values.size;
  }

  /** Messages of topics that found no place any more, since the store was last emptied. */
  get notKept(): number {
    return this.#notKept;
  }

  get(topic: string): TopicValue | undefined {
    return this.#values.get(topic);
  }

  values(): IterableIterator<TopicValue> {
    return this.#values.values();
  }

  topics(): IterableIterator<string> {
    return this.#values.keys();
  }

  /** Be told of changes; the first call is about everything there is. Returns the way out. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    listener({ topics: new Set(), shape: true, all: true });
    return () => this.#listeners.delete(listener);
  }

  apply(messages: readonly Message[]): void {
    for (const message of messages) this.#put(message);
    this.#wake();
  }

  clear(): void {
    this.#values.clear();
    this.#characters = 0;
    this.#notKept = 0;
    this.#markAll();
    this.#wake();
  }

  #put(message: Message): void {
    const { topic, payload } = message;
    const before = this.#values.get(topic);
    if (message.gone === true) {
      if (before === undefined) return;
      this.#values.delete(topic);
      this.#characters -= before.payload.length;
      this.#mark(topic, true);
      return;
    }
    if (before === undefined && this.#values.size >= this.limits.topics) {
      this.#notKept += 1;
      return;
    }
    this.#characters -= before?.payload.length ?? 0;
    const omitted = this.#characters + payload.length > this.limits.characters;
    const kept = omitted ? '' : payload;
    this.#characters += kept.length;
    this.#values.set(topic, {
      topic,
      payload: kept,
      time: message.time,
      seq: message.seq,
      retain: message.retain === true,
      base64: message.base64 === true,
      last: message.last === true,
      omitted,
    });
    this.#mark(topic, before === undefined);
  }

  #mark(topic: string, shape: boolean): void {
    this.#shape ||= shape;
    // Topics that come and go behind a hidden tab must not pile up here.
    if (!this.#all && this.#changed.add(topic).size > 2 * this.limits.topics) this.#markAll();
  }

  #markAll(): void {
    this.#changed.clear();
    this.#shape = this.#all = true;
  }

  #wake(): void {
    if (this.#scheduled || (!this.#all && this.#changed.size === 0)) return;
    this.#scheduled = true;
    this.schedule(() => {
      this.#flush();
    });
  }

  #flush(): void {
    const change: Change = { topics: this.#changed, shape: this.#shape, all: this.#all };
    this.#changed = new Set();
    this.#scheduled = this.#shape = this.#all = false;
    for (const listener of this.#listeners) listener(change);
  }
}
