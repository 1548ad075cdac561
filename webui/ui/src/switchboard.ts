/**
 * One WebSocket for many tabs: each has its own ids, and on the wire every id is one tab's.
 *
 * Runs in a shared worker, whose ports are the tabs. Bounds: a session has 32 subscriptions and a
 * tab up to three, so beyond ten a tab is told that the board is full. A tab that closes says so;
 * one that crashed or was frozen by the browser is given up after three minutes of silence, which
 * is more than hidden tabs keep between two beats. No tab, no WebSocket.
 */

import { parseObject } from './protocol';

export const MOST_TABS = 10;
export const SILENCE_MS = 180_000;
export const BEAT_MS = 20_000;

/** What a tab tells the board. */
export type Told =
  | { readonly op: 'open'; readonly url: string }
  | { readonly op: 'frame'; readonly text: string }
  | { readonly op: 'beat' | 'leave' | 'abandon' };

/** What the board tells a tab. After `closed` and `full` the port is closed. */
export type Said =
  | { readonly op: 'open' | 'full' }
  | { readonly op: 'frame'; readonly text: string }
  | { readonly op: 'closed'; readonly code: number };

/** A tab's end of a MessageChannel. */
export interface Port {
  onmessage: ((event: MessageEvent<Told>) => void) | null;
  postMessage(said: Said): void;
  close(): void;
}

interface Tab {
  readonly port: Port;
  /** Its subscriptions: what it calls them, and what they are called on the wire. */
  readonly subscriptions: Map<number, number>;
  heardAt: number;
}

const ABNORMAL = 1006;
const OPEN = 1;

export class Switchboard {
  #socket: WebSocket | null = null;
  #ids = 0;
  readonly #tabs = new Map<Port, Tab>();
  /** Whose an id on the wire is, and what that tab calls it. */
  readonly #owners = new Map<number, { readonly tab: Tab; readonly id: number }>();

  constructor(
    private readonly dial: (url: string) => WebSocket,
    private readonly now: () => number,
  ) {}

  connect(port: Port): void {
    port.onmessage = ({ data }) => {
      this.#hear(port, data);
    };
  }

  /** Give up the tabs that fell silent; to be called now and then. */
  sweep(): void {
    const latest = this.now() - SILENCE_MS;
    for (const tab of this.#tabs.values()) if (tab.heardAt < latest) this.#dismiss(tab, ABNORMAL);
  }

  #hear(port: Port, told: Told): void {
    const tab = this.#tabs.get(port);
    if (tab === undefined) {
      if (told.op === 'open') this.#admit(port, told.url);
      return;
    }
    tab.heardAt = this.now();
    if (told.op === 'frame') this.#forward(tab, told.text);
    else if (told.op === 'leave') this.#dismiss(tab, ABNORMAL);
    else if (told.op === 'abandon') this.#lose(ABNORMAL);
  }

  #admit(port: Port, url: string): void {
    if (this.#tabs.size >= MOST_TABS) {
      port.postMessage({ op: 'full' });
      port.close();
      return;
    }
    this.#tabs.set(port, { port, subscriptions: new Map(), heardAt: this.now() });
    if (this.#socket === null) this.#dial(url);
    else if (this.#socket.readyState === OPEN) port.postMessage({ op: 'open' });
  }

  #dial(url: string): void {
    const socket = this.dial(url);
    this.#socket = socket;
    socket.onopen = () => {
      for (const { port } of this.#tabs.values()) port.postMessage({ op: 'open' });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#deliver(data);
    };
    socket.onclose = ({ code }) => {
      this.#lose(code);
    };
  }

  /** A frame of a tab's: to the server, under an id that no other tab has. */
  #forward(tab: Tab, text: string): void {
    const frame = parseObject(text);
    if (frame === null) return;
    const id = typeof frame['id'] === 'number' ? frame['id'] : 0;
    const op = frame['op'];
    const known = op === 'subscribe' || op === 'unsubscribe' ? tab.subscriptions.get(id) : undefined;
    const wire = known ?? (this.#ids += 1);
    if (op === 'subscribe') tab.subscriptions.set(id, wire);
    else if (op === 'unsubscribe') tab.subscriptions.delete(id);
    this.#owners.set(wire, { tab, id });
    this.#send({ ...frame, id: wire });
  }

  /** A frame of the server's: to the tab whose id it has; if that is gone, to nobody. */
  #deliver(text: string): void {
    const frame = parseObject(text);
    const wire = frame?.['id'];
    if (frame === null || typeof wire !== 'number') return;
    const owner = this.#owners.get(wire);
    if (owner === undefined) return;
    const { tab, id } = owner;
    tab.port.postMessage({ op: 'frame', text: JSON.stringify({ ...frame, id }) });
    const isAnswer = frame['op'] !== 'messages' && frame['op'] !== 'gap';
    if (isAnswer && tab.subscriptions.get(id) !== wire) this.#owners.delete(wire);
  }

  #dismiss(tab: Tab, code: number): void {
    tab.port.postMessage({ op: 'closed', code });
    tab.port.close();
    this.#tabs.delete(tab.port);
    for (const [wire, owner] of this.#owners) if (owner.tab === tab) this.#owners.delete(wire);
    for (const id of tab.subscriptions.values()) this.#send({ op: 'unsubscribe', id });
    if (this.#tabs.size === 0) this.#hangUp();
  }

  #send(frame: object): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #lose(code: number): void {
    this.#hangUp();
    for (const tab of [...this.#tabs.values()]) this.#dismiss(tab, code);
  }

  #hangUp(): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
