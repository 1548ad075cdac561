import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { moment } from '../format';
import type { Status } from '../health';
import { text } from '../strings';
import { shared } from './styles';

const WORD: Record<Status['kind'], string> = {
  connecting: text.connection.connecting,
  unreachable: text.connection.connecting,
  live: text.connection.live,
  lost: text.connection.lost,
  offline: text.connection.lost,
  broker_away: text.connection.brokerAway,
  refused: text.connection.refused,
};

/** How the page stands with the world, in two words and a colour. */
@customElement('fg-connection')
export class ConnectionBadge extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: inline-block;
      }

      .badge {
        display: inline-flex;
        align-items: center;
        gap: 7px;
        padding: 4px 12px 4px 10px;
        border: 1px solid var(--line);
        border-radius: 99px;
        background: var(--surface);
        font-size: 0.87em;
        font-weight: 600;
        white-space: nowrap;
      }

      .badge::before {
        width: 9px;
        height: 9px;
        border-radius: 50%;
        background: var(--dot, var(--ink-faint));
        content: '';
      }

      .live {
        --dot: var(--good);
      }

      .lost,
      .offline,
      .unreachable,
      .refused {
        --dot: var(--bad);
        border-color: var(--bad);
        background: var(--bad-wash);
      }

      .broker_away {
        --dot: var(--warn);
        border-color: var(--warn);
        background: var(--warn-wash);
      }

      .connecting::before,
      .lost::before {
        animation: breathe 1.4s ease-in-out infinite;
      }

      .since {
        color: var(--ink-soft);
        font-weight: 400;
      }

      @keyframes breathe {
        50% {
          opacity: 0.25;
        }
      }
    `,
  ];

  @property({ attribute: false }) status!: Status;

  protected override render(): TemplateResult {
    const { kind, since } = this.status;
    const when = moment(since, Date.now());
    const calm = kind === 'live' || kind === 'connecting';
    return html`<span
      class="badge ${kind}"
      role="status"
      title=${kind === 'live' ? text.connection.liveTitle(when) : ''}
      >${WORD[kind]}${calm ? null : html`<span class="since">${text.connection.since(when)}</span>`}</span
    >`;
  }
}
