import { LitElement } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { moment } from '../format';
import { everySecond, serverNow } from '../now';
import { text } from '../strings';

/** How old something is, kept true once a second; `short` leaves the "ago" out. */
@customElement('fg-age')
export class LiveAge extends LitElement {
  @property({ attribute: false }) time = 0;
  @property({ type: Boolean }) short = false;
  #stop: (() => void) | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = everySecond(() => {
      this.requestUpdate();
    });
  }

  override disconnectedCallback(): void {
    this.#stop?.();
    super.disconnectedCallback();
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): string {
    const now = serverNow();
    const age = Math.max(0, now - this.time);
    const words = text.ago(age);
    this.title = text.devices.age(words, moment(this.time, now));
    return this.short ? text.age(age) : words;
  }
}
