import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import type { Account } from '../account';
import { text } from '../strings';
import { shared } from './styles';

/** Who are you? Says `entered` once the server has believed the answer. */
@customElement('fg-login')
export class LoginForm extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        width: min(24rem, 100%);
        margin: 8vh auto 0;
      }

      form {
        display: grid;
        gap: 14px;
        padding: 26px;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        box-shadow: var(--shadow);
      }

      h1 {
        font-size: 1.4rem;
        letter-spacing: -0.015em;
      }

      .intro {
        color: var(--ink-soft);
      }

      label {
        display: grid;
        gap: 4px;
        font-weight: 550;
      }

      input {
        width: 100%;
        height: 40px;
        padding: 0 12px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius-small);
        background: var(--ground);
        color: inherit;
        font: inherit;
      }

      .why {
        padding: 8px 12px;
        border-radius: var(--radius-small);
        background: var(--bad-wash);
        color: var(--bad);
      }

      .doing {
        display: flex;
        gap: 10px;
      }

      .submit {
        flex: 1;
        justify-content: center;
        min-height: 40px;
        border-color: var(--accent);
        background: var(--accent);
        color: var(--accent-ink);
      }

      .submit:hover {
        color: var(--accent-ink);
      }

      .submit:disabled {
        opacity: 0.6;
        cursor: progress;
      }
    `,
  ];

  @property({ attribute: false }) account!: Account;
  /** What to say before anything was tried. */
  @property({ attribute: false }) reason = '';
  /** Whether one may go on without. */
  @property({ type: Boolean }) optional = false;
  @state() private why: string | null = null;
  @state() private busy = false;
  @query('[name=user]') private readonly user!: HTMLInputElement;
  @query('[name=password]') private readonly password!: HTMLInputElement;

  protected override firstUpdated(): void {
    this.user.focus();
  }

  protected override render(): TemplateResult {
    const why = this.why ?? this.reason;
    return html`<form @submit=${this.#submit}>
      <h1>${text.login.title}</h1>
      <p class="intro">${text.login.intro}</p>
      <label
        >${text.login.user}
        <input name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required
      /></label>
      <label
        >${text.login.password} <input name="password" type="password" autocomplete="current-password" required
      /></label>
      ${why === '' ? nothing : html`<p class="why" role="alert">${why}</p>`}
      <div class="doing">
        <button class="button submit" ?disabled=${this.busy}>
          ${this.busy ? text.login.checking : text.login.submit}
        </button>
        ${this.optional
          ? html`<button class="button" type="button" @click=${this.#cancel}>${text.login.cancel}</button>`
          : nothing}
      </div>
    </form>`;
  }

  readonly #submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (this.busy) return;
    this.busy = true;
    this.why = '';
    this.why = await this.account.logIn(this.user.value, this.password.value);
    this.busy = false;
    if (this.why === '') {
      this.dispatchEvent(new CustomEvent('entered'));
      return;
    }
    this.password.select();
    this.password.focus();
  };

  #cancel(): void {
    this.dispatchEvent(new CustomEvent('cancel'));
  }
}
