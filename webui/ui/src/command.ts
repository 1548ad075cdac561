/** Commands to the hardware: sent over HTTP, told of by receipts on `<base>/<device>/result`. */

import type { Message, Subscription, SubscriptionListener, SubscriptionOptions } from './protocol';
import { isObject, parseObject } from './protocol';
import { text } from './strings';

export type Stage = 'sending' | 'accepted' | 'written' | 'confirmed' | 'timeout' | 'refused';

/** How far a command has come. */
export interface Receipt {
  readonly stage: Stage;
  /** Why it went wrong, as a sentence; empty where nothing did. */
  readonly error: string;
}

/** What a control asks for; it hears of every step. */
export interface Command {
  readonly device: string;
  readonly point: string;
  readonly value: string | number | boolean;
  /** Whether the hardware says the value back; where it doesn't, written is the end. */
  readonly confirms: boolean;
  told(receipt: Receipt): void;
}

interface Subscribing {
  subscribe(id: number, options: SubscriptionOptions, listener: SubscriptionListener): Subscription;
}

/** After this the gateway has given up by itself, by far: then we have missed its word. */
const PATIENCE_MS = 60_000;
/** More at once than anybody clicks; the oldest is no longer waited for. */
const MOST = 64;

export function isOver({ stage }: Receipt, confirms: boolean): boolean {
  return stage === 'confirmed' || stage === 'timeout' || stage === 'refused' || (stage === 'written' && !confirms);
}

export class Commander {
  readonly #waiting = new Map<string, Command>();
  #watched = '';

  constructor(
    private readonly root: URL,
    private readonly connection: Subscribing,
    /** The id of the subscription to receipts. */
    private readonly id: number,
  ) {}

  async send(base: string, command: Command): Promise<void> {
    this.#watch(base);
    const transaction = crypto.getRandomValues(new Uint32Array(2)).join('-');
    this.#waiting.set(transaction, command);
    const oldest = this.#waiting.keys().next().value;
    if (this.#waiting.size > MOST && oldest !== undefined) this.#waiting.delete(oldest);
    command.told({ stage: 'sending', error: '' });
    const error = await this.#publish(`${base}/${command.device}/set`, { [command.point]: command.value, transaction });
    if (error !== '') this.#tell(transaction, { stage: 'refused', error });
    setTimeout(() => {
      this.#tell(transaction, { stage: 'timeout', error: text.controls.noReceipt });
    }, PATIENCE_MS);
  }

  #watch(base: string): void {
    if (this.#watched === base) return;
    this.#watched = base;
    this.connection.subscribe(
      this.id,
      { filters: [`${base}/+/result`], mode: 'all' },
      { messages: this.#messages, gap: () => undefined },
    );
  }

  readonly #messages = (messages: readonly Message[]): void => {
    for (const { payload } of messages) {
      const { transaction, point, stage, error } = parseObject(payload) ?? {};
      if (typeof transaction !== 'string' || !isStage(stage)) continue;
      if (this.#waiting.get(transaction)?.point !== point) continue;
      this.#tell(transaction, { stage, error: typeof error === 'string' ? error : '' });
    }
  };

  #tell(transaction: string, receipt: Receipt): void {
    const command = this.#waiting.get(transaction);
    if (command === undefined) return;
    if (isOver(receipt, command.confirms)) this.#waiting.delete(transaction);
    command.told(receipt);
  }

  /** Why it was not published, as a sentence; empty if it was. */
  async #publish(topic: string, wish: Record<string, unknown>): Promise<string> {
    try {
      const answer = await fetch(new URL('api/publish', this.root), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ topic, payload: JSON.stringify(wish), qos: 1 }),
      });
      if (answer.ok) return '';
      const error = parseObject(await answer.text())?.['error'];
      return isObject(error) && typeof error['message'] === 'string' ? error['message'] : text.controls.notSent;
    } catch {
      return text.controls.notSent;
    }
  }
}

function isStage(stage: unknown): stage is Stage {
  return typeof stage === 'string' && ['accepted', 'written', 'confirmed', 'timeout', 'refused'].includes(stage);
}
