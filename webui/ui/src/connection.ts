/** The page's one WebSocket: finds the server again by itself and resumes every subscription. */

import {
  parseFrame,
  reconnectWaitMs,
  Subscription,
  type SubscriptionListener,
  type SubscriptionOptions,
} from './protocol';

const PING_EVERY_MS = 10_000;
/** A server that says nothing at all for this long after a ping is dead. */
const ANSWER_WITHIN_MS = 5_000;

export interface ConnectionState {
  readonly kind: 'connecting' | 'open' | 'lost';
  /** When this state began, in this browser's time. */
  readonly since: number;
  /** Whether there was a connection at all since the page was opened. */
  readonly everOpen: boolean;
}

export class Connection {
  #socket: WebSocket | null = null;
  #state: ConnectionState = { kind: 'connecting', since: Date.now(), everOpen: false };
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pingDue: ReturnType<typeof setTimeout> | undefined;
  #answerDue: ReturnType<typeof setTimeout> | undefined;
  #pings = 0;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #listeners = new Set<(state: ConnectionState) => void>();

  constructor(private readonly url: URL) {}

  get state(): ConnectionState {
    return this.#state;
  }

  start(): void {
    window.addEventListener('online', this.retryNow);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.retryNow();
    });
    this.#open();
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Start a subscription; the same id replaces the one before. */
  subscribe(id: number, options: SubscriptionOptions, listener: SubscriptionListener): Subscription {
    const subscription = new Subscription(id, options, listener);
    this.#subscriptions.set(id, subscription);
    this.#send(subscription.request());
    return subscription;
  }

  unsubscribe(id: number): void {
    if (this.#subscriptions.delete(id)) this.#send(JSON.stringify({ op: 'unsubscribe', id }));
  }

  /** Try at once: the network is back, the laptop woke up, or somebody asks for it. */
  readonly retryNow = (): void => {
    if (this.#state.kind === 'open') {
      this.#ping();
    } else if (this.#retry !== undefined) {
      this.#attempt = 0;
      this.#open();
    }
  };

  #open(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    // A handshake that nobody answers would otherwise wait for the system's own minutes.
    this.#answerDue = setTimeout(() => {
      this.#lose(socket);
    }, ANSWER_WITHIN_MS);
    socket.onopen = () => {
      this.#attempt = 0;
      this.#enter('open');
      for (const subscription of this.#subscriptions.values()) this.#send(subscription.request());
      this.#heard();
    };
    socket.onmessage = (event: MessageEvent) => {
      this.#heard();
      if (typeof event.data === 'string') this.#receive(event.data);
    };
    socket.onclose = () => {
      this.#lose(socket);
    };
  }

  #receive(text: string): void {
    const frame = parseFrame(text);
    if (frame !== null && frame.op !== 'pong') this.#subscriptions.get(frame.id)?.receive(frame);
  }

  /** Anything from the server proves that it lives, and puts the next ping off. */
  #heard(): void {
    clearTimeout(this.#answerDue);
    clearTimeout(this.#pingDue);
    this.#pingDue = setTimeout(() => {
      this.#ping();
    }, PING_EVERY_MS);
  }

  #ping(): void {
    const socket = this.#socket;
    if (socket === null) return;
    clearTimeout(this.#answerDue);
    this.#answerDue = setTimeout(() => {
      this.#lose(socket);
    }, ANSWER_WITHIN_MS);
    this.#pings += 1;
    this.#send(JSON.stringify({ op: 'ping', id: this.#pings }));
  }

  #send(text: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  /** Give this socket up for good: `close` on a dead one may take minutes to say so. */
  #lose(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    clearTimeout(this.#pingDue);
    clearTimeout(this.#answerDue);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.#enter('lost');
    this.#retry = setTimeout(
      () => {
        this.#open();
      },
      reconnectWaitMs(this.#attempt, Math.random()),
    );
    this.#attempt += 1;
  }

  #enter(kind: ConnectionState['kind']): void {
    if (kind === this.#state.kind) return;
    this.#state = {
      kind,
      since: Date.now(),
      everOpen: this.#state.everOpen || kind === 'open',
    };
    for (const listener of this.#listeners) listener(this.#state);
  }
}
