import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { moment } from '../format';
import type { Status } from '../health';
import { text } from '../strings';
import { shared } from './styles';

/** What is wrong, since when, and what it means for the values below. Says nothing when all is well. */
@customElement('fg-trouble')
export class TroubleBanner extends LitElement {
  static override styles = [
    shared,
    css`
      .banner {
        display: flex;
        align-items: center;
        justify-content: space-between;
        gap: 16px;
        padding: 10px 16px;
        margin-bottom: var(--gap);
        border-left: 4px solid var(--bad);
        border-radius: var(--radius-small);
        background: var(--bad-wash);
      }

      .banner.broker_away {
        border-color: var(--warn);
        background: var(--warn-wash);
      }

      .button {
        flex: none;
      }
    `,
  ];

  @property({ attribute: false }) status!: Status;

  protected override render(): TemplateResult | typeof nothing {
    const words = this.#words();
    if (words === '') return nothing;
    return html`<div class="banner ${this.status.kind}" role="alert">
      <p>${words}</p>
      <button class="button" @click=${this.#retry}>${text.connection.tryNow}</button>
    </div>`;
  }

  #words(): string {
    const { kind, since, reason } = this.status;
    const when = moment(since, Date.now());
    switch (kind) {
      case 'live':
      case 'connecting':
        return '';
      case 'unreachable':
        return text.connection.noAnswer;
      case 'lost':
        return text.connection.lostDetail(when);
      case 'offline':
        return text.connection.offlineDetail(when);
      case 'broker_away':
        return text.connection.brokerDetail(reason, when);
      case 'refused':
        return text.connection.refusedDetail(reason);
    }
  }

  readonly #retry = (): void => {
    this.dispatchEvent(new CustomEvent('retry', { bubbles: true, composed: true }));
  };
}
