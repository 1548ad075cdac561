import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { shared } from './styles';

export interface EmptyWords {
  readonly title: string;
  readonly body: string;
  readonly code?: string;
  readonly hint?: string;
}

/** What stands where nothing is yet: what that means, and what to do next. */
@customElement('fg-empty')
export class EmptyState extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        max-width: 40rem;
        margin: 8vh auto 0;
        padding: 8px;
      }

      h1 {
        margin-bottom: 8px;
        font-size: 1.5rem;
        letter-spacing: -0.015em;
      }

      p {
        color: var(--ink-soft);
      }

      pre {
        margin: 16px 0;
        padding: 14px 16px;
        overflow-x: auto;
        border: 1px solid var(--line);
        border-radius: var(--radius-small);
        background: var(--surface);
        font: 0.92em/1.6 var(--mono);
      }
    `,
  ];

  @property({ attribute: false }) words!: EmptyWords;

  protected override render(): TemplateResult {
    const { title, body, code, hint } = this.words;
    return html`<h1>${title}</h1>
      <p>${body}</p>
      ${code === undefined ? nothing : html`<pre tabindex="0">${code}</pre>`}
      ${hint === undefined ? nothing : html`<p>${hint}</p>`}`;
  }
}
