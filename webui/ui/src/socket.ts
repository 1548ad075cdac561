/** What carries frames: a WebSocket of this tab's own, or one that the browser's tabs share. */

import { SharedSocket } from './shared-socket';

export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((text: string) => void) | null;
  /** Called once, with the close code; not after `close` or `abandon`. */
  onclose: ((code: number) => void) | null;
  /** Only while it is open. */
  send(text: string): void;
  /** This tab needs it no more. */
  close(): void;
  /** It is dead, for whoever else uses it, too. */
  abandon(): void;
}

/** `user` is who asks: tabs of different people don't share. */
export function openSocket(url: URL, user: string): Socket {
  return typeof SharedWorker === 'undefined' ? new OwnSocket(url) : new SharedSocket(url, user, openOwn);
}

function openOwn(url: URL): Socket {
  return new OwnSocket(url);
}

class OwnSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((text: string) => void) | null = null;
  onclose: ((code: number) => void) | null = null;
  readonly #socket: WebSocket;

  constructor(url: URL) {
    this.#socket = new WebSocket(url);
    this.#socket.onopen = () => this.onopen?.();
    this.#socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.onmessage?.(data);
    };
    this.#socket.onclose = ({ code }) => this.onclose?.(code);
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.onopen = this.onmessage = this.onclose = null;
    this.#socket.close();
  }

  abandon(): void {
    this.close();
  }
}
