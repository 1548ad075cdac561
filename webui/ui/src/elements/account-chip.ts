import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { canLogIn, type Me } from '../account';
import { text } from '../strings';
import { shared } from './styles';

/** Whose page this is, and the way out; the way in for somebody who sees it without a login. */
@customElement('fg-account')
export class AccountChip extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: inline-flex;
        align-items: center;
        gap: 8px;
        font-size: 0.87em;
      }

      .user {
        max-width: 12rem;
        overflow: hidden;
        font-weight: 600;
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .button {
        min-height: 28px;
        padding: 2px 10px;
        white-space: nowrap;
      }
    `,
  ];

  @property({ attribute: false }) me: Me | null = null;

  protected override render(): TemplateResult | typeof nothing {
    const { me } = this;
    if (me === null) return nothing;
    if (me.user !== null) {
      return html`<span class="user" title=${text.login.logOutTitle(me.user)}>${me.user}</span>
        <button class="button" @click=${this.#say('leave')}>${text.login.logOut}</button>`;
    }
    return canLogIn(me)
      ? html`<button class="button" @click=${this.#say('login')}>${text.login.submit}</button>`
      : nothing;
  }

  #say(what: 'leave' | 'login'): () => void {
    return () => {
      this.dispatchEvent(new CustomEvent(what));
    };
  }
}
