/** A tab's share of the WebSocket that a shared worker holds. */

import type { Socket } from './socket';
import { BEAT_MS, type Said, type Told } from './switchboard';

export class SharedSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((text: string) => void) | null = null;
  onclose: ((code: number) => void) | null = null;
  readonly #worker: SharedWorker;
  readonly #beat: ReturnType<typeof setInterval>;
  /** What it uses instead where there is no place for it, or no worker. */
  #instead: Socket | null = null;

  constructor(
    private readonly url: URL,
    user: string,
    private readonly openOwn: (url: URL) => Socket,
  ) {
    this.#worker = new SharedWorker(new URL('./shared-worker.ts', import.meta.url), {
      type: 'module',
      name: `fieldgate ${user}`,
    });
    this.#worker.onerror = () => {
      this.#goAlone();
    };
    this.#worker.port.onmessage = ({ data }: MessageEvent<Said>) => {
      this.#hear(data);
    };
    this.#tell({ op: 'open', url: url.href });
    this.#beat = setInterval(() => {
      this.#tell({ op: 'beat' });
    }, BEAT_MS);
    // A port doesn't say that its tab is gone; the tab must. It may come back from the history.
    window.addEventListener('pagehide', this.#hide);
  }

  send(text: string): void {
    if (this.#instead !== null) this.#instead.send(text);
    else this.#tell({ op: 'frame', text });
  }

  close(): void {
    this.#end('leave');
  }

  abandon(): void {
    this.#end('abandon');
  }

  readonly #hide = (): void => {
    const { onclose } = this;
    this.close();
    onclose?.(1001);
  };

  #hear(said: Said): void {
    switch (said.op) {
      case 'open':
        this.onopen?.();
        break;
      case 'frame':
        this.onmessage?.(said.text);
        break;
      case 'full':
        this.#goAlone();
        break;
      case 'closed': {
        const { onclose } = this;
        this.close();
        onclose?.(said.code);
      }
    }
  }

  #goAlone(): void {
    this.#letGo();
    const own = this.openOwn(this.url);
    this.#instead = own;
    own.onopen = () => this.onopen?.();
    own.onmessage = (text) => this.onmessage?.(text);
    own.onclose = (code) => this.onclose?.(code);
  }

  #end(how: 'leave' | 'abandon'): void {
    this.onopen = this.onmessage = this.onclose = null;
    this.#tell({ op: how });
    this.#letGo();
    this.#instead?.close();
  }

  #letGo(): void {
    clearInterval(this.#beat);
    window.removeEventListener('pagehide', this.#hide);
    this.#worker.onerror = null;
    this.#worker.port.onmessage = null;
    this.#worker.port.close();
  }

  #tell(told: Told): void {
    this.#worker.port.postMessage(told);
  }
}
