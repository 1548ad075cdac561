import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Audience } from '../audience';
import { text } from '../strings';
import { shared } from './styles';

/** How many watch: a small chip, and who they are on a click. */
@customElement('fg-audience')
export class AudienceChip extends LitElement {
  static override styles = [
    shared,
    css`
      .chip {
        padding: 4px 12px;
        border: 1px solid var(--line);
        border-radius: 99px;
        background: var(--surface);
        color: var(--ink-soft);
        font-size: 0.87em;
        white-space: nowrap;
      }

      .chip:hover {
        border-color: var(--accent);
        color: var(--accent);
      }

      [popover] {
        position: fixed;
        inset: 64px 16px auto auto;
        width: min(20rem, calc(100vw - 32px));
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
        margin-bottom: 8px;
        list-style: none;
      }

      li {
        padding: 3px 0;
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) audience: Audience = { sessions: 0, users: [] };

  protected override render(): TemplateResult | typeof nothing {
    const { sessions, users } = this.audience;
    if (sessions === 0) return nothing;
    return html`<button class="chip" popovertarget="who">${text.audience.button(sessions)}</button>
      <div id="who" popover>
        <h2>${text.audience.title}</h2>
        ${users.length === 0 ? nothing : html`<ul>${users.map((user) => html`<li>${user}</li>`)}</ul>`}
        <p>${text.audience.count(sessions, users.length)}</p>
      </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'fg-audience': AudienceChip;
  }
}
