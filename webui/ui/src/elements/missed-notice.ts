import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { moment } from '../format';
import type { MissedNote } from '../gate';
import { text } from '../strings';
import { shared } from './styles';

/** That values were missed: a small chip, the story behind it on a click. */
@customElement('fg-missed')
export class MissedNotice extends LitElement {
  static override styles = [
    shared,
    css`
      .chip {
        padding: 4px 12px;
        border: 1px solid var(--warn);
        border-radius: 99px;
        background: var(--warn-wash);
        color: var(--warn);
        font-size: 0.87em;
        font-weight: 600;
        white-space: nowrap;
      }

      [popover] {
        position: fixed;
        inset: 64px 16px auto auto;
        width: min(26rem, calc(100vw - 32px));
        max-height: 70vh;
        padding: 16px;
        overflow: auto;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius);
        background: var(--surface);
        color: var(--ink);
        box-shadow: 0 12px 40px rgb(0 0 0 / 25%);
      }

      h2 {
        margin-bottom: 6px;
        font-size: 1rem;
      }

      p {
        color: var(--ink-soft);
        font-size: 0.92em;
      }

      ul {
        margin: 12px 0;
        list-style: none;
        font-size: 0.92em;
      }

      li {
        padding: 6px 0;
        border-top: 1px solid var(--line);
      }

      time {
        margin-right: 6px;
        font-weight: 600;
      }
    `,
  ];

  @property({ attribute: false }) missed: readonly MissedNote[] = [];

  protected override render(): TemplateResult | typeof nothing {
    if (this.missed.length === 0) return nothing;
    const count = this.missed.reduce((sum, { missed }) => sum + (missed ?? 0), 0);
    const unknown = this.missed.some(({ missed }) => missed === null);
    const now = Date.now();
    return html`<button class="chip" popovertarget="story" title=${text.missed.title}>${text.missed.button(count, unknown)}</button>
      <div id="story" popover>
        <h2>${text.missed.title}</h2>
        <p>${text.missed.intro}</p>
        <ul>
          ${this.missed.map(
            ({ at, missed, reason }) =>
              html`<li>
                <time datetime=${new Date(at).toISOString()}>${moment(at, now)}</time>${text.missed.count(missed)}:
                ${text.missed.reason[reason]}
              </li>`,
          )}
        </ul>
        <button class="button" @click=${this.#dismiss}>${text.missed.dismiss}</button>
      </div>`;
  }

  readonly #dismiss = (): void => {
    this.dispatchEvent(new CustomEvent('dismiss'));
  };
}
